"""Checks of this machine: can it run a network, and reach others?"""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from qkdbus.errors import Refused

from .. import paths, warm
from .finding import Finding, well

MB = 1 << 20
DISK_NEEDED, DISK_WANTED = 200 * MB, 1024 * MB
OF_NODE, OF_NETWORK = 40 * MB, 200 * MB  # of memory; measured: 64 nodes with SimulaQron have less than 2 GB
FILES_NEEDED = 1024  # that a process may open: supervisord and the key managers of large networks want as many
PROGRAMS = 6  # processes of a node, about
COMPILING = 180.0  # s
UNSYNCHRONISED = 5  # adjtimex(2): TIME_ERROR
# what is imported -> who distributes it
LIBRARIES = {
    "zmq": "pyzmq",
    "google.protobuf": "protobuf",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "click": "click",
    "numpy": "numpy",
    "supervisor.supervisord": "supervisor",
}


def python() -> Iterator[Finding]:
    """Look at the interpreter."""
    found = "{}.{}.{}".format(*sys.version_info)
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        yield well("python", f"{found}, {sys.executable}")
    else:
        yield Finding("python", "", "error", f"{found} will not do", "install qkdbus with Python 3.11 or 3.12")


def libraries() -> Iterator[Finding]:
    """Import what every service stands on."""
    broken = []
    for module, distribution in LIBRARIES.items():
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a broken installation raises
            broken.append(distribution)
            text = f"{module} cannot be imported: {type(error).__name__}: {error}"
            yield Finding("libraries", "", "error", text, f"pip install --force-reinstall {distribution}")
    if "pyzmq" not in broken and not importlib.import_module("zmq").has("curve"):
        text = "this ZeroMQ has no CURVE, without which nobody can connect"
        yield Finding("libraries", "", "error", text, "pip install --force-reinstall pyzmq")
    elif not broken:
        yield well("libraries", ", ".join(f"{name} {_version(name)}" for name in LIBRARIES.values()))


def emulators(used: Collection[str]) -> Iterator[Finding]:
    """Import, in a process of its own, what the emulators of a network need; kernels are compiled there."""
    for emulator in sorted({*used} & {*warm.OF_EMULATORS}):
        code = f"import {', '.join(warm.OF_EMULATORS[emulator])}"
        try:
            ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=COMPILING)
        except subprocess.TimeoutExpired:
            text = f"what {emulator} links need was not ready after {COMPILING:g} s"
            yield Finding("emulators", "", "warning", text, "is this machine very busy? The first compilation is long")
            continue
        if ran.returncode:
            last = (ran.stderr.strip().splitlines() or ["no word"])[-1]
            extra = {"simulaqron": "simulaqron", "photonic": "numba"}[emulator]
            text = f"what {emulator} links need cannot be imported: {last}"
            yield Finding("emulators", "", "error", text, f"pip install --force-reinstall {extra}")
        else:
            yield well("emulators", f"{emulator} links can be run here")


def home(folder: Path) -> Iterator[Finding]:
    """Look at the folder of all networks, and the disk that it is on."""
    there = next(one for one in (folder, *folder.parents) if one.exists())
    other = "use another folder (--home DIR, or QKDBUS_HOME)"
    if not there.is_dir():
        yield Finding("home", "", "error", f"{there} is no folder", other)
        return
    if not os.access(there, os.W_OK | os.X_OK):
        yield Finding("home", "", "error", f"{there}: you may not write there", other)
    elif there == folder and folder.stat().st_uid != os.geteuid():
        yield Finding("home", "", "error", f"{folder} belongs to another user", other)
    elif there == folder and folder.stat().st_mode & 0o077:
        text = f"{folder} is open to other users (what is in it is not)"
        yield Finding("home", "", "warning", text, f"chmod 700 {folder}")
    else:
        yield well("home", f"{folder}" if there == folder else f"{folder} will be made")
    free = shutil.disk_usage(there).free
    yield _of_disk(free, there)


