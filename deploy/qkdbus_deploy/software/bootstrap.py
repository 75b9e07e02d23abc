"""Runs on a host, which has nothing but Python: unpacks what comes on stdin and becomes the agent.

Its text goes on a command line (see wire.py), so it is short and imports the standard library alone. The stream:

    one line of JSON   {"home", "module", "request": octets, "use": [digest], "send": [{digest, packing, size, space}]}
    the request        for the agent, untouched
    the archives       in the order of `send`, each `size` octets long, `space` when unpacked

An archive, unpacked: four octets, that many (big-endian) octets of JSON [[path, size, mtime in ns or 0], ...], then
the files' content, one after another. It goes to <home>/software/<digest>/, in one step when all of it is there.

Answers {"missing": [digest], "zstd": bool} when something in `use` is not there, {"error": {"kind", "text"}} when it
failed, else whatever the agent says.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import shutil
import sys
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

CHUNK = 1 << 18
FILES, BOOT = ".files", ".boot"


class Cut(Exception):
    """Raised when the stream ends too soon."""


class Damaged(ValueError):
    """Raised when an archive is not what was packed."""


def main() -> None:
    """Answer on stdout, or become the agent."""
    os.umask(0o077)
    wire = sys.stdin.buffer
    try:
        first = wire.readline()
        if not first.endswith(b"\n"):
            raise Cut
        head = json.loads(first)
        request = b"".join(octets(wire, head["request"]))
        software = os.path.join(head["home"], "software")
        for part in head["send"]:
            place(wire, part, software)
    except (Cut, OSError, ValueError, zlib.error) as error:
        while wire.read(CHUNK):  # else the sender fails before it hears why
            pass
        kind, text = explain(error)
        say({"error": {"kind": kind, "text": text}})
        sys.exit(1)
    folders = [os.path.join(software, digest) for digest in head["use"]]
    missing = [os.path.basename(folder) for folder in folders if not whole(folder)]
    if missing:
        say({"missing": missing, "zstd": zstd() is not None})
    else:
        become(head["module"], folders, request)


def say(answer: dict[str, Any]) -> None:
    """Answer on stdout."""
    print(json.dumps(answer), flush=True)


def become(module: str, folders: list[str], request: bytes) -> None:
    """Run a module in place of this program, with what is in `folders` and the request on its stdin."""
    number = os.memfd_create("request")
    with open(os.dup(number), "wb") as file:
        file.write(request)
    os.lseek(number, 0, os.SEEK_SET)
    os.dup2(number, 0)
    python = sys.executable
    # -S, -P: other versions that the host has installed, or that lie in the working directory, are not for import.
    os.execve(python, [python, "-S", "-P", "-m", module], {**os.environ, "PYTHONPATH": ":".join(folders)})


def explain(error: Exception) -> tuple[str, str]:
    """Say what kind of error it is (qkdbus.errors), what it means, and what to do."""
    if isinstance(error, Cut):
        return "Unavailable", "what was sent to the host was cut short: deploy again"
    if not isinstance(error, OSError):
        return "Unavailable", f"what was sent to the host is damaged ({type(error).__name__}): deploy again"
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return "Unavailable", f"no room to unpack the software: {error}. Make some, and deploy again"
    return "Refused", f"cannot unpack the software: {error}"


def octets(wire: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the next `size` octets of the stream in chunks."""
    while size:
        chunk = wire.read(min(size, CHUNK))
        if not chunk:
            raise Cut
        size -= len(chunk)
        yield chunk


def place(wire: BinaryIO, part: dict[str, Any], software: str) -> None:
    """Unpack the next archive of the stream, unless it is there."""
    folder = os.path.join(software, part["digest"])
    archive = octets(wire, part["size"])
    if whole(folder):
        for _ in archive:
            pass
        return
    new, old = (f"{folder}.{os.getpid()}.{age}" for age in ("new", "old"))
    try:
        os.makedirs(new)
        disk = os.statvfs(new)
        room = disk.f_bavail * disk.f_frsize
        if room < part["space"]:
            raise OSError(errno.ENOSPC, f"{part['space'] >> 20} MiB are needed, {room >> 20} MiB are free", software)
        unpack(unzipped(archive, part["packing"]), new)
        try:
            os.rename(new, folder)
        except OSError:  # there is one already
            if not whole(folder):  # else another command was faster
                os.rename(folder, old)
                os.rename(new, folder)
    finally:
        for rest in (new, old):
            shutil.rmtree(rest, ignore_errors=True)


