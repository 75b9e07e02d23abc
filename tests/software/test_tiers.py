"""What is packed runs on a bare Python: every service is imported from what was sent, and from nowhere else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from qkdbus.errors import Refused, Unavailable
from qkdbus_deploy.software.kind import Kind
from qkdbus_deploy.software.parts import Part, build

from .conftest import MIRROR, Host, entry

SERVICES = (
    *("qkdbus_keymanager.build", "qkdbus_keysync.build", "qkdbus_dispatcher.build", "qkdbus_qbackend.build"),
    *("qkdbus_deploy.warm", "qkdbus_deploy.supervise", "qkdbus_deploy.site", "qkdbus_deploy.agent.__main__"),
    *("qkdbus_deploy.software.unused", "qkdbus_client"),
)
SIMULAQRON = ("qkdbus_qbackend.emulators.simulaqron.build", "twisted.internet.asyncioreactor")
PHOTONIC = ("qkdbus_qbackend.compiled", "qkdbus_qbackend.emulators.photonic.emulator")
LOOK = """\
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
import importlib.metadata
version = importlib.metadata.version("qkdbus")
layers = sorted(point.name for point in importlib.metadata.entry_points(group="qkdbus.layers"))
files = {{name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}}
del importlib, sys, module
"""
pytestmark = pytest.mark.timeout(300)  # packs, fetches 60 MB, compiles kernels where nobody has yet
OTHER = "3.12" if Kind.here().python == "3.11" else "3.11"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for archives: packing takes seconds."""
    return tmp_path_factory.mktemp("cache")


def look(host: Host, parts: Sequence[Part], modules: Sequence[str]) -> dict[str, str]:
    """Import modules on a host that gets these parts; return module -> file, of what is not of Python itself."""
    answer = host.ask(parts, parts, {"run": LOOK.format(modules=modules)})
    assert "error" not in answer, answer
    assert answer["layers"] == ["dispatcher", "emulator", "keymanager", "keysync", "qbackend"]
    assert answer["version"]
    own = (str(host.home), f"/usr/lib/python{Kind.here().python}", sys.base_prefix)
    elsewhere = {name: file for name, file in answer["files"].items() if file and not file.startswith(own)}
    assert not elsewhere
    return {name: file for name, file in answer["files"].items() if file.startswith(str(host.home))}


@pytest.fixture
def mirrored(shared: Path) -> Part:
    """Return a part with the stand-in for the agent."""
    from qkdbus_deploy.software.parts import pack

    return pack("mirror", [entry("mirror.py", MIRROR.encode())], Kind.here(), shared, lambda _: None, zstd=True)


def parts_for(emulators: set[str], shared: Path, mirror: Part, kind: Kind | None = None) -> list[Part]:
    return [*build(frozenset(emulators), kind or Kind.here(), shared, lambda _: None), mirror]


@pytest.mark.slow
def test_a_node_without_emulators(host: Host, shared: Path, mirrored: Part) -> None:
    parts = parts_for(set(), shared, mirrored)
    assert [part.name for part in parts] == ["base", "ours", "mirror"]
    assert sum(part.size for part in parts) < 25e6
    loaded = look(host, parts, SERVICES)
    assert not {name.partition(".")[0] for name in loaded} & {"twisted", "scipy", "numba", "cryptography"}


@pytest.mark.slow
def test_a_node_with_simulaqron(host: Host, shared: Path, mirrored: Part) -> None:
    parts = parts_for({"simulaqron"}, shared, mirrored)
    assert [part.name for part in parts] == ["base", "simulaqron", "ours", "mirror"]
    assert sum(part.size for part in parts) < 45e6
    loaded = look(host, parts, (*SERVICES, *SIMULAQRON))
    assert {"twisted", "simulaqron", "scipy", "networkx"} <= set(loaded)


@pytest.mark.slow
def test_a_node_with_photonic_links(host: Host, shared: Path, mirrored: Part) -> None:
    parts = parts_for({"photonic"}, shared, mirrored)
    assert [part.name for part in parts] == ["base", "photonic", "ours", "mirror"]
    loaded = look(host, parts, (*SERVICES, *PHOTONIC))
    assert {"numba", "llvmlite", "cryptography"} <= set(loaded)
    assert "scipy" not in loaded


@pytest.mark.slow
def test_an_engine_brings_what_it_needs(host: Host, shared: Path, mirrored: Part) -> None:
    pytest.importorskip("qutip")
    parts = parts_for({"simulaqron", "qutip"}, shared, mirrored)
    assert [part.name for part in parts] == ["base", "simulaqron", "qutip", "ours", "mirror"]
    assert "scipy.integrate" in look(host, parts, (*SIMULAQRON, "qutip"))


def test_an_engine_that_is_not_installed_is_named(shared: Path) -> None:
    with pytest.raises(Refused, match="hosts need projectq, which is not installed here"):
        build(frozenset({"simulaqron", "projectq"}), Kind.here(), shared, lambda _: None)


@pytest.fixture
def other_python() -> str:
    """Return a Python of the other version that qkdbus runs on."""
    for name in (
        f"/usr/bin/python{OTHER}",
        *sorted(map(str, Path.home().glob(f".pyenv/versions/{OTHER}.*/bin/python"))),
    ):
        if Path(name).exists():
            return name
    pytest.skip(f"there is no Python {OTHER} here")


@pytest.fixture
def index() -> None:
    """Skip without an index to fetch wheels from."""
    words = [sys.executable, "-m", "pip", "index", "versions", "click"]
    if subprocess.run(words, capture_output=True, check=False, timeout=30).returncode:
        pytest.skip("pip reaches no index")


@pytest.mark.slow
def test_a_host_with_another_python(host: Host, shared: Path, mirrored: Part, other_python: str, index: None) -> None:
    kind = Kind(OTHER, Kind.here().machine, Kind.here().libc)
    host.python = other_python
    parts = parts_for({"simulaqron"}, shared, mirrored, kind)
    answer = host.ask(parts, parts, {"run": LOOK.format(modules=(*SERVICES, *SIMULAQRON))})
    assert "scipy" in answer["files"]
    assert not [file for file in answer["files"].values() if "site-packages" in file or "dist-packages" in file]
    assert parts_for({"simulaqron"}, shared, mirrored, kind)[:2] == parts[:2]


def test_a_kind_for_which_there_is_nothing_says_what_to_do(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shared))
    with pytest.raises(Unavailable, match=r"Python 3.12 on riscv64 .*index that pip can reach.* on the hosts"):
        build(frozenset(), Kind("3.12", "riscv64", "glibc 2.36"), shared, lambda _: None)
