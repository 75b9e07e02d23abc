"""Photonic links in a network file: what is merged, noticed and refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.network.load import load
from qkdbus.network.routes import routes
from qkdbus.physics.expected import Terms, expected

EXAMPLE = Path(__file__).parents[2] / "examples" / "photonic.yaml"
Write = Callable[[str], Path]
Refusal = Callable[[str], list[str]]
HEAD = """\
nodes:
  - {node_name: A, neighbour_nodes: [B, C]}
  - {node_name: B, neighbour_nodes: [A]}
  - {node_name: C, neighbour_nodes: [A]}
"""
PULSES = HEAD + "link_defaults: {emulator: photonic, protocol: bb84-decoy}\n"


def test_what_a_link_does_not_say_comes_from_the_defaults_block_by_block(write: Write) -> None:
    text = PULSES.replace("bb84-decoy}", "bb84-decoy, photonic: {preset: gys-2004, fibre: {length_km: 50}, clock: 2}}")
    text += "links:\n  - {between: [A, C], photonic: {fibre: {db_per_km: 0.3}, receiver: {efficiency: 0.1}}}\n"
    plain, own = (route.settings.photonic for route in routes(load(write(text))))
    assert (plain.loss_db("bb84-decoy"), own.loss_db("bb84-decoy")) == (10.5, 15.0)
    assert (plain.receiver.efficiency, own.receiver.efficiency) == (None, 0.1)
    assert (plain.speed, own.speed) == (2.0, 2.0)


def test_the_example_is_good_and_every_link_of_it_gives_a_key() -> None:
    network = load(EXAMPLE)
    assert network.notices == ()
    for route in routes(network):
        link = route.settings
        terms = Terms(disclose=link.disclose, block=link.photonic.block_bits(link.protocol), epsilon=link.epsilon)
        assert expected(link.photonic.setup(link.protocol), link.protocol, terms).secret_hz > 1000


def test_e91_in_a_file_of_ours_is_the_whole_of_it(write: Write) -> None:
    network = load(write("qkdbus_version: 1\nconfig: {qkd_protocol: e91}\n" + HEAD))
    assert {route.settings.protocol for route in routes(network)} == {"e91"}
    assert network.notices == ()


def test_a_link_that_gives_no_key_is_noticed(write: Write) -> None:
    text = PULSES + "links:\n  - {between: [A, B], photonic: {fibre: {length_km: 500}}}\n"
    [notice] = load(write(text)).notices
    assert notice == "A - B gives no key by the formulas: QBER 50.0%, 2e+04 detections/s"


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ("photonic: {block: 100000}", "blocks of 100000 sifted bits prove too little"),
        ("qber_abort: 0.01", "QBER 3.0%, and qber_abort is 1.0%"),
    ],
)
def test_why_a_link_gives_no_key_is_told(write: Write, settings: str, why: str) -> None:
    [notice] = load(write(PULSES + f"links:\n  - {{between: [A, B], {settings}}}\n")).notices
    assert why in notice


def test_short_blocks_are_fine_in_the_asymptotic_sense(write: Write) -> None:
    link = "{between: [A, B], security: asymptotic, photonic: {block: 100000}}"
    assert load(write(PULSES + f"links:\n  - {link}\n")).notices == ()


def test_photonic_figures_that_are_for_no_link_are_noticed(write: Write) -> None:
    [notice] = load(write(HEAD + "link_defaults: {photonic: {preset: gys-2004}}\n")).notices
    assert "no link has the emulator photonic" in notice


# ---- what is refused: settings of the link A - B -> field at fault, and words of the message

FAULTS = {
    "no weak pulses on SimulaQron": (
        "protocol: bb84-decoy",
        "links[0].protocol",
        ["sends weak pulses", "write `emulator: photonic`, or the protocol `bbm92`"],
    ),
    "no weak pulses on ideal links": (
        "protocol: bb84-one-decoy, emulator: ideal",
        "links[0].protocol",
        ["the emulator ideal has pairs of qubits"],
    ),
    "no 22.5 degrees on ideal links": (
        "protocol: e91, emulator: ideal",
        "links[0].protocol",
        ["`e91` measures at 22.5 degrees", "or the protocol `bbm92`"],
    ),
    "no 22.5 degrees on a stabilizer": (
        "protocol: e91, engine: stabilizer",
        "links[0].engine",
        ["turns by multiples of 45 only", "leave `engine` out, or write projectq or qutip"],
    ),
    "no photonic block on SimulaQron": (
        "photonic: {clock: real-time}",
        "links[0].photonic",
        ["is for photonic links", "has the emulator simulaqron", "write `emulator: photonic`, or remove this"],
    ),
    "no Pauli noise on light": (
        "emulator: photonic, noise: {x: 0.1}",
        "links[0].noise",
        ["`photonic.noise`"],
    ),
    "an unknown preset": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {preset: boaron}",
        "links[0].photonic.preset",
        ['"boaron" is not a preset; did you mean "boaron-2018"?'],
    ),
    "pairs for pulses": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {preset: neumann-2022}",
        "links[0].photonic.preset",
        ["is a source of entangled pairs, and `bb84-decoy` needs weak pulses; write gys-2004 or"],
    ),
    "pulses for pairs": (
        "emulator: photonic, protocol: e91, photonic: {preset: li-2023}",
        "links[0].photonic.preset",
        ["is a source of weak pulses, and `e91` needs entangled pairs; write wengerowsky-2019 or neumann-2022"],
    ),
    "intensities that do not fall": (
        "emulator: photonic, protocol: bb84-one-decoy, photonic: {source: {intensities: [0.1, 0.5]}}",
        "links[0].photonic.source.intensities",
        ["should fall, the signal first (such as 0.5, 0.1), and are 0.1, 0.5"],
    ),
    "intensities of another protocol": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {source: {intensities: [0.5, 0.1]}}",
        "links[0].photonic.source.intensities",
        ["`bb84-decoy` has 3 intensities (signal, decoy and vacuum), and these are 2; write 3"],
    ),
    "a dark decoy": (
        "emulator: photonic, protocol: bb84-one-decoy, photonic: {source: {intensities: [0.5, 0]}}",
        "links[0].photonic.source.intensities",
        ["a decoy has light in it"],
    ),
    "a signal that is not bright enough": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {source: {intensities: [0.5, 0.4, 0.2]}}",
        "links[0].photonic.source.intensities",
        ["brighter than the decoys together"],
    ),
    "an intensity too bright": (
        "emulator: photonic, protocol: bb84-one-decoy, photonic: {source: {intensities: [5, 0.1]}}",
        "links[0].photonic.source.intensities[0]",
        ["should be at most 2"],
    ),
    "probabilities that are not 1": (
        "emulator: photonic, protocol: bb84-one-decoy, photonic: {source: {probabilities: [0.5, 0.4]}}",
        "links[0].photonic.source.probabilities",
        ["should be 1 together, and are 0.9"],
    ),
    "probabilities of another protocol": (
        "emulator: photonic, protocol: bb84-one-decoy, photonic: {source: {probabilities: [0.5, 0.3, 0.2]}}",
        "links[0].photonic.source.probabilities",
        ["write 2 probabilities above 0"],
    ),
    "a probability of nothing": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {source: {probabilities: [0.5, 0.5, 0]}}",
        "links[0].photonic.source.probabilities",
        ["write 3 probabilities above 0"],
    ),
    "dark counts twice": (
        "emulator: photonic, photonic: {receiver: {dark_probability: 0, dark_rate_hz: 1}}",
        "links[0].photonic.receiver.dark_rate_hz",
        ["says the same as `dark_probability`; keep one"],
    ),
    "misalignment twice": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {receiver: {misalignment: 0, visibility: 1}}",
        "links[0].photonic.receiver.visibility",
        ["says the same as `misalignment`"],
    ),
    "a figure of pairs": (
        "emulator: photonic, protocol: bb84-decoy, photonic: {source: {at: middle}}",
        "links[0].photonic.source.at",
        ["means nothing with weak pulses (`bb84-decoy`); remove it"],
    ),
    "a figure of pulses": (
        "emulator: photonic, protocol: bbm92, photonic: {source: {p_z: 0.9}}",
        "links[0].photonic.source.p_z",
        ["means nothing with entangled pairs"],
    ),
    "a clock that is none": (
        "emulator: photonic, photonic: {clock: slow}",
        "links[0].photonic.clock",
        ["`real-time`, `as-fast-as-possible` or a factor", 'and is the text "slow"'],
    ),
    "a clock that stands": (
        "emulator: photonic, photonic: {clock: 0}",
        "links[0].photonic.clock",
        ["or a factor", "and is the number 0"],
    ),
    "an unknown field deep down": (
        "emulator: photonic, photonic: {fibre: {lenght_km: 5}}",
        "links[0].photonic.fibre.lenght_km",
        ['no such field; did you mean "length_km"?'],
    ),
    "photon-number splitting of pairs": (
        "emulator: photonic, protocol: bbm92, eavesdropper: {photon_number_splitting: 1}",
        "links[0].eavesdropper",
        ["photon-number splitting cannot be done"],
    ),
    "beam splitting of qubits": (
        "eavesdropper: {beam_splitting: 0.5}",
        "links[0].eavesdropper",
        ["a SimulaQron link, which has single qubits and no weak pulses"],
    ),
    "odd angles on a stabilizer": (
        "eavesdropper: {intercept_resend: 1, bases: [22.5]}",
        "links[0].eavesdropper",
        ["cannot measure at 22.5 degrees"],
    ),
    "too much of Eve": (
        "eavesdropper: {intercept_resend: 1.5}",
        "links[0].eavesdropper.intercept_resend",
        ["should be at most 1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_what_cannot_be_is_refused_with_field_and_remedy(case: str, refusal: Refusal) -> None:
    settings, field, words = FAULTS[case]
    [said] = refusal(HEAD + f"links:\n  - {{between: [A, B], {settings}}}\n")
    assert said.startswith("city.yaml:6:")
    assert f" {field}: " in said
    for word in words:
        assert word in said


def test_a_fault_that_is_inherited_is_told_once_where_it_stands(refusal: Refusal) -> None:
    assert refusal("config: {qkd_protocol: bb84-decoy}\n" + HEAD)[0].startswith("city.yaml:1:24: config.qkd_protocol: ")
    links = "links:\n  - {between: [A, B]}\n  - {between: [A, C]}\n"
    [said] = refusal(HEAD + "link_defaults: {protocol: e91, emulator: ideal}\n" + links)
    assert said.startswith("city.yaml:5:27: link_defaults.protocol: ")


def test_defaults_that_no_link_has_may_not_fit_together(write: Write) -> None:
    links = "links:\n  - {between: [A, B], emulator: photonic}\n  - {between: [A, C], protocol: bbm92}\n"
    network = load(write(HEAD + "link_defaults: {protocol: bb84-decoy}\n" + links))
    assert [route.settings.protocol for route in routes(network)] == ["bb84-decoy", "bbm92"]
