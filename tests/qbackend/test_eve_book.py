"""Who sits in the channels: the file's word, live attacks, and what is left of them after a restart."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import stat
from pathlib import Path

import pytest

from qkdbus.errors import Refused
from qkdbus.network.model import LinkSettings
from qkdbus.network.photonic import Eavesdropper
from qkdbus.wire import qbackend_pb2 as wire
from qkdbus_qbackend.eve import LOOK_EVERY, NOBODY, EveBook, attack, from_wire, to_wire

LOG = logging.getLogger("test")
EVE = Eavesdropper(intercept_resend=0.3, bases=(0.0, 22.5))
IN_FILE = Eavesdropper(jam=0.1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "eve.json"


def book(file: Path, clock: Clock, **defaults: Eavesdropper) -> EveBook:
    return EveBook(file, {"Bob": NOBODY, "Carol": NOBODY, **defaults}, monotonic=clock)


def test_the_network_file_says_who_is_there_at_first(file: Path, clock: Clock) -> None:
    here = book(file, clock, Bob=IN_FILE)
    assert (here.at("Bob"), here.at("Carol"), here.at("nobody we know")) == (IN_FILE, NOBODY, NOBODY)
    assert not file.exists()


def test_a_live_attack_goes_before_the_file_and_holds_over_a_restart(file: Path, clock: Clock) -> None:
    here = book(file, clock, Bob=IN_FILE)
    here.set("Bob", EVE)
    assert here.at("Bob") == EVE
    again = book(file, clock, Bob=IN_FILE)
    assert (again.at("Bob"), again.at("Carol")) == (EVE, NOBODY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir()] == [file.name], "the new file has taken the old one's place"


def test_off_means_nobody_even_where_the_file_has_somebody(file: Path, clock: Clock) -> None:
    here = book(file, clock, Bob=IN_FILE)
    here.set("Bob", None)
    assert here.at("Bob") == book(file, clock, Bob=IN_FILE).at("Bob") == NOBODY
    here.set("Bob", IN_FILE)
    assert json.loads(file.read_text()) == {}, "what the file says anyway needs no note"


def test_another_process_is_heard_in_time(file: Path, clock: Clock) -> None:
    here, replica = book(file, clock), book(file, clock)
    here.set("Bob", EVE)
    clock.now += LOOK_EVERY
    assert replica.at("Bob") == EVE
    here.set("Bob", None)
    assert replica.at("Bob") == EVE, "it does not look at the file all the time"
    clock.now += LOOK_EVERY
    assert replica.at("Bob") == NOBODY
    here.set("Carol", EVE)
    file.unlink()
    clock.now += LOOK_EVERY
    assert replica.at("Carol") == NOBODY


def test_a_new_word_of_the_file_ends_a_live_attack(file: Path, clock: Clock) -> None:
    book(file, clock, Bob=IN_FILE).set("Bob", None)
    edited = Eavesdropper(jam=0.2)
    assert book(file, clock, Bob=edited).at("Bob") == edited
    assert book(file, clock, Bob=IN_FILE).at("Bob") == NOBODY


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"Bob": 3}', b'{"Bob": {"eve": {"jam": 7}}}', b"\xff\xfe"])
def test_a_damaged_file_holds_no_attack_and_is_mended(file: Path, clock: Clock, damage: bytes) -> None:
    file.parent.mkdir()
    file.write_bytes(damage)
    here = book(file, clock)
    assert here.at("Bob") == NOBODY
    here.set("Bob", EVE)
    assert book(file, clock).at("Bob") == EVE


def _attack_often(file: Path, peer: str) -> None:
    here = EveBook(file, {"Bob": NOBODY, "Carol": NOBODY}, monotonic=lambda: 0.0)
    for share in range(1, 51):
        here.set(peer, Eavesdropper(jam=share / 50))


def test_two_processes_do_not_undo_each_other(file: Path, clock: Clock) -> None:
    processes = [multiprocessing.Process(target=_attack_often, args=(file, peer)) for peer in ("Bob", "Carol")]
    for process in processes:
        process.start()
    for process in processes:
        process.join(20)
    assert [book(file, clock).at(peer).jam for peer in ("Bob", "Carol")] == [1.0, 1.0]


def test_a_message_carries_an_attack_there_and_back() -> None:
    everything = Eavesdropper(
        intercept_resend=0.1, bases=(-22.5, 60), photon_number_splitting=0.2, beam_splitting=0.3, jam=0.4, cut=True
    )
    message = wire.Eavesdropper.FromString(to_wire(everything).SerializeToString())
    assert from_wire(message) == everything
    assert from_wire(wire.Eavesdropper()) == NOBODY


@pytest.mark.parametrize(
    "message",
    [
        wire.Eavesdropper(intercept_resend=1.1),
        wire.Eavesdropper(jam=-0.1),
        wire.Eavesdropper(beam_splitting=math.nan),
        wire.Eavesdropper(bases=[0.0, math.inf]),
        wire.Eavesdropper(bases=[math.nan]),
    ],
)
def test_figures_of_no_attack_are_refused(message: wire.Eavesdropper) -> None:
    with pytest.raises(Refused, match="of an attack"):
        from_wire(message)


def ask(request: wire.Attack, here: EveBook, links: dict[str, LinkSettings]) -> wire.Attacked:
    return attack(request, links=links, book=here, log=LOG)


def test_attack_sets_asks_and_knows_what_is_not_here(file: Path, clock: Clock) -> None:
    here, links = book(file, clock), {"Bob": LinkSettings(engine="qutip")}
    assert ask(wire.Attack(peer="Bob", eve=to_wire(EVE)), here, links) == wire.Attacked(here=True, eve=to_wire(EVE))
    assert ask(wire.Attack(peer="Bob"), here, links).eve == to_wire(EVE), "to ask changes nothing"
    assert ask(wire.Attack(peer="Bob", eve=wire.Eavesdropper()), here, links).eve == wire.Eavesdropper()
    assert not ask(wire.Attack(peer="Dave", eve=to_wire(EVE)), here, links).here


def test_an_impossible_attack_is_refused_and_changes_nothing(file: Path, clock: Clock) -> None:
    here, links = book(file, clock), {"Bob": LinkSettings()}
    with pytest.raises(Refused, match="photon-number splitting cannot be done on a SimulaQron link"):
        ask(wire.Attack(peer="Bob", eve=wire.Eavesdropper(photon_number_splitting=1)), here, links)
    with pytest.raises(Refused, match=r"cannot measure at 22\.5 degrees"):
        ask(wire.Attack(peer="Bob", eve=to_wire(EVE)), here, links)
    assert here.at("Bob") == NOBODY
