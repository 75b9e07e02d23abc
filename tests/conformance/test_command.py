"""`qkdbus conform` as it is typed: words, exit codes, JSON, and nothing left behind."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qkdbus.errors import Refused
from qkdbus_deploy import conforming
from qkdbus_deploy.cli import main


def run(*words: str) -> Any:
    return CliRunner().invoke(main, ["conform", *words])


def test_the_checks_of_a_layer_are_listed() -> None:
    said = run("keysync", "--list")
    assert said.exit_code == 0
    assert "no-bits-are-used-twice\n    No bit of key is used twice" in said.output
    assert "ping-says-who *\n" in said.output
    listed = json.loads(run("keysync", "--list", "--json").output)
    assert listed["layer"] == "keysync"
    assert {"name", "must", "source", "endpoint_is_enough"} == set(listed["checks"][0])


def test_wrong_words_are_told() -> None:
    for words, told in (
        (("keysink",), "no layer 'keysink'"),
        (("keysync", "--only", "nonsense"), "no check nonsense"),
        (("keysync", "http://there"), "begins with ipc:// or tcp://"),
    ):
        said = run(*words)
        assert said.exit_code == 2 and told in said.output, said.output


def test_a_credential_for_another_layer_or_for_several_nodes_is_told(tmp_path: Path) -> None:
    (file := tmp_path / "client.json").write_text(json.dumps({"nodes": {"Alice": {}, "Bob": {}}}))
    for layer, told in (("keysync", "a credential is for the door of a key manager"), ("keymanager", "but for 2")):
        said = run(layer, "--credential", str(file))
        assert said.exit_code == 2 and told in said.output, said.output


def test_a_program_that_is_not_there_is_told_and_nothing_is_left(monkeypatch: Any) -> None:
    with tempfile.TemporaryDirectory(prefix="c") as short:  # paths of sockets are
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
        monkeypatch.setattr("tempfile.tempdir", None)
        said = run("dispatcher", "--", "./no-such-program")
        assert said.exit_code == 2 and "cannot be run" in said.output
        assert [file for file in Path(short).rglob("*") if file.is_file()] == []


@pytest.mark.slow
def test_a_program_that_ends_at_once_is_not_ready_and_its_last_words_are_shown(tmp_path: Path) -> None:
    program = tmp_path / "dispatcher.py"
    program.write_text("import sys\nprint('no such setting: colour')\nsys.exit(4)\n")
    said = run("dispatcher", "--json", "--keep", str(tmp_path / "kept"), "--", sys.executable, str(program))
    assert said.exit_code == 1
    [result] = json.loads(said.output)["checks"]
    assert result["name"] == "ready" and result["verdict"] == "broken"
    assert "exit code 4" in result["came"] and "no such setting: colour" in result["came"]
    assert "no such setting" in (tmp_path / "kept/conform/Alice/logs/dispatcher.log").read_text()
    assert run("dispatcher", "--keep", str(tmp_path / "kept")).exit_code == 2


def test_commands_are_run_as_a_node_would_run_them() -> None:
    assert conforming.words("keysync", ()) == [sys.executable, "-m", "qkdbus_keysync"]
    assert conforming.words("keysync", ["built-in"]) == [sys.executable, "-m", "qkdbus_keysync"]
    assert conforming.words("keysync", ["keysync"]) == [sys.executable, "-m", "qkdbus_keysync"]  # an entry point
    assert conforming.words("qbackend", ["python -m lab --fast"]) == [sys.executable, "-m", "lab", "--fast"]
    assert conforming.words("qbackend", ["/opt/lab", "a b"]) == ["/opt/lab", "a b"]
    with pytest.raises(Refused):
        conforming.words("qbackend", [""])


def test_the_ground_is_a_network_on_disk_and_goes_without_a_trace() -> None:
    from qkdbus import conformance

    with conforming.ground(conformance.of("qbackend").network) as ground:
        assert set(ground.nodes) == {"Alice", "Bob"}
        alice = ground.nodes["Alice"]
        assert alice.settings.neighbours[0].arbiter and (alice.settings.directory / "node.yaml").is_file()
        assert set(alice.apps) == {"app1", "app2", "mallory"}
        assert not any(os.stat(file).st_mode & 0o077 for file in ground.folder.rglob("*"))
        assert alice.apps["app1"].secret not in repr(ground)
    assert not ground.folder.exists() and not alice.settings.run.exists()
