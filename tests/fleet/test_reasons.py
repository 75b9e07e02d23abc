"""The words of ssh and Ansible, and what is made of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qkdbus_deploy.fleet import reasons

HOST = {"ansible_host": "10.0.0.7", "ansible_user": "qkd", "ansible_port": 2222}
CHANGED = """@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@
Host key verification failed."""


@pytest.mark.parametrize(
    ("said", "cause", "remedy"),
    [
        ("qkd@10.0.0.7: Permission denied (publickey,password).", "qkd is not let in", "ansible_ssh_pass"),
        ("Invalid/incorrect password: Permission denied, please try again.", "qkd is not let in", "--ask-pass"),
        ("Received disconnect: Too many authentication failures", "too many keys", "ansible_ssh_private_key_file"),
        ("ssh: connect to host 10.0.0.7 port 2222: Connection refused", "nothing listens at 10.0.0.7:2222", "sshd"),
        ("ssh: connect to host 10.0.0.7 port 2222: Connection timed out", "does not answer", "firewall"),
        ("ssh: connect to host 10.0.0.7 port 2222: No route to host", "no way to 10.0.0.7", "on this network"),
        ("ssh: Could not resolve hostname x: Name or service not known", "no address", "ansible_host"),
        (CHANGED, "its host key is not the one it had", "ssh-keygen -R 10.0.0.7"),
        ("Host key verification failed.", "its host key is not known", "ssh qkd@10.0.0.7"),
        (
            "Using a SSH password instead of a key is not possible because Host Key checking is enabled.",
            "host key",
            "ssh-keygen",
        ),
        ("", "the connection broke", "run the command again"),
        ("Timeout, server 10.0.0.7 not responding.", "the connection broke", "run the command again"),
        ("Shared connection to 10.0.0.7 closed.", "the connection broke", "run the command again"),
        ("Incorrect sudo password", "the password for becoming another user is wrong", "ansible_become_password"),
        ("Missing sudo password", "needs a password", "--ask-become-pass"),
        ("Timeout (12s) waiting for privilege escalation prompt: ", "does not work", "ansible_become_method"),
        ("becoming another user: sh: 1: sudo: not found", "does not work: sh: 1: sudo: not", "ansible_become_method"),
        ("becoming another user: qkd is not in the sudoers file.", "does not work: qkd is not in", "may qkd use it"),
        ("becoming another user: sudo: a password is required", "needs a password", "--ask-become-pass"),
        ("to use the password_mechanism=sshpass, you must install the sshpass program", "sshpass", "2.19"),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        "",
        "Failed to connect to the host via ssh: ",
        'Data could not be sent to remote host "10.0.0.7". Make sure this host can be reached over ssh: ',
    ],
)
def test_a_known_failure_comes_with_its_remedy(before: str, said: str, cause: str, remedy: str) -> None:
    text = reasons.unreachable(HOST, before + said)
    assert re.fullmatch(r"[^(]+ \(.+\)", text) and "{" not in text
    assert cause in text.partition(" (")[0] and remedy in text.partition(" (")[2]


def test_an_unknown_failure_is_passed_on() -> None:
    said = (
        "Failed to connect to the host via ssh: kex_exchange: no matching\n<<< caused by >>>\nkex_exchange: no matching"
    )
    assert reasons.unreachable(HOST, said) == "cannot be reached: kex_exchange: no matching"


@pytest.mark.parametrize(
    "said",
    [
        """[WARNING]: Failed to parse inventory with 'auto' plugin: YAML parsing failed: did not find ','.
Origin: /x/hosts.yaml:4:5
[WARNING]: Failed to parse inventory with 'yaml' plugin: YAML parsing failed: did not find ','.
[WARNING]: Failed to parse inventory with 'ini' plugin: Expected key=value""",
        # ansible-core 2.16 to 2.18
        """[WARNING]:  * Failed to parse /x/hosts.yaml with yaml plugin: YAML parsing failed: did not find ','
The error appears to be in '/x/hosts.yaml': line 4, column 5, but may
[WARNING]:  * Failed to parse /x/hosts.yaml with ini plugin: Expected key=value
ERROR! Completely failed to parse inventory source /x/hosts.yaml""",
    ],
)
def test_the_plugin_for_the_kind_of_file_has_the_word(said: str) -> None:
    file = Path("/x/hosts.yaml")
    assert reasons.inventory(file, said) == f"{file}, line 4: YAML parsing failed: did not find ','"
