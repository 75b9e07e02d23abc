"""`qkdbus client`: who is let in, and what the credential holds."""

from __future__ import annotations

import json
import stat
from typing import Any

import zmq


def test_a_credential_has_the_shape_of_client_json(machine: Any) -> None:
    machine.deploy("net")
    said = machine.json("client", "add", "N0", "app1")
    file = machine.home / "net" / "clients" / "N0.app1.json"
    assert said["credential"] == str(file) and stat.S_IMODE(file.stat().st_mode) == 0o600
    credential, local = json.loads(file.read_text()), json.loads((machine.home / "net" / "client.json").read_text())
    assert credential["network"] == "net" and list(credential["nodes"]) == ["N0"]
    mine, his = credential["nodes"]["N0"], local["nodes"]["N0"]
    assert set(mine) == set(his) and mine["app"] == "app1"
    assert (mine["endpoint"], mine["server_key"]) == (his["endpoint"], his["server_key"])
    assert zmq.curve_public(mine["secret_key"].encode()).decode() == mine["public_key"] != his["public_key"]
    apps = json.loads((machine.home / "net" / "N0" / "certs" / "apps.json").read_text())
    assert apps == {"*": his["public_key"], "app1": mine["public_key"]}

    assert machine.json("client", "list", "N0") == {"app1": mine["public_key"]}
    assert "already" in machine.run("client", "add", "N0", "app1", code=2).stderr
    assert "nothing changed" in machine.deploy("net").stdout  # an application is no reason for a restart
    assert machine.json("client", "list", "N0") == {"app1": mine["public_key"]}

    machine.run("client", "revoke", "N0", "app1")
    assert machine.json("client", "list", "N0") == {} and not file.exists()
    assert "no application 'app1'" in machine.run("client", "revoke", "N0", "app1", code=2).stderr
    assert "no application '*'" in machine.run("client", "revoke", "N0", "*", code=2).stderr


def test_a_name_that_would_leave_the_folder_is_refused(running: Any) -> None:
    assert "cannot be an application's name" in running.run("client", "add", "N0", "../evil", code=2).stderr
