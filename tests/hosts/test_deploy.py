"""`qkdbus deploy network.yaml inventory.yaml`, on hosts of their own: what a user does, and what goes wrong."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(300)]


def test_the_papers_files_become_keys_and_nothing_is_left(site: Any) -> None:
    net = site("A", "B", "C")
    file, inventory = net.file("ABC"), net.inventory("figure7")
    first = net.json("deploy", file, inventory)
    assert first["ready"] and sorted(first["changed"]) == ["A", "B", "C"], first
    assert {"connect", "send", "start", "check"} <= set(first["phases"])
    net.keys_are_equal()

    again = net.json("deploy", file)  # where it is, is known
    assert again["ready"] and again["changed"] == [], again
    status = net.json("status", "net")
    assert status["state"] == "ready"
    assert {node["host"] for node in status["nodes"]} == {"A", "B", "C"}
    assert all(link["emulator"] == "simulaqron" and link["blocks"] for link in status["links"])
    assert "started" in net.run("logs", "B", "keysync", "-n", "500")

    net.run("stop", "net", "B")
    assert not net.lab.processes("B")
    net.run("start", "net")
    net.keys_are_equal()
    net.run("client", "add", "A", "app1")
    assert "app1" in net.lab.files("A", "/home/qkd/.qkdbus/.nodes/net/A/certs/apps.json").read_text()

    net.run("destroy", "net", "--yes")
    for host in "ABC":
        assert not net.lab.processes(host)
        assert net.lab.on(host, "find / -xdev -path '*qkdbus*'").stdout == ""
    assert not (net.lab.home / ".qkdbus" / "net").exists()


def test_what_is_edited_is_applied_and_the_rest_goes_on(site: Any) -> None:
    net = site("A", "B", "C", "D")
    inventory = net.inventory("key")
    net.run("deploy", net.file("ABC", link_defaults={"emulator": "ideal"}), inventory)
    before = net.pids()

    done = net.json("deploy", net.file("ABCD", link_defaults={"emulator": "ideal"}))
    assert sorted(done["changed"]) == ["C", "D"], done
    after = net.pids()
    assert (after["A"], after["B"]) == (before["A"], before["B"])
    net.keys_are_equal()

    done = net.json("deploy", net.file("ABC", link_defaults={"emulator": "ideal"}))
    assert done["removed"] == ["D"] and done["changed"] == ["C"], done
    assert not net.lab.processes("D")
    assert (net.pids()["A"], net.pids()["B"]) == (before["A"], before["B"])


def test_a_host_that_is_down_is_named_and_the_next_run_finishes(site: Any) -> None:
    net = site("A", "B", "C")
    inventory = net.inventory("key")
    net.lab.cut("C")
    said = net.run("deploy", net.file("ABC"), inventory, "--connect-timeout", 3, code=1)
    assert "C: connect: C: " in said and "the rest is deployed" in said, said
    net.keys_are_equal("--link", "A-B")
    status = net.json("status", "net")
    assert [node["state"] for node in status["nodes"]] == ["running", "running", "unknown"]
    net.lab.heal("C")
    done = net.json("deploy", net.file("ABC"))
    assert done["ready"] and done["changed"] == ["C"], done
    net.keys_are_equal()


def test_a_wrong_password_is_told_and_no_secret_is(site: Any) -> None:
    net = site("A", "B")
    inventory = net.inventory("password", each={"B": {"ansible_ssh_pass": "not-the-password"}})
    said = net.run("deploy", net.file("AB"), inventory, code=1)
    assert "B: connect" in said and "assword" in said, said
    assert "not-the-password" not in said
    assert "qkd-secret" not in said


def test_a_full_disk_is_told_and_the_next_run_finishes(site: Any) -> None:
    net = site("A", "B", disk_mb={"B": 400})
    net.lab.fill_disk("B", leave_kb=20_000)
    said = net.run("deploy", net.file("AB"), net.inventory("key"), code=1)
    assert "B: start" in said and "room" in said, said
    net.lab.clear_disk("B")
    assert net.json("deploy", net.file("AB"))["changed"] == ["B"]
    net.keys_are_equal()


def test_a_port_that_is_taken_is_not_used(site: Any) -> None:
    net = site("A", "B")
    with net.lab.occupied("A", 20_000):
        net.run("deploy", net.file("AB", link_defaults={"emulator": "ideal"}), net.inventory("key"))
        net.keys_are_equal()


def test_a_shut_door_is_told(site: Any) -> None:
    net = site("A", "B")
    net.lab.firewall("B", drop=[20_002])
    said = net.run("deploy", net.file("AB", link_defaults={"emulator": "ideal"}), net.inventory("key"), code=1)
    assert "cannot reach B (keysync)" in said and "20002" in said, said


def test_hosts_that_were_cut_off_go_on_by_themselves(site: Any) -> None:
    """Cut for 30 s and back: no key is lost or differs, and new ones form without anybody's doing."""
    net = site("A", "B", "C")
    net.run("deploy", net.file("ABC", ring=True, buffers={"window_bytes": 256}), net.inventory("key"))
    ksid = net.run("key", "open", "A", "a@A", "b@B").strip()
    net.run("key", "open", "B", "a@A", "b@B", "--ksid", ksid)
    early = net.keys("A", ksid, 3)
    net.lab.cut("B")
    time.sleep(30)
    net.lab.heal("B")
    assert net.keys("B", ksid, 3) == early
    for _ in range(5):  # in all more than was there when the cable was cut; both ends take, or none is formed
        late = net.keys("A", ksid, 4)
        assert net.keys("B", ksid, 4) == late
        early += late
    assert len(set(early)) == 23
    net.keys_are_equal()


