"""What a host is like: found by one command there, before anything is sent to it."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qkdbus.errors import Failed, Refused

from .host import Host, Ran

PROGRAM = Path(__file__).parent / "probing.py"
NO_PYTHON, BROKEN = 97, 96  # exit codes of the command: none will do; the program failed
MODULES = ("asyncio", "zlib", "_ctypes", "_sqlite3")  # what cut-down installations of Python lack
# Runs the program on stdin, when this Python will do; else says what it is.
CHECK = f"""
import sys
def unfit(what):
    sys.stdout.write(what)
    sys.exit({NO_PYTHON})
if not (3, 11) <= sys.version_info[:2] <= (3, 12):
    unfit("%d.%d.%d" % sys.version_info[:3])
from importlib.util import find_spec
lacks = [name.strip("_") for name in {MODULES!r} if not find_spec(name)]
if lacks:
    unfit("%d.%d without %s" % (sys.version_info[:2] + (" and ".join(lacks),)))
try:
    exec(compile(sys.stdin.read(), "probe", "exec"))
except Exception:
    sys.excepthook(*sys.exc_info())
    sys.exit({BROKEN})
"""
# Prints the time, and how long this interpreter has run: that is no part of the way there and back.
CLOCK = """
import os, time
started = int(open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]) / os.sysconf("SC_CLK_TCK")
print(time.time(), time.clock_gettime(time.CLOCK_BOOTTIME) - started)
"""
FIND = """
PATH="$PATH:/usr/local/bin:$HOME/.local/bin"
seen=
tried=
for name in {candidates}; do
    python=$(command -v "$name") || continue
    case "$tried" in *"<$python>"*) continue;; esac
    tried="$tried<$python>"
    said=$("$python" -I -c {check})
    code=$?
    case $code in
        0) printf '%s\\n' "$said"; exit 0;;
        {broken}) exit {broken};;
        {no_python}) seen="$seen, $python is $said";;
        *) seen="$seen, $python does not start";;
    esac
done
printf '%s\\n' "$seen"
exit {no_python}
"""


@dataclass(frozen=True)
class Facts:
    """One host, as it was when it was asked.

    Attributes:
        python: the path of a Python 3.11 or 3.12 there.
        python_version: "3.11" or "3.12".
        machine: as `uname -m` says: "x86_64", "aarch64", ...
        libc: "glibc 2.36", or "musl".
        user: who commands run as.
        home: that user's home folder, absolute.
        run_root: where sockets with short paths live (paths.run_root).
        addresses: its IP addresses, without those that only itself or its own link can reach.
        listening: TCP ports that are in use.
        clock_offset: its clock less ours, s; known to half of `round_trip`.
        round_trip: s, of a small command over the open connection, without the time it runs there.
        free_disk: octets that the user may still write below `home`.
        systemd: whether it runs.
        hostname: what it calls itself.
        free_memory: octets that can still be had there; 0 when that is not known.
    """

    python: str
    python_version: str
    machine: str
    libc: str
    user: str
    home: str
    run_root: str
    addresses: tuple[str, ...]
    listening: tuple[int, ...]
    free_disk: int
    systemd: bool
    hostname: str
    free_memory: int = 0
    clock_offset: float = 0.0
    round_trip: float = 0.0


def probe(host: Host, patience: float = 60.0) -> Facts:
    """Ask a host. Raises Refused when it has no Python that will do, and what Host.run raises."""
    said = read(host, host.run(find(candidates(host)), [PROGRAM], patience))
    offset, round_trip = _clock(host, said["python"], patience)
    return Facts(**said, clock_offset=offset, round_trip=round_trip)


def read(host: Host, ran: Ran) -> dict[str, Any]:
    """Return what the program has said; raises Refused when there was no Python for it, Failed when it broke."""
    if ran.code == NO_PYTHON:
        found = ran.out.strip(", \n") or "there is none"
        raise Refused(
            f"{host.name}: needs Python 3.11 or 3.12: {found} "
            "(install one there, as with apt-get install python3.11, or uv python install 3.12; "
            "ansible_python_interpreter says where it is)"
        )
    try:
        said: dict[str, Any] = json.loads(ran.out.strip().splitlines()[-1])  # a shell's greeting may come before
    except (ValueError, IndexError):
        raise Failed(f"{host.name}: what it is like cannot be told: {(ran.err or ran.out).strip()[-500:]}") from None
    return {name: tuple(value) if isinstance(value, list) else value for name, value in said.items()}


def candidates(host: Host) -> list[str]:
    """Return the Pythons to try, in this order."""
    named = str(host.variables.get("ansible_python_interpreter") or "")
    hint = str(host.variables.get("py_env") or "")
    local = [sys.executable] if host.variables["ansible_connection"] == "local" else []
    return [
        *([named] if named and not named.startswith("auto") else []),  # "auto" and its like: Ansible's own search
        *local,
        *([f"{hint}/bin/python3"] if hint else []),
        *("python3.12", "python3.11", "python3"),
    ]


def find(names: Sequence[str]) -> str:
    """Return the command that runs the program on its stdin by the first of these Pythons that will do."""
    quoted = " ".join(map(shlex.quote, names))
    return FIND.format(candidates=quoted, check=shlex.quote(CHECK), no_python=NO_PYTHON, broken=BROKEN)


def _clock(host: Host, python: str, patience: float) -> tuple[float, float]:
    """Compare clocks, now that the connection is open: (its clock less ours, what is uncertain about it), s."""
    sent, began = time.time(), time.monotonic()
    ran = host.run(f"{shlex.quote(python)} -I -S -c {shlex.quote(CLOCK)}", patience=patience)
    took = time.monotonic() - began
    try:
        theirs, lived = map(float, ran.out.strip().splitlines()[-1].split())
    except (ValueError, IndexError):
        raise Failed(f"{host.name}: does not tell the time: {(ran.err or ran.out).strip()[-500:]}") from None
    return (theirs - lived / 2) - (sent + took / 2), took - lived
