"""Where the credential comes from, and what is said when it is not there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from qkdbus.errors import BadFile
from qkdbus_client import Client
from qkdbus_client.access import find

if TYPE_CHECKING:
    from .conftest import Door


def test_home_may_be_in_the_environment(home: Path, door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QKDBUS_HOME", str(home))
    assert find("Alice", "three-sites").endpoint == door.endpoint
    assert find("Alice").endpoint == door.endpoint, "there is only one network"


def test_a_credential_file_is_enough(home: Path, door: Door, tmp_path: Path) -> None:
    entry = json.loads((home / "three-sites/client.json").read_text())["nodes"]["Alice"]
    for name, content in (("one.json", {"node": "Alice", **entry}), ("all.json", {"nodes": {"Alice": entry}})):
        (tmp_path / name).write_text(json.dumps(content))
        with Client("Alice", file=tmp_path / name) as alice:
            assert alice.open_connect("app1@Alice", "app2@Bob").status == 1


def test_which_network_must_be_said_when_there_are_several(home: Path) -> None:
    (home / "other").mkdir()
    (home / "other/client.json").write_text("{}")
    with pytest.raises(BadFile, match="other, three-sites"):
        find("Alice", home=home)


def test_a_network_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"nowhere/client.json: not there; is the network deployed"):
        find("Alice", "nowhere", tmp_path)


def test_a_node_that_is_not_there_is_said_with_those_that_are(home: Path) -> None:
    with pytest.raises(BadFile, match="no node 'Zoe' there; it has Alice"):
        find("Zoe", "three-sites", home)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "not json",
        "[]",
        "{}",
        '{"nodes": 3}',
        '{"nodes": {"Alice": {}}}',
        '{"nodes": {"Alice": {"endpoint": "tcp://x:1", "server_key": "short", "public_key": "", "secret_key": ""}}}',
        '{"nodes": {"Alice": {"endpoint": 7}}}',
    ],
)
def test_a_broken_file_is_said_to_be_broken(tmp_path: Path, content: str) -> None:
    file = tmp_path / "client.json"
    file.write_text(content)
    with pytest.raises(BadFile, match=r"client\.json"):
        find("Alice", file=file)


def test_a_broken_file_does_not_show_the_secret(tmp_path: Path, door: Door) -> None:
    entry: dict[str, Any] = {"endpoint": "", **door.keys}
    (tmp_path / "c.json").write_text(json.dumps({"nodes": {"Alice": entry}}))
    with pytest.raises(BadFile) as error:
        find("Alice", file=tmp_path / "c.json")
    assert door.app_pair.secret not in str(error.value)