def test_a_host_that_crashed_comes_back_with_its_keys(site: Any) -> None:
    net = site("A", "B")
    net.run("deploy", net.file("AB"), net.inventory("key"))
    ksid = net.run("key", "open", "A", "a@A", "b@B").strip()
    net.run("key", "open", "B", "a@A", "b@B", "--ksid", ksid)
    mine = net.keys("A", ksid, 3)
    net.lab.crash("B")
    net.lab.boot("B")
    net.run("start", "net")
    assert net.keys("B", ksid, 3) == mine
    net.keys_are_equal()


def test_a_host_that_was_wiped_is_made_anew(site: Any) -> None:
    net = site("A", "B", "C")
    net.run("deploy", net.file("ABC"), net.inventory("key"))
    net.keys_are_equal()
    net.lab.reset("B")
    done = net.json("deploy", net.file("ABC"))
    assert done["ready"], done
    assert any("nothing of it is left" in note for note in done["notes"])
    net.keys_are_equal()


def test_this_machine_and_others_make_one_network(site: Any) -> None:
    net = site("A", "B")
    inventory = net.inventory("key")
    said = yaml.safe_load(inventory.read_text())
    said["all"]["hosts"]["here"] = {"ansible_connection": "local", "ansible_host": net.lab.address}
    inventory.write_text(yaml.safe_dump(said))
    assert net.json("deploy", net.file(["A", "here", "B"]), inventory)["ready"]
    net.keys_are_equal()
    net.run("destroy", "net", "--yes")


def test_secrets_are_nowhere_to_be_read(site: Any) -> None:
    """Neither on a command line while a deploy runs, nor in a log, nor in a file that others may read."""
    net = site("A", "B")
    file, inventory = net.file("AB"), net.inventory("password")
    seen: set[str] = set()
    with net.lab.start(["qkdbus", "deploy", str(file), str(inventory)]) as deploying:
        while deploying.poll() is None:
            for entry in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    seen.add(entry.read_bytes().decode(errors="replace"))
                except OSError:
                    continue
            time.sleep(0.02)
    assert deploying.returncode == 0
    home = net.lab.home / ".qkdbus"
    secrets = {"qkd-secret"}
    for node in "AB":
        secrets.add(json.loads((home / "net" / node / "certs/node.json").read_text())["secret_key"])
    for secret in secrets:
        assert not [line for line in seen if secret in line]
        for host in "AB":
            logs = net.lab.files(host, f"/home/qkd/.qkdbus/.nodes/net/{host}/logs")
            assert not [log for log in logs.iterdir() if secret in log.read_text()]
    for folder in (home / "net", *(net.lab.files(host, "/home/qkd/.qkdbus/.nodes/net") for host in "AB")):
        for entry in folder.rglob("*"):
            assert entry.is_symlink() or not entry.stat().st_mode & 0o077, entry
