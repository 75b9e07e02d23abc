"""What the lab needs of the machine it runs on: whether it is there, and how to get it."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

PACKAGES = {
    "ip": "iproute2",
    "tc": "iproute2",
    "nft": "nftables",
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "nsenter": "util-linux",
    "unshare": "util-linux",
}
"""Each program that the lab calls, and Debian's package for it."""

_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
_OVERLAY = """
mount -t tmpfs tmpfs /mnt && mkdir /mnt/upper /mnt/work /mnt/root &&
mount -t overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work overlay /mnt/root
"""


def absent() -> dict[str, str]:
    """The programs that are not here, with the packages that bring them."""
    return {program: package for program, package in PACKAGES.items() if not shutil.which(program, path=_PATH)}


def missing() -> str:
    """Why the lab cannot run here and how to mend it, in a line; empty when it can."""
    if sys.platform != "linux":
        return "the lab makes its hosts of Linux namespaces, and this is not Linux"
    if os.geteuid() != 0:
        return "the lab makes namespaces and mounts, which needs root: sudo .venv/bin/python -m pytest -m root"
    if lacks := absent():
        packages = " ".join(sorted(set(lacks.values())))
        return f"the lab needs {', '.join(lacks)}: apt-get install {packages} (or: sudo python -m tests.hosts prepare)"
    if (python := host_python()) is None:
        return (
            "the lab's hosts need a Python 3.11 or 3.12 of the system (/usr/bin/python3) or of pyenv, and there is none"
        )
    del python
    return _namespaces()


@functools.cache
def _namespaces() -> str:
    """Whether the kernel lets us make what a host is made of."""
    made = subprocess.run(["unshare", "-mpuinf", "sh", "-c", _OVERLAY], capture_output=True, text=True)
    if made.returncode == 0:
        return ""
    reason = " ".join(made.stderr.split()) or f"code {made.returncode}"
    return (
        f"root may not make namespaces with an overlay file system here ({reason}); in a container: run it --privileged"
    )


def prepare() -> None:
    """Install what is missing, where that is one step: as root on Debian, Ubuntu and their kin. Says what it does."""
    lacks = sorted(set(absent().values()))
    if not lacks or os.geteuid() != 0 or not shutil.which("apt-get"):
        return
    # RUNLEVEL=1: installing an sshd for the lab should not start one for the machine (where the init script is asked).
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *lacks]
    for command in (install, ["apt-get", "update"], install):
        print("lab:", " ".join(command), flush=True)
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode == 0 and command is install:
            return
    print(f"lab: could not install {' '.join(lacks)}:\n{done.stderr}", flush=True)


def host_python() -> Path | None:
    """The Python of a host: "/" when the system's own will do, else the folder of another; None when there is none."""
    system = Path("/usr/bin/python3")
    if system.exists() and system.resolve().name in ("python3.11", "python3.12"):
        return Path("/")
    base = Path(sys.base_prefix)
    return base if sys.version_info[:2] in ((3, 11), (3, 12)) and (base / "bin/python3").exists() else None
