"""`qkdbus clock` puts a node's date wrong and right again."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from qkdbus.network.load import load
from qkdbus.runtime import clock
from qkdbus.runtime.settings import load as settings
from qkdbus_deploy import place, ports
from qkdbus_deploy.cli import main
from qkdbus_deploy.drivers.local import Local

NETWORK = """\
qkdbus_version: 1
name: two
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice]}
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where a network is placed that does not run."""
    file = tmp_path / "network.yaml"
    file.write_text(NETWORK)
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    place.place(Local(home)._plan(load(file), {}))
    ports.release(home, "two")
    return home


def said(home: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, ["--home", str(home), "clock", *words])
    return done.exit_code, done.output.strip()


def test_a_date_is_put_off_looked_at_and_put_right(home: Path) -> None:
    date = clock.Date(settings(home / "two" / "Alice").run / clock.OFFSET, lambda: 1e9)
    assert said(home, "Alice") == (0, "Alice: right")
    assert said(home, "Alice", "-90.5") == (0, "Alice: off by -90.5 s")
    assert date() == 1e9 - 90.5
    assert said(home, "Alice", "3600") == (0, "Alice: off by +3600 s")
    assert said(home, "Bob") == (0, "Bob: right")
    assert said(home, "Alice", "--right") == (0, "Alice: right")
    assert said(home, "Alice", "--right") == (0, "Alice: right")


def test_it_says_what_it_cannot_do(home: Path) -> None:
    assert said(home, "Alice", "5", "--right")[0] == 2
    assert "no node 'Alise'" in said(home, "Alise", "5")[1]
    assert said(home, "Alice", "soon")[0] == 2
