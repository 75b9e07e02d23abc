"""Built-in services without an exec: a forked child that has everything imported runs the service itself."""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from qkdbus.runtime import run as live

from . import kernel

# `python -m <package>` -> (layer, where its build function is)
BUILT_IN = {
    "qkdbus_keymanager": ("keymanager", "qkdbus_keymanager.build"),
    "qkdbus_keysync": ("keysync", "qkdbus_keysync.build"),
    "qkdbus_dispatcher": ("dispatcher", "qkdbus_dispatcher.build"),
    "qkdbus_qbackend": ("qbackend", "qkdbus_qbackend.build"),
    "qkdbus_qbackend.emulators.simulaqron": ("emulator", "qkdbus_qbackend.emulators.simulaqron.build"),
}
EMULATOR = "qkdbus_qbackend.emulators.simulaqron"  # the one that brings Twisted: imported only where it is used
# The same without the enums, which touch (and so copy) much memory in every child.
_set_signal: Any = getattr(signal.signal, "__wrapped__", signal.signal)
_mask_signals: Any = getattr(signal.pthread_sigmask, "__wrapped__", signal.pthread_sigmask)
_HANDLED = (
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGCHLD,
    signal.SIGUSR1,
    signal.SIGUSR2,
)


@dataclass(frozen=True, slots=True)
class InPlace:
    """A command line that is one of ours."""

    layer: str
    module: str
    directory: Path
    replica: int

    @classmethod
    def of(cls, arguments: Sequence[str]) -> InPlace | None:
        """Read `<this python> -m <package> NODE_DIR [--replica N]`; None for anything else: that is foreign."""
        if len(arguments) not in (4, 6) or arguments[1] != "-m" or arguments[2] not in BUILT_IN:
            return None
        if os.path.realpath(arguments[0]) != os.path.realpath(sys.executable):
            return None
        if len(arguments) == 6 and (arguments[4] != "--replica" or not arguments[5].isdecimal()):
            return None
        layer, module = BUILT_IN[arguments[2]]
        replica = int(arguments[5]) if len(arguments) == 6 else 0
        return cls(layer, module, Path(arguments[3]), replica)

    @property
    def title(self) -> str:
        """What `ps` shows."""
        return f"{self.layer}.{self.replica} {self.directory.name}"


def run(service: InPlace) -> NoReturn:
    """Become the service. Never returns: the frames above hold the supervisor's open files and must stay.

    What is touched here is copied for every service of every node, so this does no more than it must: standard
    streams are the parent's objects on file numbers of our own, the environment is the parent's.
    """
    code = 1
    try:
        gc.enable()
        gc.freeze()  # what we inherited is never collected: its finalisers would close file numbers that are ours now
        reseed(numpy=service.layer == "emulator")
        kernel.call_me(service.title)
        build: Any = importlib.import_module(service.module).build
        code = live(service.layer, build, service.directory, service.replica)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def fork() -> int:
    """Fork, with the default for every signal in the child, before any can reach it.

    Else one that comes at once would find the parent's handler in the child, and be lost.
    """
    before = _mask_signals(signal.SIG_BLOCK, _HANDLED)
    try:
        pid = os.fork()
        if pid == 0:
            reset_signals()
        return pid
    finally:
        _mask_signals(signal.SIG_SETMASK, before)


def reset_signals() -> None:
    """Put back the default for every signal that a parent of ours handles or ignores."""
    signal.set_wakeup_fd(-1)
    for number in _HANDLED:
        _set_signal(number, signal.SIG_DFL)


def reseed(*, numpy: bool) -> None:
    """Give this process random generators of its own: forks of one parent would draw the same numbers.

    numpy's global one only where a library may use it (SimulaQron): seeding it copies 0.2 MB.
    """
    random.seed()
    if numpy and "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