def unpack(chunks: Iterator[memoryview], folder: str) -> None:
    """Write the files of an archive."""
    rest = memoryview(b"")

    def some(limit: int) -> memoryview:
        nonlocal rest
        while not rest:
            try:
                rest = next(chunks)
            except StopIteration:
                raise Damaged from None
        taken, rest = rest[:limit], rest[limit:]
        return taken

    def take(size: int) -> bytes:
        found = b""
        while len(found) < size:
            found += some(size - len(found))
        return found

    index = json.loads(take(int.from_bytes(take(4), "big")))
    for name in {os.path.dirname(path) for path, _, _ in index}:
        os.makedirs(os.path.join(folder, name), exist_ok=True)
    for path, size, changed in index:
        number = os.open(os.path.join(folder, path), os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        left = size
        while left:
            chunk = some(left)
            left -= len(chunk)
            while chunk:
                chunk = chunk[os.write(number, chunk) :]
        if changed:
            os.utime(number, ns=(changed, changed))
        os.close(number)
    for _ in chunks:  # the checksum comes last
        pass
    write(os.path.join(folder, FILES), json.dumps([[path, size] for path, size, _ in index]))
    write(os.path.join(folder, BOOT), boot())


def whole(folder: str) -> bool:
    """Tell whether a folder holds all that it did when it was unpacked.

    A host that crashed may have lost what it had not yet written to its disk; so after each boot its files are
    looked at once.
    """
    mark, index = os.path.join(folder, BOOT), os.path.join(folder, FILES)
    try:
        if read(mark) != boot():
            for path, size in json.loads(read(index)):
                found = os.path.getsize(os.path.join(folder, path))
                if found != size and (not found or path[-4:-1] != ".nb"):  # numba writes its files anew
                    return False
            write(mark, boot())
        return True
    except (OSError, ValueError):
        return False


def boot() -> str:
    """Return a name for the time since this host was started."""
    try:
        return read("/proc/sys/kernel/random/boot_id").strip()
    except OSError:  # a container that hides it
        return "unknown"


def read(file: str) -> str:
    """Return what a file says."""
    with open(file) as opened:
        return opened.read()


def write(file: str, text: str) -> None:
    """Write a file."""
    with open(file, "w") as opened:
        opened.write(text)


def unzipped(chunks: Iterator[bytes], packing: str) -> Iterator[memoryview]:
    """Yield what an archive holds. A chunk is gone when the next is asked for."""
    if packing == "zstd":
        return unzstd(chunks)
    return inflated(chunks)


def inflated(chunks: Iterator[bytes]) -> Iterator[memoryview]:
    """Undo zlib."""
    stream = zlib.decompressobj()
    for chunk in chunks:
        yield memoryview(stream.decompress(chunk))
    if not stream.eof:
        raise Damaged


def zstd() -> Any:
    """Return libzstd, which Debian's and Red Hat's package managers use; None when it is not there."""
    try:
        return ctypes.CDLL("libzstd.so.1")
    except OSError:
        return None


class Buffer(ctypes.Structure):
    """ZSTD_inBuffer and ZSTD_outBuffer."""

    _fields_ = (("start", ctypes.c_void_p), ("size", ctypes.c_size_t), ("at", ctypes.c_size_t))


def unzstd(chunks: Iterator[bytes]) -> Iterator[memoryview]:
    """Undo zstd."""
    library = zstd()
    library.ZSTD_createDStream.restype = ctypes.c_void_p
    library.ZSTD_decompressStream.restype = ctypes.c_size_t
    stream = ctypes.c_void_p(library.ZSTD_createDStream())
    memory = ctypes.create_string_buffer(CHUNK)
    more = 1
    for chunk in chunks:
        source = Buffer(ctypes.cast(ctypes.c_char_p(chunk), ctypes.c_void_p), len(chunk), 0)
        full = False
        while source.at < source.size or (full and more):
            into = Buffer(ctypes.addressof(memory), CHUNK, 0)
            more = library.ZSTD_decompressStream(stream, ctypes.byref(into), ctypes.byref(source))
            if library.ZSTD_isError(ctypes.c_size_t(more)):
                raise Damaged
            full = into.at == CHUNK
            yield memoryview(memory)[: into.at]
    if more:
        raise Damaged


if __name__ == "__main__":
    main()
