"""The page of a run tells all of it."""

from __future__ import annotations

from benchmarks.chaos import page
from benchmarks.chaos.check import Delivery, End, Stream, violations
from benchmarks.chaos.recovery import Recovery
from benchmarks.chaos.run import Outcome, Wanted
from benchmarks.chaos.schedule import Fault
from benchmarks.chaos.striking import Struck


def test_the_page_tells_what_was_done_what_held_and_how_long_it_took() -> None:
    faults = [
        Fault(1, 0.5, "kill keysync", ("Bob",), "keysync"),
        Fault(2, 1.5, "link slow", ("Alice", "Bob"), "", 4.0, 0.123),
        Fault(3, 2.5, "state read-only", ("Bob",), "keymanager", 3.0),
    ]
    struck = [Struck(faults[0], 10.0, True, 10.0), Struck(faults[1], 11.0, True, 15.0), Struck(faults[2], 12.0, False)]
    ends = (End("Alice", [Delivery(0, b"a"), Delivery(0, b"b")]), End("Bob", [Delivery(0, b"a")]))
    outcome = Outcome(Wanted(3, seed=77), struck, [Stream("s1 Alice - Bob", ends)], load=[3.0, 5.0, 9.0])
    outcome.violations = violations(outcome.streams)
    outcome.recoveries = [Recovery(faults[0], 0.25, 1.5), Recovery(faults[1], 2.0, None)]
    outcome.said["keysync", "fatal", "StoreBroken"] = 4
    where = page.facts()
    text = page.body([page.data(outcome)], where)
    for words in (
        "Three nodes in a row",
        "seed 77",
        "**2 faults**",
        "**3 keys**",
        "2 violations",
        "Load of the machine meanwhile: 5 (at most 9)",
        "an index with two different keys | 1 |",
        "| kill keysync | 1 | 0.2 | 0.2 | 1.5 | 1.5 |",
        "| 2 | 1.5 | link slow | Alice - Bob | 4.0 | 0.123 | 2.0 | - |",
        "| state read-only keymanager | Bob | 3.0 |  | not there | not there |",
        "| keysync | fatal | StoreBroken | 4 |",
        f"pyzmq {where['versions']['pyzmq']}",
    ):
        assert words in text, words
