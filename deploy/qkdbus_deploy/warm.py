"""The warm parent of one network on one machine: imports everything once, then forks each node's supervisord.

Importing is what starting costs (reference "deployment", section 3), so a command starts this process first and
makes its plan meanwhile. The order comes on stdin, one line of JSON: {"network": <folder>, "emulator": bool}. End
of file instead means that nothing is to be done. Until that line this process has touched no file.
`python -m qkdbus_deploy.warm NETWORK_DIR` does the same for a network that is there already, in the foreground: that
is how systemd starts it (boot.py).

Then it keeps what `.warm/wanted.json` asks for (see keeper.py), looking again whenever SIGHUP comes, and ends when
nothing is wanted. SIGTERM: stops all nodes and ends. No thread and no ZeroMQ context lives here
when it forks (`memory.rehearse` has some, and ends them).

When it is killed, the nodes go on; nobody restarts a supervisord that dies then. systemd, or any command that changes
the network (`qkdbus start NETWORK` is enough), starts a warm parent again, which adopts them.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import logging
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from . import kernel

# What libraries import only when they are used, which would be in every child.
LATE = ("encodings.idna",)
# What the services import only for a certain emulator. The reactor is not installed; the kernels are compiled.
OF_EMULATORS = {
    "simulaqron": ("qkdbus_qbackend.emulators.simulaqron.build", "twisted.internet.asyncioreactor"),
    "photonic": ("qkdbus_qbackend.compiled",),
}
TAKE_OVER_WITHIN = 15.0  # s that the last warm parent may take to stop its nodes and end


def main() -> None:
    """Entry point of `python -m qkdbus_deploy.warm [NETWORK_DIR]`."""
    if len(sys.argv) > 1:
        come_back(Path(sys.argv[1]))
        return
    if os.fork():  # whoever started us must not have to wait for us
        os._exit(0)
    os.umask(0o077)
    gc.disable()  # what it frees are holes, that every child would fill with pages of its own
    missing = preload()
    line = sys.stdin.readline()
    if not line:
        return
    order = json.loads(line)
    for emulator in order["emulators"]:
        missing += preload(emulator)
    keep(Path(order["network"]), missing)


def come_back(network: Path) -> None:
    """Keep a network that was placed before, in this process."""
    from . import nodes, wishes

    os.umask(0o077)
    gc.disable()
    missing = preload()
    here = set(nodes.names(network))
    emulators = [nodes.emulators(network / name) for name in wishes.wanted(network) if name in here]
    for emulator in sorted(frozenset().union(*emulators)):
        missing += preload(emulator)
    keep(network, missing)


def preload(emulator: str = "") -> list[str]:
    """Import what the services will need, or what they need for an emulator; return what cannot be imported."""
    from . import inplace, memory, supervise  # noqa: F401

    built_in = [module for package, (_, module) in inplace.BUILT_IN.items() if package != inplace.EMULATOR]
    missing = []
    for module in OF_EMULATORS[emulator] if emulator else (*built_in, *LATE):
        try:
            importlib.import_module(module)
        except Exception as error:  # its node's log will say so too, when the service is started
            missing.append(f"{module}: {type(error).__name__}: {error}")
    return missing


def keep(network: Path, missing: list[str]) -> None:
    """Be the warm parent of `network`, unless it has one."""
    from . import memory, wishes
    from .keeper import Keeper

    try:
        where = wishes.folder(network)
        lock = _lock(where)
    except FileNotFoundError:  # the command was interrupted, and its network removed, before we got here
        return
    if lock is None:
        return
    log = _open_log(where / "warm.log")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the keeper hears it; it reads the wishes after that
    kernel.call_me(f"qkdbus warm {network.name}")
    kernel.adopt_orphans()
    for name in missing:
        log.error("not_imported", extra={"what": name})
    memory.forget_attributes()
    memory.rehearse(next((network / name for name in wishes.wanted(network)), None))
    _open_log(where / "warm.log")  # rehearsing has opened another
    memory.keep_for_ever()
    filling = memory.fill_pools()  # noqa: F841 (kept as long as we live)
    memory.fill_holes()
    memory.still()

    def spawn(directory: Path, generation: str) -> int:
        return _fork(directory, generation, [lock, *keeper.open_files()])

    keeper = Keeper(network, spawn, log)
    try:
        keeper.run()
    except Exception as error:
        log.critical("fatal", exc_info=error)
        raise


def _lock(where: Path) -> int | None:
    """Return a file number that holds the folder's lock; None when another warm parent keeps it."""
    number = os.open(where, os.O_RDONLY | os.O_CLOEXEC)
    ends = time.monotonic() + TAKE_OVER_WITHIN
    while time.monotonic() < ends:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return number
        except BlockingIOError:
            time.sleep(0.01)
    os.close(number)
    return None


def _fork(directory: Path, generation: str, close: list[int]) -> int:
    from . import inplace

    sys.stdout.flush()
    sys.stderr.flush()
    pid = inplace.fork()
    if pid == 0:
        _be_supervisord(directory, generation, close)
    return pid


def _be_supervisord(directory: Path, generation: str, close: list[int]) -> NoReturn:
    from . import pidfile
    from .supervise import supervise

    code = 1
    try:
        os.setsid()
        gc.enable()
        for number in close:
            os.close(number)
        kernel.call_me(f"qkdbus {directory.name}")
        pidfile.write(directory, generation)  # first of all: whoever looks for us finds us
        supervise(directory, generation, silent=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _open_log(file: Path) -> logging.Logger:
    """Log to a file of our own, with whatever else is said on stdout and stderr."""
    from qkdbus.runtime.logs import open_log

    if file.exists() and file.stat().st_size > 1 << 20:
        file.replace(file.with_suffix(".log.1"))
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(number, 1)
    os.dup2(number, 2)
    os.close(number)
    return open_log("", "warm", 0, "info")


if __name__ == "__main__":
    main()
