"""An inventory that Ansible cannot use is told in a line that says where and what; a locked one can be opened."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import BadFile, Refused
from qkdbus_deploy.fleet.hands import Hands
from qkdbus_deploy.fleet.options import Options

SECRET = "open sesame"


def failing(file: Path, **options: Any) -> str:
    """What is said of an inventory that has no usable host."""
    with pytest.raises(BadFile) as caught, Hands(file, None, Options(**options)) as hands:
        print(hands.hosts)
    return str(caught.value)


def test_one_that_is_not_there(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "nowhere.yaml"
    assert failing(file) == f"{file}: there is no such inventory"


@pytest.mark.parametrize("name", ["hosts.yaml", "hosts"])
def test_one_without_a_host(tmp_path: Path, root: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("all: {hosts: {}}\n" if name == "hosts.yaml" else "[all]\n")
    assert failing(file) == f"{file}: there is no host in it"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.yaml", "all:\n  hosts:\n    a: {ansible_port: 1\n  b: [\n", r"a\.yaml, line 4: YAML parsing failed.*"),
        ("a.yaml", "- a\n- b\n", r"a\.yaml: YAML inventory has invalid structure, it should be a dictionary.*"),
        ("a.ini", "[all]\na b = 'c\n", r"a\.ini: Error parsing host definition.*No closing quotation"),
    ],
)
def test_one_with_a_mistake(tmp_path: Path, root: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert re.fullmatch(f"{re.escape(str(tmp_path))}/{said}", failing(file))


def test_a_limit_that_leaves_nothing(inventory: Any) -> None:
    assert "Could not match supplied host pattern, ignoring: nobody" in failing(inventory(a={}), limit="nobody")


def test_only_the_hosts_of_the_limit(inventory: Any) -> None:
    with Hands(inventory(a={}, b={}, c={}), None, Options(limit="a,c")) as hands:
        assert list(hands.hosts) == ["a", "c"]


def test_what_ansible_warns_of_is_said(tmp_path: Path, root: Path) -> None:
    file = tmp_path / "hosts.yaml"
    file.write_text("all:\n  hosts:\n    a: {ansible_connection: local}\n  hots:\n    b: {}\n")
    said: list[str] = []
    with Hands(file, said.append) as hands:
        assert list(hands.hosts) == ["a"]
    assert len(said) == 1 and said[0].startswith("Ansible warns: Skipping unexpected key (hots) in group (all)")


@pytest.fixture
def locked(tmp_path: Path, root: Path) -> Callable[..., Path]:
    """An inventory with a host whose variable is encrypted (and one without), or that is encrypted as a whole."""
    (tmp_path / "right").write_text(SECRET)
    (tmp_path / "wrong").write_text("another")
    vault = [sys.executable, "-m", "ansible", "vault"]
    password = ["--vault-password-file", str(tmp_path / "right")]

    def make(whole: bool = False) -> Path:
        command = [*vault, "encrypt_string", *password, "hidden"]
        value = subprocess.run(command, capture_output=True, text=True, check=True).stdout.replace("\n", "\n        ")
        file = tmp_path / "locked.yaml"
        local = "ansible_connection: local"
        file.write_text(f"all:\n  hosts:\n    a:\n      {local}\n      qkdbus_x: {value}\n    b: {{{local}}}\n")
        if whole:
            subprocess.run([*vault, "encrypt", *password, str(file)], capture_output=True, check=True)
        return file

    return make


def test_a_locked_variable_is_opened(locked: Any, tmp_path: Path) -> None:
    with Hands(locked(), None, Options(vault_password_file=tmp_path / "right")) as hands:
        assert hands.hosts["a"].variables["qkdbus_x"] == "hidden"
        assert hands.hosts["a"].run("echo here").out == "here\n"


@pytest.mark.slow
def test_a_locked_variable_stops_its_host_alone(locked: Any, tmp_path: Path) -> None:
    file = locked()
    for options, why in (
        (Options(), "a part of it is encrypted; give the password with --vault-password-file or --ask-vault-pass"),
        (
            Options(vault_password_file=tmp_path / "wrong"),
            "the vault password does not open what is encrypted in it",
        ),
    ):
        with Hands(file, None, options) as hands:
            assert hands.hosts["b"].run("echo here").out == "here\n"
            with pytest.raises(BadFile, match=re.escape(f"a: {file}: {why}")):
                hands.hosts["a"].run("true")


@pytest.mark.slow
def test_one_that_is_locked_as_a_whole(locked: Any, tmp_path: Path) -> None:
    file = locked(whole=True)
    assert "--vault-password-file" in failing(file)
    wrong = failing(file, vault_password_file=tmp_path / "wrong")
    assert wrong == f"{file}: the vault password does not open what is encrypted in it"
    nowhere = failing(file, vault_password_file=tmp_path / "nowhere")
    assert nowhere == f"{tmp_path}/nowhere: there is no such file with a vault password"


PROGRAM = """
import sys
from pathlib import Path
from qkdbus_deploy.fleet.hands import Hands
from qkdbus_deploy.fleet.options import Options
with Hands(Path(sys.argv[1]), None, Options(ask_vault_pass=True)) as hands:
    print("found", hands.hosts["a"].variables["qkdbus_x"])
"""


def test_a_password_is_asked_for_on_the_terminal(locked: Any) -> None:
    file = locked()
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-c", PROGRAM, str(file)])
    heard = b""
    told = False
    while b"found hidden" not in heard:
        assert select.select([terminal], [], [], 30)[0], heard
        heard += os.read(terminal, 4096)
        if not told and b"Vault password" in heard:
            os.write(terminal, f"{SECRET}\n".encode())
            told = True
    assert SECRET.encode() not in heard
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_no_password_is_asked_for_without_a_terminal(inventory: Any) -> None:
    command = [sys.executable, "-c", PROGRAM, str(inventory(a={}))]
    done = subprocess.run(command, start_new_session=True, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"{Refused.__name__}: there is no terminal" in done.stderr
