"""`qkdbus attack` on stand-in services: what is told to whom, and what a wrong attack is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus_deploy.attack import expect
from qkdbus_deploy.cli import main

LINKS = [
    {"between": ["N0", "N1"], "emulator": "simulaqron", "protocol": "bbm92"},
    {"between": ["N1", "N2"], "emulator": "photonic", "protocol": "bb84-decoy", "eavesdropper": {"jam": 0.1}},
]  # and N2 - N3 is ideal


@pytest.fixture
def attack(machine: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run `qkdbus attack` on a network of four nodes, in this process."""
    machine.deploy("net", 4, links=LINKS)
    monkeypatch.setenv("QKDBUS_HOME", str(machine.home))
    return lambda *words: CliRunner().invoke(main, ["attack", *map(str, words)], prog_name="qkdbus")


def test_an_attack_goes_to_whoever_has_the_channel(machine: Any, attack: Callable[..., Result]) -> None:
    assert attack("N1", "N0").stdout == "N0 - N1: nobody\n"
    said = attack("N1", "N0", "--intercept-resend", 0.4, "--bases", "0,45")
    assert said.exit_code == 0
    assert said.stdout.splitlines() == [
        "N0 - N1: Eve: intercept-resend 0.4 at 0, 45 degrees",
        "  expect: QBER 0.1000 on top of the link's own, with an alarm above 0.11",
    ]
    found = json.loads(attack("N0", "N1", "--json").stdout)
    assert (found["between"], found["there"], found["eve"]["intercept_resend"]) == (["N0", "N1"], True, 0.4)
    assert attack("N0", "N1", "--off").stdout == "N0 - N1: nobody\n"

    said = attack("N2", "N1", "--photon-number-splitting", 0.5, "--cut")
    assert said.stdout.splitlines()[0] == "N1 - N2: Eve: photon-number splitting 0.5, cutting the channel"
    assert "nothing arrives" in said.stdout
    said = attack("N1", "N2", "--off")
    assert "the network file has Eve: jamming 0.1" in said.stderr

    for words, code, told in (
        (["N0", "N2"], 2, "no link between N0 and N2 in net: N0 is linked with N1"),
        (["N0", "M1"], 2, "no node 'M1' in net"),
        (["N0", "N1", "--beam-splitting", 1], 2, "possible there: intercept-resend, jamming, cutting the channel"),
        (["N0", "N1", "--intercept-resend", 1, "--bases", "22.5"], 2, "cannot measure at 22.5 degrees"),
        (["N2", "N3", "--cut"], 2, "N2 - N3 has no channel to sit in: its emulator is ideal"),
        (["N0", "N1", "--off", "--jam", 1], 2, "say --off alone"),
        (["N0", "N1", "--jam", 1, "--bases", "0"], 2, "--bases are those of --intercept-resend"),
        (["N0", "N1", "--intercept-resend", 1, "--bases", "x"], 2, "write degrees with commas between"),
        (["N0", "N1", "--jam", 1.5], 2, "0<=x<=1"),
    ):
        said = attack(*words)
        assert (said.exit_code, told in said.stderr) == (code, True), said.stderr
    machine.run("stop", "net", "N0")
    said = attack("N1", "N0", "--cut")
    assert said.exit_code == 1
    assert "N0, which has the channel, is not running: `qkdbus start net`" in said.stderr


@pytest.mark.parametrize(
    ("link", "eve", "words"),
    [
        ({"protocol": "bbm92"}, {"intercept_resend": 1.0}, "QBER 0.2500"),
        ({"protocol": "bbm92"}, {"intercept_resend": 1.0, "bases": (22.5,)}, "QBER 0.2500"),
        ({"protocol": "bbm92"}, {"jam": 0.5}, "QBER 0.2500"),
        ({"protocol": "e91-same-bases"}, {"intercept_resend": 0.3}, "QBER 0.1000"),
        ({"protocol": "e91"}, {"intercept_resend": 1.0}, "S 1.414"),
        ({"protocol": "e91"}, {"intercept_resend": 1.0, "bases": (22.5, 45)}, "QBER 0.1250"),
        ({"protocol": "e91"}, {"intercept_resend": 0.5, "jam": 0.5}, "S 1.061"),
        ({"protocol": "bb84-decoy", "emulator": "photonic"}, {"photon_number_splitting": 1}, "decoys"),
    ],
)
def test_what_to_expect_is_what_physics_says(link: dict[str, Any], eve: dict[str, Any], words: str) -> None:
    """Physics reference, section 5: r/4, S = sqrt(2) for every angle, 12.5 % where she has the two key bases."""
    seen = expect(LinkSettings.model_validate(link), Eavesdropper.model_validate(eve))
    assert any(line.startswith(words) or words in line for line in seen), seen


def test_help_does_not_wait_for_what_it_does_not_need(tmp_path: Path) -> None:
    said = CliRunner().invoke(main, ["attack", "--help"])
    assert said.exit_code == 0
    assert "QBER R/4" in said.output
