"""The page of a run, or of several: what was done, what held, how long it took to get over each kind of fault."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median
from typing import Any

import zmq

from .. import report
from . import recovery
from .recovery import Row
from .run import Outcome

KINDS = ("different", "twice", "reused", "missing", "too old", "lost", "dead")
MEANING = {
    "different": "an index with two different keys",
    "twice": "an index delivered twice at one end",
    "reused": "key bits under two indices, or in two streams (whole keys, and windows of 128 bits at any shift)",
    "missing": "an agreed key neither delivered nor expired by its TTL",
    "too old": "a key given out after its time to live",
    "lost": "a stream that its application had to give up",
    "dead": "a stream without fresh keys at both ends after the last fault",
}
INTRODUCTION = """\
`python -m benchmarks.chaos` puts a network under fire while applications, each a process of its own, fetch keys at both
ends of every stream, one by one, in bulk, with many calls under way, or so lazily that keys expire. They record the
index, a keyed digest of the key and of its windows, the call and the time; the key itself is nowhere. What is said
below is computed from these records alone, by code that is shown to find planted violations (`tests/chaos`).

Faults: `kill -9` and SIGSTOP ... SIGCONT of each kind of service, of its supervisord and of the warm parent (which is
started again some s later by `qkdbus start`, as systemd or a person would); the disk of a node full (a file system of
its own, filled to the last octet); a database that cannot be opened for writing; a link cut, silent in both directions
or in one, slow, with packets lost and packets that come twice; the date of a node off by minutes or hours, forwards and
backwards. Each has its own length, and they overlap. Between the nodes lies a relay (each node is behind an address of
its own); packets are lost and doubled by the kernel, below TCP."""
RECOVERY = """\
From the end of a fault (for a kill: from the kill) to the next key at both ends of every stream that the fault
concerns, in s. *Any key*: the service answers again; *fresh key*: one that cannot have been agreed before the fault's
end, so the whole way from the qubits works again (the {ahead} keys that may be ready ahead are fetched first, at the
pace of the applications). Other faults go on meanwhile, so these times have theirs in them."""
TTL = """\
## What a wrong clock does

