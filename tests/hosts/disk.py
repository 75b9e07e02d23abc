"""A host's disk as it comes from the factory: what it shows of this machine, its users, its keys and its sshd."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

USER = "qkd"
PASSWORD = "qkd-secret"
_USER_ID = 1777
# crypt("qkd-secret"): `openssl passwd -6 -salt qkdbus qkd-secret`
_HASH = "$6$qkdbus$anxdbnQz8lqP4OsMS/xN6YVT8ABHc/YjyM3YJWWSOmRqFT3VCkkJiNI8lqEZEt9keE1/82gGbZLRlvW2DND.d1"

_SHOWN = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "etc", "var")
"""What a host has of the machine's "/". All else (homes, repositories, Pythons) is there, and empty."""
_HIDDEN = ("usr/local", "usr/lib/python3/dist-packages", "var/tmp", "var/cache", "etc/pip.conf", "etc/cron.d")
"""... and of what is shown, what a bare host does not have."""
_MODES = {"root": 0o700, "tmp": 0o1777, "var/tmp": 0o1777}

_SSHD = """\
HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
PasswordAuthentication yes
UsePAM no
UseDNS no
MaxSessions 64
MaxStartups 64:30:128
Subsystem sftp internal-sftp
PidFile /run/sshd.pid
"""


def format_disk(upper: Path, name: str, hosts: str, public_key: str, python: Path | None) -> str:
    """Fill the upper layer of a host's overlay; returns its SSH host key (public, one line).

    `hosts` is the text of /etc/hosts; `python` the folder of the host's Python, "/" for the system's, None for none.
    """
    upper.mkdir(mode=0o755)
    _hide(upper)
    _choose_python(upper, python)
    _add_users(upper)
    _write(upper / "etc/hostname", name + "\n")
    _write(upper / "etc/hosts", hosts)
    _write(upper / "etc/resolv.conf", "")  # no name server: only /etc/hosts
    _write(upper / "etc/machine-id", os.urandom(16).hex() + "\n")
    for home, owner in ((upper / "root", 0), (upper / "home" / USER, _USER_ID)):
        (home / ".ssh").mkdir(parents=True, mode=0o700)
        _write(home / ".ssh/authorized_keys", public_key, 0o600)
        for path in (home, home / ".ssh", home / ".ssh/authorized_keys"):
            os.chown(path, owner, owner)
    (upper / "home" / USER).chmod(0o755)
    _hide_folder(upper, Path("/etc/ssh"))
    _write(upper / "etc/ssh/sshd_config", _SSHD)
    key = upper / "etc/ssh/ssh_host_ed25519_key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True)
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def _hide(upper: Path) -> None:
    for path in Path("/").iterdir():
        if path.name not in _SHOWN:
            _hide_path(upper, path)
    for hidden in _HIDDEN:
        _hide_path(upper, Path("/", hidden))
    for path in (Path(__file__).parents[2], Path(sys.prefix), Path(sys.base_prefix)):
        if path.parts[1] in _SHOWN and path != Path("/usr"):  # else hidden already
            _hide_path(upper, path)
    for needed in ("proc", "sys", "dev", "run", "tmp", "root", "home", "opt/python", "usr/local/bin"):
        (upper / needed).mkdir(parents=True, exist_ok=True)
    for name, mode in _MODES.items():
        (upper / name).chmod(mode)


def _hide_path(upper: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        _hide_folder(upper, path)
    elif os.path.lexists(path):
        os.mknod(_place(upper, path), stat.S_IFCHR, os.makedev(0, 0))  # overlayfs: "there is no such file"


def _hide_folder(upper: Path, path: Path) -> None:
    place = _place(upper, path)
    place.mkdir(exist_ok=True)
    os.setxattr(place, "trusted.overlay.opaque", b"y")  # overlayfs: "look no further down"


def _place(upper: Path, path: Path) -> Path:
    """Where a path of the machine is in the upper layer, its parents made like the machine's."""
    place = upper / path.relative_to("/")
    for parent in reversed(path.parents[:-1]):
        copy = upper / parent.relative_to("/")
        if not copy.exists():
            copy.mkdir()
            shutil.copystat(parent, copy)
    return place


def _choose_python(upper: Path, python: Path | None) -> None:
    if python == Path("/"):
        return
    for path in Path("/usr/bin").glob("python3*"):
        _hide_path(upper, path)
    for program in python.glob("bin/python3*") if python else ():
        if program.name.removeprefix("python3").removeprefix(".").isdecimal() or program.name == "python3":
            (upper / "usr/local/bin" / program.name).symlink_to(Path("/opt/python/bin", program.name))


def _add_users(upper: Path) -> None:
    _edit(upper, "etc/passwd", USER, [f"{USER}:x:{_USER_ID}:{_USER_ID}::/home/{USER}:/bin/bash"])
    _edit(upper, "etc/group", USER, [f"{USER}:x:{_USER_ID}:"])
    _edit(
        upper, "etc/shadow", USER, [f"{USER}:{_HASH}:19000:0:99999:7:::", "root:*:19000:0:99999:7:::"], drop=("root",)
    )


def _edit(upper: Path, name: str, user: str, lines: list[str], drop: Iterable[str] = ()) -> None:
    """A copy of the machine's file with these lines in place of those of `user` and `drop`."""
    source, target = Path("/", name), upper / name
    kept = [line for line in source.read_text().splitlines() if line.split(":")[0] not in (user, *drop)]
    _write(target, "\n".join([*kept, *lines]) + "\n")
    shutil.copystat(source, target)
    about = source.stat()
    os.chown(target, about.st_uid, about.st_gid)


def _write(path: Path, text: str, mode: int = 0o644) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
