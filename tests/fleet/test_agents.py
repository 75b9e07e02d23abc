"""What is asked of a host's agent: it holds keys, and lies on no disk."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from qkdbus.errors import Failed, Refused
from qkdbus_deploy.fleet.agents import Agent, Bare
from qkdbus_deploy.fleet.host import Host, Ran


class Far:
    """A host that notes what it is sent, and says what it is told to."""

    name = "far"

    def __init__(self, says: str) -> None:
        self.says, self.files, self.heard = says, [""], b""

    def run(self, command: str, stdin: Sequence[Path] = (), patience: float | None = None) -> Ran:
        self.files = [os.readlink(file) for file in stdin]
        self.heard = b"".join(file.read_bytes() for file in stdin)
        return Ran(0, self.says, "")


def agent(far: Far) -> Agent:
    return Agent(cast(Host, far), "/home/qkd/.qkdbus/.nodes", "/usr/bin/python3", ("a" * 32,))


def test_a_request_is_on_no_disk_and_gone_afterwards() -> None:
    far, before = Far('{"ok": 7}'), set(os.listdir("/proc/self/fd"))
    assert agent(far).ask({"op": "apply", "bundles": ["a secret"]}) == 7
    assert far.files and all(file.startswith("/memfd:") for file in far.files)
    assert b"a secret" in far.heard
    assert set(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("says", "kind", "words"),
    [
        ('{"error": {"kind": "Refused", "text": "TCP port 20000 is taken"}}', Refused, "far: TCP port 20000 is taken"),
        ('{"missing": ["%s"], "zstd": true}' % ("a" * 32), Bare, "deploy again, or `destroy --forget`"),
        ("Segmentation fault", Failed, "far: Segmentation fault"),
        ('{"odd": 1}', Failed, "another version of qkdbus"),
    ],
)
def test_what_goes_wrong_there_is_told(says: str, kind: Any, words: str) -> None:
    with pytest.raises(kind, match=words):
        agent(Far(says)).ask({"op": "status"})
