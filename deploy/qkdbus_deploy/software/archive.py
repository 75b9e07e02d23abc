"""One archive: which files it holds, what names its content, and how it is written.

Python files of others go as bytecode alone: fewer and smaller files, nothing to compile on the host.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import marshal
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

from . import zstandard
from .bootstrap import CHUNK

RECIPE = 1  # raise it when the same files make another archive
_UNCHECKED = 0b01  # PEP 552: has the hash of its source, which nobody compares
_BLOCK = 4096
Form = Callable[[], bytes | Path]


@dataclass(frozen=True)
class Entry:
    """A file of an archive.

    Attributes:
        path: where it goes, below the folder of its part.
        digest: names its content (the source's, where bytecode goes).
        form: makes the content, or says where it is.
        changed: its time of modification, where that matters, in ns; else 0.
    """

    path: str
    digest: str
    form: Form
    changed: int = 0


def bytecode(source: Path, path: str, digest: str) -> Entry:
    """Return the entry of a module as bytecode alone; tracebacks name its file, without the text."""

    def code() -> CodeType:
        found = SourceFileLoader(path, str(source)).get_code(path)  # from __pycache__ when it is up to date
        assert found is not None
        return _moved(found, path)

    return Entry(path + "c", digest, partial(_pyc, code))


def beside(text: bytes, path: str, digest: str) -> Entry:
    """Return the entry of the bytecode that goes along with a module's source."""
    where = Path(importlib.util.cache_from_source(path)).as_posix()
    return Entry(where, digest, partial(_pyc, lambda: compile(text, path, "exec", dont_inherit=True)))


def name(entries: Iterable[Entry], kind: str) -> str:
    """Return the digest that names an archive by its content."""
    said = [RECIPE, kind, sorted((entry.path, entry.digest, entry.changed) for entry in entries)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]


def write(entries: Sequence[Entry], folder: Path, start: str, ending: str, *, zstd: bool) -> Path:
    """Write an archive, all or nothing, in the form that bootstrap.py reads; return its file, <start>-<space>.<ending>.

    `space`: what it takes on a disk with blocks of 4 KiB, in octets.
    """
    forms = [entry.form() for entry in entries]
    sizes = [form.stat().st_size if isinstance(form, Path) else len(form) for form in forms]
    index = json.dumps([[e.path, size, e.changed] for e, size in zip(entries, sizes, strict=True)]).encode()
    chunks = _chunks([len(index).to_bytes(4, "big"), index, *forms])
    space = sum(-(-size // _BLOCK) * _BLOCK for size in sizes)
    file = folder / f"{start}-{space}.{ending}"
    number, name = tempfile.mkstemp(prefix=f".{start}-", dir=folder)
    fresh = Path(name)
    try:
        with open(number, "wb") as opened:
            for chunk in zstandard.compress(chunks) if zstd else _deflated(chunks):
                opened.write(chunk)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
    return file


def _chunks(forms: Iterable[bytes | Path]) -> Iterator[bytes]:
    """Yield the content of all, small files together: a chunk is what the compressor is called with."""
    waiting = bytearray()
    for form in forms:
        if isinstance(form, bytes):
            waiting += form
        else:
            with form.open("rb") as opened:
                while piece := opened.read(4 * CHUNK):
                    waiting += piece
                    if len(waiting) > CHUNK:
                        yield bytes(waiting)
                        waiting.clear()
        if len(waiting) > CHUNK:
            yield bytes(waiting)
            waiting.clear()
    yield bytes(waiting)


def _deflated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.compressobj(6)
    for chunk in chunks:
        yield stream.compress(chunk)
    yield stream.flush()


def _moved(code: CodeType, path: str) -> CodeType:
    """Return the same code as if it came from a file `path`."""
    inner = tuple(_moved(part, path) if isinstance(part, CodeType) else part for part in code.co_consts)
    return code.replace(co_filename=path, co_consts=inner)


def _pyc(code: Callable[[], CodeType]) -> bytes:
    try:
        body = marshal.dumps(code())
    except (SyntaxError, ValueError):  # a template, or for another Python: its import fails, as it does here
        return b""
    return importlib.util.MAGIC_NUMBER + _UNCHECKED.to_bytes(4, "little") + bytes(8) + body
