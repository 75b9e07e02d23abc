"""`qkdbus bench link`: what is measured, what stands beside it, and what it says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qkdbus.wire.head_pb2 import Event
from qkdbus.wire.record_pb2 import BlockRecord
from qkdbus_deploy import link_rate
from qkdbus_deploy.blocks import FAILED, MADE, Heard, read
from qkdbus_deploy.cli import main
from qkdbus_deploy.lengths import cutoff_km, lengths
from qkdbus_deploy.link_plot import draw
from qkdbus_deploy.link_rate import Row, Sweep
from qkdbus_qbackend.tally import figures

GYS = Sweep("gys-2004", "bb84-decoy", "finite", 1 << 19, 3)
PAIRS = Sweep("wengerowsky-2019", "bbm92", "finite", 1 << 16, 1)
Run = Callable[..., Result]


@pytest.fixture
def run() -> Run:
    return lambda *words: CliRunner().invoke(main, ["bench", "link", *words], prog_name="qkdbus")


def block(length: int, seconds: float, failure: str = "", **more: float) -> Heard:
    return Heard(BlockRecord(length=length, link_time=seconds, **more), failure)  # type: ignore[arg-type]


def row(sweep: Sweep, km: float, *heard: Heard) -> Row:
    return link_rate._row(sweep, km, heard, 0, "")


def test_what_a_worker_tells_of_a_block_is_read_as_the_same_record() -> None:
    record = BlockRecord(
        block_id=bytes(range(16)),
        protocol="bbm92",
        sent=10**12,
        kept=7,
        qber=0.25,
        link_time=1e-3,
        stages={"forming": 2},
        trace=bytes(range(8)),
    )
    told = {name: str(value) for name, value in figures(record).items()}
    told["trace"] = record.trace.hex()  # of every event of a trace, whatever it tells
    assert read(Event(name=MADE, fields={**told, "peer": "Bob", "job": "3"})) == Heard(record, "")
    assert read(Event(name=FAILED, fields={**told, "reason": "dark", "alarm": "True"})) == Heard(record, "dark")


def test_a_rate_counts_the_time_of_blocks_that_gave_no_key() -> None:
    found = row(GYS, 100, block(3000, 1.0), block(0, 2.0, "nothing secret: 5 bits"))
    assert (found.key_hz, found.exchanges, found.with_key) == (1000.0, 2, 1)
    assert found.why == "nothing secret"


def test_its_error_is_that_of_a_ratio_of_sums() -> None:
    same = row(GYS, 100, block(1000, 1.0), block(2000, 2.0), block(500, 0.5))
    assert same.key_error == pytest.approx(0.0)
    unequal = row(GYS, 100, block(900, 1.0), block(1100, 1.0))
    assert unequal.key_error == pytest.approx(100.0)  # each is 100 off, and 2 s are 200 / sqrt(2) / 2 * sqrt(2)


def test_the_qber_and_the_efficiency_are_those_that_error_correction_found() -> None:
    found = row(GYS, 20, block(1, 1.0, kept=100_000, corrected=11_002, leaked=55_000, qber=0.3, disclosed=9))
    assert found.qber == pytest.approx(0.11, abs=1e-4)
    assert found.efficiency == pytest.approx(1.10, abs=1e-3)  # h(0.11) is 0.49992


def test_where_nothing_was_corrected_the_published_bits_say_the_qber() -> None:
    assert row(GYS, 200, block(0, 1.0, "qber 0.4", kept=100, qber=0.4, disclosed=50)).qber == 0.4


def test_the_formulas_beside_it_have_the_efficiency_that_was_measured() -> None:
    at_shannon = row(GYS, 50, block(1, 1.0, kept=100_000, corrected=11_002, leaked=49_992))
    wasteful = row(GYS, 50, block(1, 1.0, kept=100_000, corrected=11_002, leaked=59_990))
    assert at_shannon.formula.secret_hz > wasteful.formula.secret_hz > 0
    assert at_shannon.endless.secret_hz > at_shannon.formula.secret_hz


@pytest.mark.parametrize("sweep", [GYS, PAIRS, replace(GYS, preset="liao-2017")])
def test_lengths_go_up_to_the_cutoff_and_one_beyond(sweep: Sweep) -> None:
    reach, found = cutoff_km(sweep), lengths(sweep)
    assert sweep.formula(0.999 * reach).secret_hz > 0 == sweep.formula(1.001 * reach).secret_hz
    assert found == sorted(set(found))
    assert found[-2] <= reach < found[-1] < 1.5 * reach
    assert 5 <= len(found) <= 15


def test_where_a_block_would_take_months_nobody_looks() -> None:
    months = Sweep("neumann-2022", "bbm92", "finite", 1 << 17, 1)
    assert lengths(months)[-1] < cutoff_km(months)
    assert all(months.block_s(km) < 3e6 for km in lengths(months))


def test_a_hopeless_length_is_only_probed() -> None:
    assert GYS.at(100.0) is GYS
    assert GYS.at(150.0) == replace(GYS, block=1 << 16, blocks=1)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--preset", "gys"), "there is no 'gys', there is: gys-2004"),
        (("--preset", "gys-2004", "--protocol", "e91"), "gys-2004 is a source of weak pulses, and e91 needs pairs"),
        (("--distances", "10,far"), "km, separated by commas, or auto"),
        (("--distances", "-1"), "from 0 to 20000 km"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_runs(run: Run, words: tuple[str, ...], said: str) -> None:
    result = run(*words)
    assert result.exit_code == 2
    assert said in result.output


def test_a_plot_without_matplotlib_is_refused_with_the_way_to_get_it(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("--plot", "rate.png")
    assert result.exit_code == 2
    assert "pip install 'qkdbus[plot]'" in result.output


def test_a_plot_is_drawn_of_rows_with_and_without_a_key(tmp_path: Path) -> None:
    draw(GYS, [row(GYS, 20, block(1000, 1.0, kept=9)), row(GYS, 160, block(0, 1.0, "dark"))], tmp_path / "rate.png")
    assert (tmp_path / "rate.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_pairs_become_keys_at_both_ends_at_the_rate_of_the_formula(run: Run) -> None:
    result = run("--preset", "wengerowsky-2019", "--distances", "96", "--block", "32768", "--blocks", "1", "--json",
                 "--security", "asymptotic")  # fmt: skip
    assert result.exit_code == 0, result.output
    [found] = json.loads(result.stdout)["rows"]
    assert found["with_key"] == 1
    assert found["keys_equal"] >= 10
    # 4 sigma of some 1300 errors in 29,000 bits, which move the rate by 8 % of it; and of 16,000 coincidences
    assert found["key_hz"] == pytest.approx(found["formula"]["secret_hz"], rel=0.15)
    assert found["qber"] == pytest.approx(found["formula"]["qber"], rel=0.15)


@pytest.mark.slow
def test_pulses_give_keys_before_the_cutoff_and_say_why_there_are_none_beyond(run: Run) -> None:
    result = run("--preset", "gys-2004", "--distances", "100,150", "--blocks", "2", "--security", "asymptotic")
    assert result.exit_code == 0, result.output
    cells = [line.split() for line in result.stdout.splitlines()]
    near, far = [line for line in cells if line[1:2] in (["21.0"], ["31.5"])]
    assert "2/2" in near
    assert "0/1" in far  # hopeless: tried once
    assert "150 km: no key: nothing secret" in result.stdout
