"""Our own calls at a node's supervisord, asked for anything: an answer or a fault by XML-RPC, and it lives on."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from benchmarks.fuzz.files import value
from supervisor.xmlrpc import RPCError

from qkdbus_deploy.supervise import Extra

FEW, MANY = 3000, 100_000


def ask(count: int, seed: int) -> None:
    dice, config = random.Random(seed), SimpleNamespace(own="", command="as deployed")
    group = SimpleNamespace(
        config=SimpleNamespace(name="node"), processes={"keysync": SimpleNamespace(config=config, spawned=1)}
    )
    extra = Extra(SimpleNamespace(process_groups={"node": group}))  # type: ignore[arg-type]
    done = refused = 0
    for _ in range(count):
        name: Any = "keysync" if dice.random() < 0.5 else value(dice)
        command: Any = dice.choice(("", "python -m x", value(dice), value(dice), dice.randbytes(3)))
        try:
            done += extra.become(name, command)
        except RPCError:
            refused += 1
        assert isinstance(config.command, str) and config.command.isprintable() and config.command
        assert config.own in ("", "as deployed")
        assert extra.starts() == {"node:keysync": 1}
    assert done > count // 20 and refused > count // 20


def test_what_is_no_command_is_refused() -> None:
    ask(FEW, 1)


@pytest.mark.slow
def test_a_hundred_thousand() -> None:
    ask(MANY, 2)
