"""How fast keys are delivered: `get_key` and `get_keys` of a deployed node, beside a bare pyzmq ROUTER echo.

Two nodes are deployed and form millions of keys on an `ideal` link, through prepare and commit, before anything is
timed. Then rounds of equal length alternate: the key manager, the echo, the key manager, the echo ... with the same
load generators (`benchmarks.load`): 32-byte keys, one client one call at a time; one client with 64 calls in flight;
eight clients, eight streams, 64 in flight each; over tcp with CURVE and over ipc. The key manager's time includes its
durable cursor (a commit before any answer), `take` from keysync, acknowledgement, and wiping. After each setting all
keys that Alice handed out are fetched at Bob and compared, and the stock fills up again.

    python -m benchmarks.get_key [--quick] [--seconds 10] [--rounds 3] [--streams 8] [--stock 12000000] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import zmq

from . import report
from .load import BINS, Job, Way, line, merge, say, start
from .stock import KEY, Stock, Stream, stock

LEAD = 0.3  # s between telling the generators when to begin, and that moment
TCP, IPC = "tcp+CURVE", "ipc"
MANY = 64  # keys a call


@dataclass(frozen=True)
class Setting:
    """One row of the table. `count` keys a call: 0 is get_key."""

    count: int
    clients: int
    in_flight: int
    transport: str = TCP

    @property
    def title(self) -> str:
        """The row's name, for a person."""
        method = f"get_keys({self.count})" if self.count else "get_key"
        many = f"{self.clients} client{'s' if self.clients > 1 else ''}"
        return f"{method}, {many}, {self.in_flight} in flight{' each' if self.clients > 1 else ''}, {self.transport}"


@dataclass(frozen=True)
class Round:
    """What all generators of one round measured: calls and keys per second, latencies in s."""

    calls: float
    keys: float
    p50: float
    p99: float
    repeats: int
    seconds: float  # shorter than asked when the stock did not last


@dataclass
class Outcome:
    """All rounds of one setting, ours and the echo's."""

    setting: Setting
    seconds: float
    ours: list[Round] = field(default_factory=list)
    echo: list[Round] = field(default_factory=list)
    in_memory: int = 0  # keys that the key manager had taken ahead when the first round began
    on_disk: int = 0

    def row(self) -> dict[str, Any]:
        """Return medians over the rounds, and the ratio of our rate to the echo's."""
        ours, bare = _medians(self.ours), _medians(self.echo)
        return {
            **asdict(self.setting),
            "title": self.setting.title,
            "seconds": self.seconds,
            "rounds": len(self.ours),
            "ours": ours,
            "echo": bare,
            "ratio": ours["calls"] / bare["calls"],
            "all_ratios": [a.calls / b.calls for a, b in zip(self.ours, self.echo, strict=True)],
            "stock_in_keysync": self.on_disk,
            "of_it_in_memory": self.in_memory,
        }


def settings() -> list[Setting]:
    """Return what is measured, in order."""
    one_key = [Setting(0, 1, 1), Setting(0, 1, 64), Setting(0, 8, 64)]
    many = Setting(MANY, 8, 8)  # eight streams: one alone does not hold enough for ten seconds
    return [*one_key, many, *(replace(each, transport=IPC) for each in (*one_key, many))]


