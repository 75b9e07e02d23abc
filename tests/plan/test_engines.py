"""What `validate` and `deploy` say when SimulaQron lacks the engine of a link."""

from __future__ import annotations

from pathlib import Path

import pytest

from qkdbus.network.load import load
from qkdbus_deploy import engines

TWO = """\
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
"""


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without qutip and projectq."""
    monkeypatch.setattr(engines, "find_spec", lambda name: None)


def said(folder: Path, defaults: str) -> list[str]:
    file = folder / "two.yaml"
    file.write_text(f"{TWO}link_defaults: {defaults}\n")
    return engines.missing(load(file))


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        ("{protocol: e91}", ["Alice - Bob", "e91", "projectq or qutip", "pip install 'qkdbus[qutip]'"]),
        ("{engine: projectq}", ["Alice - Bob", "engine projectq", "pip install 'qkdbus[projectq]'"]),
    ],
)
def test_a_missing_engine_is_told_with_its_remedy(tmp_path: Path, defaults: str, words: list[str]) -> None:
    [sentence] = said(tmp_path, defaults)
    assert [word for word in words if word not in sentence] == []


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize("defaults", ["{}", "{protocol: bbm92}", "{protocol: e91, emulator: photonic}"])
def test_other_links_need_none(tmp_path: Path, defaults: str) -> None:
    assert said(tmp_path, defaults) == []


def test_one_engine_of_two_will_do(tmp_path: Path) -> None:
    assert said(tmp_path, "{protocol: e91}") == [], "qutip is in the dev group"