def _of_disk(free: int, where: Path) -> Finding:
    text = f"{free / 1024**3:.1f} GB free at {where}"
    if free < DISK_NEEDED:
        return Finding("disk", "", "error", text, "make room, or use another folder (--home DIR)")
    if free < DISK_WANTED:
        return Finding("disk", "", "warning", text, "logs and states may fill it: make room")
    return well("disk", text)


def sockets(folder: Path, network: str, names: Collection[str]) -> Iterator[Finding]:
    """See whether the nodes' sockets have paths that are short enough, and a private folder."""
    elsewhere = set()
    for name in names or ("node",):
        node = paths.node_directory(folder, network or "network", name)
        try:
            run = paths.run_directory(node, paths.run_root())
        except Refused as error:
            yield Finding("sockets", "", "error", str(error))
            return
        if run.parent != node:
            elsewhere.add(run.parent)
    for root in elsewhere:
        if root.exists() and root.stat().st_uid != os.geteuid():
            mend = "set XDG_RUNTIME_DIR or TMPDIR to a folder of your own"
            yield Finding("sockets", "", "error", f"{root} belongs to another user", mend)
            return
    where = ", ".join(map(str, elsewhere))
    yield well("sockets", f"in {where}: the home's path is too long for them" if where else "paths are short enough")


def limits(nodes: int) -> Iterator[Finding]:
    """See whether this machine lets us open, start and hold what a network of so many nodes needs."""
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if files != resource.RLIM_INFINITY and files < FILES_NEEDED:
        text = f"a process may open only {files} files"
        yield Finding("limits", "", "error", text, f"ulimit -Hn {FILES_NEEDED}, or more (limits.conf, LimitNOFILE=)")
    else:
        yield well("limits", f"{'any number of' if files == resource.RLIM_INFINITY else files} open files")
    most, needed = resource.getrlimit(resource.RLIMIT_NPROC)[0], nodes * PROGRAMS + 10
    if most != resource.RLIM_INFINITY and os.geteuid() and most < needed:
        text = f"you may run only {most} processes, {nodes} nodes are about {needed}"
        yield Finding("limits", "", "error", text, f"ulimit -u {2 * needed}, or more")
    free, wanted = _free_memory(), nodes * OF_NODE + OF_NETWORK
    if free and free < wanted:
        text = f"{free / 1024**3:.1f} GB of memory free, {nodes} nodes want about {wanted / 1024**3:.1f} GB"
        yield Finding("memory", "", "warning", text, "stop something, or deploy to several machines (an inventory)")
    elif free:
        yield well("memory", f"{free / 1024**3:.1f} GB free")


def ways() -> Iterator[Finding]:
    """See whether Ansible and ssh are here, by which other machines are reached."""
    if find_spec("ansible") is None:
        yield Finding("ansible", "", "error", "not installed with this Python", "pip install ansible-core")
    else:
        yield well("ansible", f"ansible-core {_version('ansible-core')}")
    found = shutil.which("ssh")
    if found is None:
        mend = "install it, as with apt-get install openssh-client"
        yield Finding("ssh", "", "error", "there is no ssh client here", mend)
    else:
        yield well("ssh", found)


def clock() -> Iterator[Finding]:
    """Ask the kernel whether somebody keeps its clock right."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = libc.adjtimex(ctypes.create_string_buffer(512))  # struct timex, modes 0: only asks
    if state == UNSYNCHRONISED:
        yield Finding("clock", "", "warning", "nobody keeps it right", "run chrony or systemd-timesyncd")
    elif state >= 0:
        yield well("clock", "synchronised")


def _free_memory() -> int:
    """Return the octets that can be had without swapping; 0 when the kernel does not say."""
    text = Path("/proc/meminfo").read_text()
    return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("MemAvailable:")), 0)


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "of an unknown version"