A node's date can be put wrong, by anybody who wants to see what happens then: `qkdbus clock NODE 3600`, and
`qkdbus clock NODE --right` (a file `clock-offset` in the folder of the node's sockets; its services look once a
second). The date is only for what people read: events, records, "ready since". Whatever lasts (a key's time to live,
the grace of a closed KSID, deadlines of exchanges, pauses before a restart) is counted in time that passes: no key
expires early because a clock jumped forwards, and none outlives its TTL because it jumped back. That time is Unix time
at the first start of a node's services after boot, and goes on through their restarts and through the machine's sleep.
After a reboot it begins anew with the date; if that is wrong then, keys that outlive the reboot expire that much early
or late."""


def facts() -> dict[str, Any]:
    """Return machine and versions."""
    names = ("qkdbus", "pyzmq", "protobuf", "supervisor", "simulaqron")
    versions = {name: version(name) for name in names}
    return {
        **report.machine(),
        "versions": {**versions, "libzmq": zmq.zmq_version(), "sqlite": sqlite3.sqlite_version},
        "root": os.geteuid() == 0,
    }


def data(outcome: Outcome) -> dict[str, Any]:
    """Return a run as it is kept (docs/data/chaos.json): also every fault."""
    times = {one.fault.number: one for one in outcome.recoveries}
    return {
        "nodes": outcome.wanted.nodes,
        "seconds": outcome.wanted.seconds,
        "seed": outcome.wanted.seed,
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "load": [round(load, 1) for load in outcome.load],
        "keys": sum(len(end.deliveries) for stream in outcome.streams for end in stream.ends),
        "streams": [
            {
                "name": stream.name,
                "ttl": stream.ttl,
                "keys": [len(end.deliveries) for end in stream.ends],
                "never_came": [len(end.skipped()) for end in stream.ends],
                "expired": [end.expired for end in stream.ends],
                "unanswered": [end.unanswered for end in stream.ends],
            }
            for stream in outcome.streams
        ],
        "violations": [[one.kind, one.text] for one in outcome.violations],
        "statuses": dict(outcome.statuses),
        "said": [[*who, count] for who, count in sorted(outcome.said.items())],
        "recovery": [vars(row) for row in recovery.table(outcome.recoveries)],
        "faults": [
            {
                "number": hit.fault.number,
                "at": hit.fault.at,
                "kind": hit.fault.kind,
                "where": hit.fault.target,
                "layer": hit.fault.layer,
                "length": hit.fault.length,
                "amount": hit.fault.amount,
                "landed": hit.landed,
                "any_key": _rounded(times[hit.fault.number].any_key) if hit.landed else None,
                "fresh_key": _rounded(times[hit.fault.number].fresh_key) if hit.landed else None,
            }
            for hit in outcome.struck
        ],
    }


def body(runs: Sequence[dict[str, Any]], where: dict[str, Any]) -> str:
    """Return the page."""
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    parts = [INTRODUCTION, f"Versions: {versions}. {'As root.' if where['root'] else 'Without root.'}"]
    for run in runs:
        parts += [_one(run)]
    return "\n\n".join([*parts, TTL])


def _one(run: dict[str, Any]) -> str:
    landed = [fault for fault in run["faults"] if fault["landed"]]
    load = f"{median(run['load']):.0f} (at most {max(run['load']):.0f})" if run["load"] else "unknown"
    nodes = {3: "Three nodes in a row", 8: "Eight nodes in a ring"}[run["nodes"]]
    minutes = f"{run['seconds'] / 60:g} minutes"
    ahead = "4 to 8"
    found = [kind for kind, _ in run["violations"]]
    held = report.table(("must not be", "found"), [(MEANING[kind], found.count(kind)) for kind in KINDS])
    rows = [Row(**row) for row in run["recovery"]]
    return "\n\n".join(
        [
            f"## {nodes}",
            f"{run['date']}, seed {run['seed']}, {minutes}: **{len(landed)} faults** that hit something, "
            f"**{run['keys']:,} keys** delivered, {len(found)} violations. Load of the machine meanwhile: {load}.",
            held,
            *([_violations(run)] if found else []),
            _streams(run),
            "### Recovery",
            RECOVERY.format(ahead=ahead),
            _times(rows),
            "### What services said",
            _said(run),
            "### All faults of this run",
            f"<details><summary>{len(run['faults'])} faults</summary>",
            _faults(run),
            "</details>",
        ]
    )


def _violations(run: dict[str, Any]) -> str:
    return "\n".join(f"- {kind}: {text}" for kind, text in run["violations"][:40])


def _streams(run: dict[str, Any]) -> str:
    heads = ("stream", "TTL s", "keys", "never came", "expired", "in calls without answer")
    rows = [
        (one["name"], f"{one['ttl'] or 3600:g}", *(" / ".join(f"{n:,}" for n in one[what]) for what in _COUNTED))
        for one in run["streams"]
    ]
    text = (
        "Keys at the two ends of each stream. What never came has expired, or went with a call that got no answer in "
        "150 s (none did unless the last column says so); a lazy application lets keys expire."
    )
    return f"{text}\n\n{report.table(heads, rows)}"


def _times(rows: Sequence[Row]) -> str:
    heads = ("fault", "times", "any key: median", "max", "fresh key: median", "max")
    found = []
    for row in rows:
        found.append((row.kind, row.count, *(f"{t:.1f}" for t in (*row.any_key, *row.fresh_key))))
    return report.table(heads, found)


def _said(run: dict[str, Any]) -> str:
    if not run["said"]:
        return "No service logged an error."
    rows = [(layer, event, kind or "", count) for layer, event, kind, count in run["said"]]
    text = "Errors in the logs. A service that cannot write its state ends itself (`fatal`) and is started again."
    return f"{text}\n\n{report.table(('layer', 'event', 'kind', 'times'), rows)}"


def _faults(run: dict[str, Any]) -> str:
    heads = ("#", "at s", "fault", "where", "for s", "amount", "any key s", "fresh key s")
    rows = [
        (
            fault["number"],
            f"{fault['at']:.1f}",
            f"{fault['kind']} {fault['layer']}" if fault["kind"] == "state read-only" else fault["kind"],
            fault["where"],
            f"{fault['length']:.1f}" if fault["length"] else "",
            fault["amount"] or "",
            *(
                "not there" if not fault["landed"] else "-" if fault[what] is None else f"{fault[what]:.1f}"
                for what in ("any_key", "fresh_key")
            ),
        )
        for fault in run["faults"]
    ]
    return report.table(heads, rows)


_COUNTED = ("keys", "never_came", "expired", "unanswered")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)
