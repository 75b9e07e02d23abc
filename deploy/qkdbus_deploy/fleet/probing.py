"""Run on a host (Python 3.11 or 3.12, standard library only): says in one line of JSON what the host is like."""

from __future__ import annotations

import json
import os
import platform
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator


def main() -> None:
    """Print the line."""
    home = os.path.expanduser("~")
    said = {
        "python": sys.executable,
        "python_version": "{}.{}".format(*sys.version_info),
        "machine": platform.machine(),
        "libc": libc(),
        "user": user(),
        "home": home,
        "run_root": run_root(),
        "addresses": sorted({*ipv4(), *ipv6()}),
        "listening": sorted({*listening("/proc/net/tcp"), *listening("/proc/net/tcp6")}),
        "free_disk": shutil.disk_usage(home if os.path.isdir(home) else "/").free,
        "systemd": os.path.isdir("/run/systemd/system"),
        "hostname": os.uname().nodename,
        "free_memory": free_memory(),
    }
    print(json.dumps(said))


def libc() -> str:
    """Return the C library with its version, as "glibc 2.36"; "musl" for any other."""
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or "musl"
    except (ValueError, OSError):
        return "musl"


def user() -> str:
    """Return the name of the user, or the number of one without a name."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def run_root() -> str:
    """Return where sockets with short paths live: what paths.run_root returns on this host."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and os.access(runtime, os.W_OK | os.X_OK):
        return os.path.join(runtime, "qkdbus")
    return os.path.join(os.environ.get("TMPDIR") or tempfile.gettempdir(), f"qkdbus-{os.getuid()}")


def ipv4() -> Iterator[str]:
    """Yield this host's addresses but for 127.x: in the kernel's tree they are leaves of the kind LOCAL."""
    address = ""
    for line in lines("/proc/net/fib_trie"):
        if line.startswith("|--"):
            address = line.split()[1]
        elif line.startswith("/32 host LOCAL") and not address.startswith("127."):
            yield address


def ipv6() -> Iterator[str]:
    """Yield this host's IPv6 addresses that others can reach."""
    for line in lines("/proc/net/if_inet6"):
        digits, _, _, scope, *_ = line.split()
        if scope == "00":  # neither loopback (10) nor of one link (20)
            yield ":".join(f"{int(digits[at : at + 4], 16):x}" for at in range(0, 32, 4))


def listening(table: str) -> Iterator[int]:
    """Yield the TCP ports on which something listens (state 0A)."""
    for line in list(lines(table))[1:]:
        fields = line.split()
        if fields[3] == "0A":
            yield int(fields[1].rpartition(":")[2], 16)


def free_memory() -> int:
    """Return the octets that can be had without swapping; 0 when the kernel does not say."""
    for line in lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return 0


def lines(file: str) -> Iterator[str]:
    """Yield a file's lines without blanks around; none when there is no such file."""
    try:
        with open(file) as text:
            yield from (line.strip() for line in text)
    except OSError:
        return


if __name__ == "__main__":
    main()
