"""Hands on hosts that are this machine: what runs, what fails alone, and that nothing stays."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import BadFile, QkdbusError, Silent, Unavailable
from qkdbus_deploy import kernel
from qkdbus_deploy.fleet.hands import Hands
from qkdbus_deploy.fleet.host import Host, Ran

Left = Callable[[], list[str]]


def until(holds: Callable[[], object], patience: float = 20.0) -> None:
    ends = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_a_command_says_and_ends_as_it_does(pair: Hands) -> None:
    host = pair.hosts["a"]
    assert host.run("echo out; echo err >&2; exit 3") == Ran(3, "out\n", "err\n")
    assert host.run('cd /; echo "it\'s $(pwd)"; kill -9 $$').out == "it's /\n"
    assert host.run("( what").code == 2
    assert host.run("exit 255").code == 254
    assert host.run("cat") == Ran(0, "", "")  # and does not wait for a terminal


def test_files_are_its_standard_input(pair: Hands, tmp_path: Path) -> None:
    one, other, nothing = (tmp_path / name for name in ("one", "other", "nothing"))
    one.write_bytes(bytes(range(256)) * 20_000)
    other.write_bytes(b"end")
    nothing.touch()
    host = pair.hosts["b"]
    assert host.run("wc -c; true", [one, nothing, other]).out.split() == ["5120003"]
    assert host.run("tail -c 4 | od -An -tx1", [one, other]).out.split() == ["ff", "65", "6e", "64"]
    assert host.run("cat", [nothing]) == Ran(0, "", "")


def test_a_file_that_is_not_there_is_said(pair: Hands, tmp_path: Path) -> None:
    with pytest.raises(QkdbusError, match="nowhere"):
        pair.hosts["a"].run("cat", [tmp_path / "nowhere"])
    assert pair.hosts["a"].run("true").code == 0


def test_hosts_come_in_the_order_of_the_inventory(pair: Hands) -> None:
    assert list(pair.hosts) == ["b", "a"]


def test_hosts_work_at_the_same_time(pair: Hands, tmp_path: Path) -> None:
    """Each waits until the other has begun."""

    def meet(host: Host) -> Ran:
        other = {"a": "b", "b": "a"}[host.name]
        return host.run(f"touch {tmp_path}/{host.name}; until [ -e {tmp_path}/{other} ]; do sleep 0.05; done")

    assert pair.each(pair.hosts.values(), meet) == {"b": Ran(0, "", ""), "a": Ran(0, "", "")}


def test_a_failure_of_one_is_its_own(pair: Hands) -> None:
    def work(host: Host) -> str:
        if host.name == "b":
            raise BadFile("mine alone")
        return host.run("echo done").out

    results = pair.each(pair.hosts.values(), work)
    assert isinstance(results["b"], BadFile) and results["a"] == "done\n"


def test_a_command_that_takes_too_long_is_ended(pair: Hands, tmp_path: Path) -> None:
    host = pair.hosts["a"]
    with pytest.raises(Silent, match=r"a: no answer in 0\.5 s"):
        host.run(f"trap '' TERM; echo $$ > {tmp_path}/pid; while :; do sleep 0.1; done", patience=0.5)
    assert host.run("echo next").out == "next\n"
    until(lambda: kernel.start_time(int((tmp_path / "pid").read_text())) is None)


def test_what_a_host_is_called_and_reached_by_is_known_but_no_password(inventory: Any) -> None:
    secret = "geheim"
    file = inventory(
        a={
            "ansible_host": "{{ '10.0.0.' ~ 7 }}",
            "ansible_ssh_user": "u",
            "ansible_ssh_pass": secret,
            "ansible_become_password": secret,
            "py_env": "/home/u/.local/lib/python3.10",
            "qkdbus_home": "/srv/qkdbus",
            "qkdbus_list": [1, {"x": "{{ 'y' ~ 'z' }}"}],
            "qkdbus_token": secret,
            "other": 1,
        }
    )
    with Hands(file) as hands:
        assert hands.hosts["a"].variables == {
            "ansible_host": "10.0.0.7",
            "ansible_connection": "local",
            "ansible_user": "u",
            "py_env": "/home/u/.local/lib/python3.10",
            "qkdbus_home": "/srv/qkdbus",
            "qkdbus_list": [1, {"x": "yz"}],
        }
        assert secret not in repr(hands.hosts)


def test_a_host_whose_settings_are_wrong_is_alone_with_that(inventory: Any) -> None:
    file = inventory(
        a={"qkdbus_x": "{{ missing }}"}, b={}, c={"ansible_connection": "nonsense"}, d={"ansible_host": "{{ missing }}"}
    )
    with Hands(file) as hands:
        results = hands.each(hosts.values(), lambda host: host.run("echo here").out) if (hosts := hands.hosts) else {}
    assert list(results) == ["a", "b", "c", "d"] and results["b"] == "here\n"
    for name, why in (("a", "'missing' is undefined"), ("c", "nonsense"), ("d", "'missing' is undefined")):
        error = results[name]
        assert isinstance(error, BadFile) and why in str(error)
        assert str(error).startswith(f"{name}: {file}: ")


def test_nothing_stays(inventory: Any, left: Left, root: Path) -> None:
    before, threads = set(root.glob("hands-*")), threading.active_count()
    with Hands(inventory(a={}, b={})) as hands:
        host = hands.hosts["a"]
        (folder,) = set(root.glob("hands-*")) - before
        assert folder.stat().st_mode & 0o777 == 0o700 and len(left()) > 3
    assert left() == []
    until(lambda: threading.active_count() <= threads)
    with pytest.raises(Unavailable, match="a: the connection was closed"):
        host.run("true")


def test_what_was_left_by_a_run_that_nobody_could_end_is_removed(inventory: Any, pair: Hands, root: Path) -> None:
    """As after kill -9 of everything at once; folders in use, and such as are just being made, stay."""
    assert pair.hosts
    (living,) = root.glob("hands-*")
    dead, young = root / "hands-dead", root / "hands-young"
    for folder in (dead, young):
        folder.mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(folder / "socket"))
    for folder in (living, dead):
        os.utime(folder, (1, 1))
    with Hands(inventory(a={})):
        assert living.exists() and young.exists() and not dead.exists()
    assert pair.hosts["a"].run("echo here").out == "here\n"
    shutil.rmtree(young)


def test_a_daemon_that_a_command_leaves_lives_on(inventory: Any, left: Left) -> None:
    with Hands(inventory(a={})) as hands:
        pid = int(hands.hosts["a"].run("setsid sleep 1000 >/dev/null 2>&1 & echo $!").out)
    os.kill(pid, signal.SIGKILL)  # raises, when it is gone
    assert left() == []


def test_two_do_not_disturb_each_other(inventory: Any, pair: Hands) -> None:
    with Hands(inventory(a={})) as hands:
        assert hands.hosts["a"].run("echo 1").out == "1\n"
        assert pair.hosts["a"].run("echo 2").out == "2\n"
    assert pair.hosts["a"].run("echo 3").out == "3\n"


def test_closing_ends_what_runs(inventory: Any, left: Left) -> None:
    with Hands(inventory(a={}, b={})) as hands:
        results: dict[str, Any] = {}

        def work() -> None:
            results.update(hands.each(hands.hosts.values(), lambda host: host.run("sleep 1000")))

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: sum("sleep 1000" in command for command in left()) >= 2)
        hands.close()
        thread.join(20)
    assert not thread.is_alive() and left() == []
    assert {str(error) for error in results.values()} == {f"{name}: the connection was closed" for name in "ab"}


PROGRAM = """
import sys
from pathlib import Path
from qkdbus_deploy.fleet.hands import Hands

with Hands(Path(sys.argv[1])) as hands:
    hands.each(hands.hosts.values(), lambda host: host.run("sleep 1001"))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_of_a_command_that_is_ended(inventory: Any, left: Left, number: signal.Signals) -> None:
    """Ctrl-C goes to all processes of the terminal; the others to the command alone, which SIGKILL tells nothing."""
    command = [sys.executable, "-c", PROGRAM, str(inventory(a={}, b={}))]
    process = subprocess.Popen(command, start_new_session=True, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until(lambda: sum("sleep 1001" in command for command in left()) >= 2)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    process.communicate(timeout=20)
    assert process.returncode
    until(lambda: not left())
    assert subprocess.run(["pgrep", "-f", "sleep 1001"], capture_output=True, text=True, check=False).stdout == ""


def test_hosts_are_lost_when_ansible_dies(inventory: Any, left: Left) -> None:
    with Hands(inventory(a={})) as hands:
        host = hands.hosts["a"]
        os.kill(hands._warden.pid, signal.SIGKILL)
        until(lambda: isinstance(host.link, QkdbusError))
        with pytest.raises(Unavailable, match="a: Ansible has ended"):
            host.run("true")
    until(lambda: not left())
