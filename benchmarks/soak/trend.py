"""A straight line through what was measured, and whether it says that something grows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

SIGMAS = 3.0  # of the slope's error: less is taken for noise


@dataclass(frozen=True, slots=True)
class Limit:
    """How much something may grow in an hour: so much, or such a share of what it is."""

    unit: str
    absolute: float
    share: float = 0.0


LIMITS = {
    "memory": Limit("MB", 3.0, 0.05),
    "resident": Limit("MB", 3.0, 0.05),
    "files": Limit("", 2.0),
    "state": Limit("kB", 256.0, 0.1),
    "logs": Limit("kB", math.inf),
    "latency": Limit("ms", 0.2, 0.2),
    "echo": Limit("ms", math.inf),  # it is the machine's
    "beside": Limit("", 0.0, 0.2),
    "rate": Limit("1/s", 0.0, 0.2),  # may not *fall* by more
}


# What may rise, and has an end to it: kB. SQLite goes back to the start of a WAL that has 16,384 pages of 1 kB; the log
# of each of a node's programs is begun anew at 5 MB, and three older ones are kept.
CEILINGS = {"-wal": 20 * 1024.0, "logs/": 8 * 25 * 1024.0}


@dataclass(frozen=True, slots=True)
class Trend:
    """The line through one series.

    Attributes:
        mean: of all points.
        slope, error: per hour; the error holds for points that scatter by themselves (batches of them are taken).
        allowed: what the slope may be.
        passed: the slope is not above that, or not by more than its error; where there is a ceiling, it is not reached.
    """

    name: str
    points: int
    first: float
    last: float
    mean: float
    slope: float
    error: float
    allowed: float
    passed: bool


def fit(hours: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """Return slope and standard error of the least-squares line. Needs three points that are not at one time."""
    count = len(hours)
    if count < 3:
        raise ValueError(f"no line through {count} points")
    middle, mean = sum(hours) / count, sum(values) / count
    spread = sum((at - middle) ** 2 for at in hours)
    if not spread:
        raise ValueError("all points are at one time")
    slope = sum((at - middle) * (value - mean) for at, value in zip(hours, values, strict=True)) / spread
    rest = sum((value - mean - slope * (at - middle)) ** 2 for at, value in zip(hours, values, strict=True))
    return slope, math.sqrt(rest / (count - 2) / spread)


def batches(hours: Sequence[float], values: Sequence[float], most: int = 12) -> tuple[list[float], list[float]]:
    """Return means of neighbouring points, `most` of them: what is read soon after each other is not independent."""
    size = max(1, math.ceil(len(hours) / most))
    groups = range(0, len(hours) - size + 1, size)
    return (
        [sum(hours[at : at + size]) / size for at in groups],
        [sum(values[at : at + size]) / size for at in groups],
    )


def judge(name: str, hours: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the line through a series and the verdict; `name` begins with its kind, as `gauges` has it."""
    kind = name.partition("/")[0]
    limit, mean = LIMITS[kind], sum(values) / len(values)
    slope, error = fit(*batches(hours, values))
    allowed = max(limit.absolute, limit.share * abs(mean))
    grows = -slope if kind == "rate" else slope
    ceiling = next((most for part, most in CEILINGS.items() if part in name), None)
    flat = grows <= allowed or grows <= SIGMAS * error
    passed = flat if ceiling is None else max(values) <= ceiling
    return Trend(name, len(values), values[0], values[-1], mean, slope, error, allowed, passed)
