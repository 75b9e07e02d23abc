"""What `qkdbus status` shows of links: what the last block says of QBER, S, secrecy; clock and alarm."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_deploy.cli import status as module
from qkdbus_deploy.status import LinkStatus, NetworkStatus, _record


def link(node: str, peer: str, **more: Any) -> LinkStatus:
    plain: dict[str, Any] = dict.fromkeys(("buffered_keys", "reservoir_bits", "blocks", "created", "sifted_out"), 0)
    plain |= dict.fromkeys(("disclosed", "kept", "failed"), 0)
    plain |= {"state": "up", "protocol": "bbm92", "emulator": "simulaqron", "key_rate": 0.0, "qber": 0.0, "alarm": ""}
    return LinkStatus(node=node, peer=peer, **{**plain, "arbiter": node < peer, "speed": None, "last": None, **more})


def table(capsys: pytest.CaptureFixture[str], *links: LinkStatus) -> list[str]:
    module._tell_links(NetworkStatus("net", 1, (), links, ()))
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_a_link_tells_what_its_last_block_was(capsys: pytest.CaptureFixture[str]) -> None:
    record = BlockRecord(s=2.8123, s_error=0.051, security="finite", epsilon=1e-10, leaked=80, kept=1000)
    photonic = {"protocol": "e91", "emulator": "photonic", "speed": 0.25, "qber": 0.0123, "last": _record(record)}
    [headings, row, plain] = table(
        capsys, link("Alice", "Bob", **photonic), link("Bob", "Alice", **photonic), link("Bob", "Carol")
    )
    for word in ("QBER", "S ", "security", "leak", "clock", "alarm"):
        assert word in headings
    for word in ("Alice - Bob", "0.0123", "2.812 +- 0.051", "finite 1e-10", "0.080", "x0.25"):
        assert word in row
    assert plain.split()[:3] == ["Bob", "-", "Carol"]


def test_columns_that_no_link_needs_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    [headings, _row] = table(capsys, link("Alice", "Bob"), link("Bob", "Alice"))
    assert "clock" not in headings
    assert " S " not in headings


@pytest.mark.parametrize(("speed", "words"), [(1.0, "real time"), (0.0, "as fast as possible"), (0.5, "x0.5")])
def test_the_clock_is_told_in_words(capsys: pytest.CaptureFixture[str], speed: float, words: str) -> None:
    assert words in table(capsys, link("Alice", "Bob", speed=speed))[1]


def test_an_alarm_at_either_end_is_shown_with_its_reason(capsys: pytest.CaptureFixture[str]) -> None:
    alarmed = link("Bob", "Alice", state="alarm", alarm="qber 0.2683 is above 0.11")
    [_, row] = table(capsys, link("Alice", "Bob"), alarmed)
    assert "alarm" in row
    assert row.endswith("qber 0.2683 is above 0.11")


def test_a_record_in_json_has_everything_and_no_key() -> None:
    plain = _record(BlockRecord(block_id=b"\x01" * 16, qber=0.1, stages={"sifting": 0.5}))
    assert plain["block_id"] == "01" * 16
    assert plain["stages"] == {"sifting": 0.5}
    assert set(plain) == {field.name for field in BlockRecord.DESCRIPTOR.fields}
