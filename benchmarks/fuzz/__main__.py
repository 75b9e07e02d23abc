"""python -m benchmarks.fuzz: hostile messages at every door, as many as you like."""

from __future__ import annotations

import argparse
import sys

from .. import report
from .flood import flood
from .ground import ground


def main() -> None:
    """Tell every door; say what came of it; exit status 1 when there was any harm."""
    parser = argparse.ArgumentParser(prog="benchmarks.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000, help="at each door (default 100,000)")
    parser.add_argument("--seed", type=int, default=1, help="another run (default 1)")
    parser.add_argument("--door", action="append", default=[], help="only doors whose name begins so")
    asked = parser.parse_args()
    rows, complaints = [], []
    with ground() as here:
        doors = [d for d in here.doors().values() if not asked.door or d.name.startswith(tuple(asked.door))]
        for door in doors:
            flood(here, door, min(2000, asked.messages), asked.seed + 1)  # until memories are as full as they get
        before = here.look()
        for door in doors:
            report.say(f"{door.name} ...")
            done = flood(here, door, asked.messages, asked.seed)
            rows.append(
                [door.name, done.said, done.said / done.seconds, 1e6 * done.work / done.said, done.slowest, done.calls]
            )
            answers = ", ".join(f"{count} {name}" for name, count in done.outcomes.most_common())
            report.say(f"  {done.seconds:.1f} s; answered: {answers}")
            new = [text for text in here.complaints(before) if text not in complaints]
            complaints += new
            for text in new:
                report.say(f"  !! {text}")
        here.regular.stop()
        complaints += [here.regular.trouble] if here.regular.trouble else []
        for name, look in here.look().items():
            was = before[name]
            report.say(
                f"  {name}: {was.memory >> 10} -> {look.memory >> 10} kB, {was.files} -> {look.files} descriptors"
            )
    headings = [
        "door",
        "messages",
        "a second",
        "\u00b5s of the node's each",
        "slowest ping, s",
        "calls of a client meanwhile",
    ]
    print(report.table(headings, rows))
    sys.exit(1 if complaints else 0)


if __name__ == "__main__":
    main()
