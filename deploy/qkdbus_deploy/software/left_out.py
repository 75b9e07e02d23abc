"""What is left out of the distributions that are sent, and why: half of their size.

Found by starting every service and looking at what it had imported; tests import all of it on a bare Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping

# Needed to build against a package or to check types, not to run it.
_ENDINGS = frozenset((".a", ".c", ".cc", ".cpp", ".cu", ".f", ".f90", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx"))
_FOLDERS = frozenset(("__pycache__", "test", "tests"))
_KEPT_INFO = frozenset(("METADATA", "entry_points.txt"))  # versions, and what a package offers

# Package -> its subpackages that no service imports.
_UNUSED: Mapping[str, Collection[str]] = {
    # SimulaQron and netqasm use scipy.linalg, networkx scipy.sparse; the rest is 70 MB.
    "scipy": (
        *("cluster", "constants", "datasets", "fft", "fftpack", "integrate", "interpolate", "io", "misc", "ndimage"),
        *("odr", "optimize", "signal", "spatial", "special", "stats"),
    ),
    # Protocols that SimulaQron does not speak: it uses the Perspective Broker over TCP.
    "twisted": ("conch", "mail", "names", "news", "pair", "runner", "trial", "web", "words"),
    # Building extensions.
    "numpy": ("distutils", "doc", "f2py"),
    # Graphics processors.
    "numba": ("cuda",),
}
_WHOLE_FOR = {"scipy": ("qutip", "projectq")}  # engines that use much of a package


def goes(path: str, emulators: Collection[str]) -> bool:
    """Tell whether a host needs a file of a distribution; `path`: as in its RECORD, below site-packages."""
    parts = path.split("/")
    if parts[0] in ("..", "") or path.endswith(".pyc"):  # scripts, manuals
        return False
    if parts[0].endswith((".dist-info", ".egg-info")):
        return len(parts) == 2 and parts[1] in _KEPT_INFO
    if parts[0].removesuffix(".py") in sys.stdlib_module_names:  # a backport would hide the standard library's own
        return False
    if len(parts) > 1 and parts[1].removesuffix(".py") in _unused(parts[0], emulators):
        return False
    return not _FOLDERS.intersection(parts[:-1]) and os.path.splitext(path)[1] not in _ENDINGS


def _unused(package: str, emulators: Collection[str]) -> Collection[str]:
    if any(engine in emulators for engine in _WHOLE_FOR.get(package, ())):
        return ()
    return _UNUSED.get(package, ())
