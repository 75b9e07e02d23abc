"""What a host needs, and what stays here."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.utils import canonicalize_name

from qkdbus.errors import Refused
from qkdbus_deploy.software.closure import STAYS, TIERS, tiers, walk
from qkdbus_deploy.software.kind import Kind

PYTHON = Kind.here().python


def test_every_requirement_of_ours_goes_with_a_tier_or_stays() -> None:
    ours = {
        canonicalize_name(re.split(r"[^\w.-]", line)[0]) for line in requires("qkdbus") or () if "extra" not in line
    }
    assert ours <= {canonicalize_name(root) for roots in TIERS.values() for root in roots} | set(STAYS)


def test_a_node_without_emulators_gets_little() -> None:
    assert list(tiers(["ideal"], PYTHON)) == ["base"]
    base = set(tiers((), PYTHON)["base"])
    assert {"pyzmq", "protobuf", "pydantic-core", "numpy", "supervisor", "click", "pyyaml"} <= base
    assert base.isdisjoint({"twisted", "scipy", "numba", "ansible-core", "jinja2", "pytest", "matplotlib", "qkdbus"})


def test_each_distribution_goes_with_one_tier() -> None:
    found = tiers(["simulaqron", "photonic"], PYTHON)
    names = [name for tier in found.values() for name in tier]
    assert sorted(names) == sorted(set(names))
    assert {"twisted", "netqasm", "scipy", "networkx"} <= set(found["simulaqron"])
    assert set(found["photonic"]) == {"numba", "llvmlite", "cryptography", "cffi", "pycparser"}


def test_an_unknown_emulator_is_refused() -> None:
    with pytest.raises(Refused, match="no emulator or engine marbles: there are base, simulaqron"):
        tiers(["marbles"], PYTHON)


def test_what_is_not_installed_is_named() -> None:
    with pytest.raises(Refused, match=r"hosts need no-such-thing, .* pip install no-such-thing"):
        walk(["no-such-thing"], PYTHON)


@pytest.fixture
def layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a distribution that needs something only under Python 3.12."""
    info = tmp_path / "mylab-1.dist-info"
    info.mkdir()
    lines = ("Metadata-Version: 2.1", "Name: mylab", "Version: 1", 'Requires-Dist: only-new; python_version >= "3.12"')
    (info / "METADATA").write_text("\n".join((*lines, "Requires-Dist: click", "Requires-Dist: qkdbus")))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.skipif(PYTHON != "3.11", reason="asks for a newer Python than this")
def test_a_requirement_of_another_python_is_known_though_it_is_not_here(layer: None) -> None:
    assert set(walk(["mylab"], "3.11")) == {"mylab", "click", "qkdbus"}
    assert walk(["mylab"], "3.12")["only-new"] is None
