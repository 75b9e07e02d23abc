"""Each boundary between layers as data and a typing.Protocol: CONTRACT (asked from above), PEER (from next door).

To prove an implementation: let a type checker hold it against the Protocol.
Methods take (request, call) and return the answer, or an awaitable of it when they have to wait.
"""
