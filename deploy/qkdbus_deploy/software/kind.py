"""Which binaries a host can use."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from functools import cached_property

from packaging.tags import Tag, compatible_tags, cpython_tags

_OLD_NAMES = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}


@dataclass(frozen=True)
class Kind:
    """A kind of host: two hosts of one kind can use the same software.

    Attributes:
        python: "3.11": minor version of its CPython.
        machine: "x86_64", "aarch64": as `uname -m` says.
        libc: "glibc 2.36", "musl 1.2", or "" when nobody knows.
    """

    python: str
    machine: str
    libc: str

    @classmethod
    def here(cls) -> Kind:
        """Return the kind of this interpreter."""
        name, version = platform.libc_ver()
        return cls("{}.{}".format(*sys.version_info), platform.machine(), f"{name} {version}".strip())

    @property
    def glibc(self) -> tuple[int, int] | None:
        """Its glibc (2, 36); None when it has another libc."""
        name, _, version = self.libc.partition(" ")
        numbers = version.split(".")
        if name != "glibc" or len(numbers) < 2 or not all(number.isdecimal() for number in numbers[:2]):
            return None
        return int(numbers[0]), int(numbers[1])

    @property
    def platforms(self) -> list[str]:
        """Its platforms as wheels name them, the newest first (PEP 600, PEP 656)."""
        if self.glibc is None:
            return [f"musllinux_1_{minor}_{self.machine}" for minor in (2, 1, 0) if self.libc.startswith("musl")]
        named = []
        for minor in range(self.glibc[1], 4, -1):
            named.append(f"manylinux_2_{minor}_{self.machine}")
            if minor in _OLD_NAMES:
                named.append(f"{_OLD_NAMES[minor]}_{self.machine}")
        return named

    @cached_property
    def tags(self) -> frozenset[Tag]:
        """The tags of wheels that it can use."""
        minor = int(self.python.partition(".")[2])
        python = f"cp3{minor}"
        own = cpython_tags((3, minor), [python], self.platforms)
        return frozenset((*own, *compatible_tags((3, minor), python, self.platforms)))

    def __str__(self) -> str:
        return f"Python {self.python} on {self.machine} with {self.libc or 'an unknown libc'}"