def measure(seconds: float, rounds: int, streams: int, total: int, wanted: Sequence[Setting]) -> dict[str, Any]:
    """Form the stock, measure every setting, compare all keys; return the results as plain data."""
    report.say(f"forming {total:,} keys in {streams} streams")
    with stock(streams, total // streams) as keys:
        formed = keys.fill()
        report.say(f"  formed in {formed:.0f} s")
        rows = []
        for setting in wanted:
            shorter = seconds if setting.transport == TCP else seconds / 2
            rows.append(_measure(keys, setting, shorter, rounds).row())
            report.say(f"  {describe(rows[-1])}")
        told = {"stock": total, "streams": streams, "seconds": seconds, "forming_s": formed, "compared": keys.compared}
        return {**told, "rows": rows}


def _measure(keys: Stock, setting: Setting, seconds: float, rounds: int) -> Outcome:
    report.say(setting.title)
    outcome = Outcome(setting, seconds)
    if setting.count:  # each takes most of the stock
        rounds = 1 if setting.transport == IPC else min(rounds, 2)
    with _echo(setting) as way:
        for number in range(rounds):
            if setting.count or not number:  # get_keys empties the stock in one round
                keys.fill()
                keys.restart("keymanager")
                outcome.in_memory, outcome.on_disk = keys.in_memory(), keys.on_disk()
            chosen = keys.fullest(setting.clients)
            outcome.ours.append(_round(keys.way(setting.transport), setting, seconds, chosen, keys))
            outcome.echo.append(_round(way, setting, seconds, chosen, None))
            if setting.count or number + 1 == rounds:
                report.say(f"  {keys.compare():,} keys are equal at both ends")
    return outcome


def _round(way: Way, setting: Setting, seconds: float, streams: Sequence[Stream], keys: Stock | None) -> Round:
    """Have every generator call for `seconds` at once. `keys`: the stock they draw on, None for the echo."""
    processes = [start("call", _job(way, setting, seconds, stream, keys)) for stream in streams]
    for process in processes:
        line(process)
    at = time.monotonic() + LEAD
    for process in processes:
        say(process, repr(at))
    told = [json.loads(line(process)) for process in processes]
    for process in processes:
        process.wait()
    if keys is not None:
        for stream, one in zip(streams, told, strict=True):
            keys.had(stream, one["first"], one["count"], one["digest"])
    return _summary(told, seconds, setting.count)


def _job(way: Way, setting: Setting, seconds: float, stream: Stream, keys: Stock | None) -> Job:
    return Job(
        way=way,
        ksid=stream.ksid.hex,
        count=setting.count,
        most=keys.left(stream) // max(1, setting.count) if keys else sys.maxsize,
        in_flight=setting.in_flight,
        seconds=seconds,
        ours=keys is not None,
    )


def _summary(told: Sequence[dict[str, Any]], seconds: float, count: int) -> Round:
    """Sum up what the generators told: over the time agreed, or until the first of them had used its stream up."""
    tenths = min(len(one["bins"]) for one in told)
    if tenths < math.ceil(seconds * BINS):
        tenths -= 1  # the last one is not whole
        seconds = tenths / BINS
    calls = sum(sum(one["bins"][:tenths]) for one in told) / seconds
    p50, p99 = merge([one["latencies"] for one in told])
    return Round(calls, calls * max(1, count), p50, p99, sum(one["repeats"] for one in told), seconds)


@contextmanager
def _echo(setting: Setting) -> Iterator[Way]:
    """Run the bare echo; yield the way to it."""
    public, secret = (key.decode() for key in zmq.curve_keypair())
    own_public, own_secret = (key.decode() for key in zmq.curve_keypair())
    with tempfile.TemporaryDirectory(prefix="qkdbus-echo-") as folder:
        secured = setting.transport == TCP
        endpoint = "tcp://127.0.0.1:*" if secured else f"ipc://{folder}/echo"
        asked = {"endpoint": endpoint, "server_secret": secret if secured else "", "count": setting.count}
        process = start("echo", asked)
        try:
            way = Way(endpoint=line(process), server_key="", public_key="", secret_key="")
            if secured:
                way |= Way(endpoint=way["endpoint"], server_key=public, public_key=own_public, secret_key=own_secret)
            yield way
        finally:
            process.kill()
            process.wait()


def _medians(rounds: Sequence[Round]) -> dict[str, float]:
    return {name: statistics.median(getattr(one, name) for one in rounds) for name in Round.__dataclass_fields__}


def describe(row: dict[str, Any]) -> str:
    """Return a row of the results as one line."""
    ours, bare = row["ours"], row["echo"]
    return (
        f"{ours['calls']:,.0f} calls/s, {ours['keys']:,.0f} keys/s, p50 {ours['p50'] * 1e6:.0f} us; echo"
        f" {bare['calls']:,.0f} calls/s, p50 {bare['p50'] * 1e6:.0f} us; ratio {row['ratio']:.2f}, rounds"
        f" {', '.join(f'{ratio:.2f}' for ratio in row['all_ratios'])}"
    )


def page(results: dict[str, Any], where: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    headings = (
        "setting",
        "calls/s",
        "keys/s",
        "p50 us",
        "p99 us",
        "echo: calls/s",
        "p50 us",
        "p99 us",
        "ratio",
        "rounds",
    )
    cells = [_cells(row) for row in results["rows"]]
    return f"""{report.table(headings, cells)}

Medians over the rounds ({results["seconds"]:g} s each, half of it over ipc, the key manager's and the echo's in turn);
{KEY}-byte keys. Ratio: our calls/s over the echo's in the same setting of the same run, of the medians and of each
round with the one that followed it. Load average of the machine before the run: {where["load_before"]} (what else runs
on the cores falls on both, but not evenly).

- Ours: the key manager of a deployed node behind its own door (CURVE and ZAP over tcp; ipc in the clear). No answer
  goes out before its delivery is committed (SQLite, WAL). `take` from keysync, acknowledgements, and the wiping of what
  was delivered happen within the time measured, on the same cores.
- Echo: one process, one thread: `recv_multipart` on a ROUTER, `send_multipart` of the same envelope, protocol and Head
  frames with a body as long as the key manager's answer. CURVE over tcp, without ZAP.
- Load: the same generator process for both (`benchmarks/load.py`), one DEALER and one stream each.
- Stock: {results["stock"]:,} keys at each end in {results["streams"]} streams, formed in
  {results["forming_s"]:.0f} s over an `ideal` link through prepare and commit, and held by keysync on disk when a
  setting begins; the key manager is started anew before, so that it has taken no more than a few kilobytes ahead. All
  {results["compared"]:,} keys that were handed out at one end were then fetched at the other, and were equal.
"""


def _cells(row: dict[str, Any]) -> list[object]:
    ours, bare, ratios = row["ours"], row["echo"], row["all_ratios"]
    lasted = "" if ours["seconds"] >= row["seconds"] else f" (the stock lasted {ours['seconds']:.1f} s)"
    return [
        *(row["title"] + lasted, ours["calls"], ours["keys"], ours["p50"] * 1e6, ours["p99"] * 1e6),
        *(bare["calls"], bare["p50"] * 1e6, bare["p99"] * 1e6),
        *(f"{row['ratio']:.2f}", ", ".join(f"{ratio:.2f}" for ratio in ratios)),
    ]


def run(quick: bool = False, seconds: float = 10.0, rounds: int = 3, streams: int = 8, total: int = 12_000_000) -> Any:
    """Measure everything and return the results; `quick`: a small stock and short rounds, for a smoke test."""
    if quick:
        wanted = [Setting(0, 1, 1), Setting(0, 2, 64), Setting(MANY, 2, 4, IPC)]
        return measure(0.4, 1, 2, 400_000, wanted)
    return measure(seconds, rounds, streams, total, settings())


def main() -> None:
    """Measure; write docs/get_key.md, or only FILE."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small stock and short rounds; docs/ is left alone")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--stock", type=int, default=12_000_000, help="keys at each end, in all streams together")
    parser.add_argument("--out", type=Path, help="write the results here as JSON, and leave docs/ alone")
    asked = parser.parse_args()
    where = report.machine()
    results = run(asked.quick, asked.seconds, asked.rounds, asked.streams, asked.stock)
    if asked.out:
        asked.out.write_text(json.dumps({"machine": where, "results": results}, indent=1) + "\n")
    elif not asked.quick:
        report.write("get_key", "Delivering keys", "python -m benchmarks.get_key", page(results, where), results, where)
    print(page(results, where))


if __name__ == "__main__":
    main()
