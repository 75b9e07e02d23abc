"""What a host must have, and how it gets there: packed once, sent as a stream, unpacked by a program on a command line.

    parts = parts.build(frozenset({"simulaqron"}), kind, cache, print)   archives, named by their content
    files = wire.stream(head, home, [], parts, request)                nothing sent: the host may have it all
    host.run(wire.command(python), files) -> {"missing": [...]}          it has not, so send that
    files = wire.stream(head, home, those, parts, request)

A host needs Python 3.11 or 3.12 and its standard library: no pip, no network, nothing of root's.
"""
