"""Keeping memory shared: what the warm parent does before it forks, so that its children touch less of it.

A page is copied for a child as soon as the child (or the parent) writes to it, be it one reference count. Some
things are in our hands, each measured on a ring of 64 nodes (MB a service, of 5 to 12 before):
- no garbage collection, and none of what is there ever collected (`still`): 0.3;
- the holes that imports leave in malloc's heap are filled, or every child puts its own things into them, a few on
  each page (`fill_holes`): 0.3 to 1.3; those in the interpreter's own pools too (`fill_pools`): 0.1 to 0.2;
- the interpreter's cache of attributes holds 4096 names; each that a child replaces is one more page written, all
  over memory, so it starts with those that services use (`forget_attributes`, before `rehearse`): 0.4 to 0.5;
- what every service does first is done before, until the interpreter has specialised the code and is done with
  writing to it (`rehearse`): 0.5 to 0.8;
- on CPython 3.12, code, types and names that are here are not counted any more (`keep_for_ever`): 1.1 to 2.8.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import io
import os
import signal
import sys
import tempfile
import types
from contextlib import suppress
from pathlib import Path

import zmq
from supervisor.options import ServerOptions

from qkdbus.contracts.contract import Contract
from qkdbus.errors import BadFile, QkdbusError
from qkdbus.runtime import Room
from qkdbus.runtime.logs import open_log
from qkdbus.runtime.settings import NodeSettings, load
from qkdbus.wire.head_pb2 import Ping

from .nodes import CONFIGURATION

ENOUGH = 10  # times that CPython 3.11 runs code before it is specialised, and some
SMALLEST_HOLE, LARGEST_HOLE = 24, 64 << 10  # octets
SMALLEST_BLOCK, LARGEST_BLOCK, BLOCK_STEP = 48, 512, 16  # octets: what CPython's allocator has pools for
POOL, POOL_HEADER = 16 << 10, 48  # octets
BYTES_HEADER = bytes.__basicsize__  # with the closing zero
IMMORTAL = 0xFFFFFFFF  # the count of references that CPython 3.12 does not change (PEP 683), 64 bits
# What can stay for good because nothing happens at its end.
LASTING = (
    *(type, types.CodeType, types.FunctionType, types.CellType, types.ModuleType),
    *(types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType),
    *(types.GetSetDescriptorType, types.MemberDescriptorType, property, staticmethod, classmethod),
    *(str, bytes, int, float, tuple),
)
MOST_BLOCKS = 100_000  # of one size: an allocator that behaves otherwise shall not take all memory


def still() -> None:
    """Collect nothing of what is here, now or in a child."""
    gc.freeze()


def rehearse(node: Path | None) -> None:
    """Do what each supervisord and each service begins with; `node` is the folder of any node there is.

    ZeroMQ's threads have ended when this returns: a process with threads cannot be forked safely.
    """
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    settings = None
    if node is not None:
        with suppress(BadFile, ValueError, OSError, SystemExit):  # its own supervisord will say so
            settings = load(node)
            options = ServerOptions()
            options.realize(["-n", "-s", "-c", str(node / CONFIGURATION)])
    for _ in range(ENOUGH):
        asyncio.run(_a_little_of_everything())
        if settings is not None:
            # TMPDIR may be full, or too deep for a socket: then the services do all this for themselves
            with suppress(QkdbusError, OSError, zmq.ZMQError), tempfile.TemporaryDirectory(prefix="qkdbus-") as folder:
                asyncio.run(_a_room(settings.model_copy(update={"directory": Path(folder), "run": Path(folder)})))
    for number, handler in before.items():
        signal.signal(number, handler)


def keep_for_ever() -> None:
    """Make immortal what is here, as None is (PEP 683): whoever uses it then writes no count of references to it.

    CPython 3.12 only: before it, nothing is immortal; the counts of later ones have not been tried. Costs 0.35 s.
    """
    if sys.implementation.name != "cpython" or sys.version_info[:2] != (3, 12) or sys.maxsize < IMMORTAL:
        return
    here = {id(one): one for one in gc.get_objects()}
    # Not what modules refer to: _asyncio's shows its list of free objects too, and those are dead. What matters of a
    # module, its dictionary, is among the above.
    new = [one for one in here.values() if not isinstance(one, types.ModuleType)]
    while new:
        found = {id(one): one for one in gc.get_referents(*new) if id(one) not in here}
        here.update(found)
        new = [one for one in found.values() if not isinstance(one, types.ModuleType)]
    for place, one in here.items():
        if isinstance(one, LASTING):
            ctypes.c_uint64.from_address(place).value = IMMORTAL


def fill_holes() -> None:
    """Take every free piece of malloc's heap but its top, for good. glibc only; does nothing elsewhere.

    The pieces stay shared, for nobody writes to them. Costs a millisecond.
    """
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallinfo2"):
        return
    library.mallinfo2.restype = _Mallinfo
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    library.free.restype, library.free.argtypes = None, [ctypes.c_void_p]
    library.sbrk.restype, library.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    size = LARGEST_HOLE
    while size >= SMALLEST_HOLE:
        top = library.sbrk(0) - library.mallinfo2().keepcost - 64
        while (piece := library.malloc(size)) < top:
            pass
        library.free(piece)
        size = size // 2 if size > 1024 else size - 128 if size > 256 else size - 16


def forget_attributes() -> None:
    """Empty the interpreter's cache of attributes: it lets go of names that only imports looked up."""
    sys._clear_type_cache()


def fill_pools() -> list[object]:
    """Take every free block of the interpreter's pools but those of untouched pools; keep what is returned.

    Blocks of a pool that nobody has used yet come one after the other, so a whole pool in order is the sign to stop.
    """
    kept: list[object] = []
    for size in range(SMALLEST_BLOCK, LARGEST_BLOCK + 1, BLOCK_STEP):
        whole = (POOL - POOL_HEADER) // size
        taken: list[bytes] = []
        last = run = 0
        while run < whole and len(taken) < MOST_BLOCKS:
            taken.append(bytes(size - BYTES_HEADER))
            run = run + 1 if id(taken[-1]) == last + size else 1
            last = id(taken[-1])
        kept += taken[:-run]
    return kept


async def _a_room(settings: NodeSettings) -> None:
    """What all services share: a log, a socket that answers `ping`, one that asks, events."""
    contract = Contract("warm", {})
    room = Room(settings, "warm", 0, open_log(settings.name, "warm", 0, "info", io.StringIO()))
    try:
        room.serve(settings.ipc("warm"), contract, object())
        room.listen(settings.ipc("warm.events"), ["rehearsed"], lambda event: None)
        asker = room.asker(settings.ipc("warm"), contract)
        await asyncio.sleep(0.004)  # it is connected then; else the call would be repeated after 50 ms
        await asker.ask("ping", Ping(), patience=1.0)
        room.publish("rehearsed", number=1)
        room.log.info("rehearsed", extra={"number": 1})
    finally:
        room.close()


class _Mallinfo(ctypes.Structure):
    """What mallinfo2(3) returns; `keepcost` is the size of the top, the piece that can still grow."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


async def _a_little_of_everything() -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    reader, writer = os.pipe()
    loop.add_reader(reader, lambda: os.read(reader, 1))
    os.write(writer, b"x")
    loop.call_later(0.001, lambda: None)
    await asyncio.sleep(0.002)
    waited = loop.create_future()
    loop.call_soon(waited.set_result, None)
    await asyncio.gather(waited, asyncio.sleep(0))
    loop.remove_reader(reader)
    os.close(reader)
    os.close(writer)
