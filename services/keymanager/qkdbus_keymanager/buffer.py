"""Key bits in memory: whole takes, of which keys are slices. Wiped as they are settled."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from qkdbus.keys import wipe

from .ranges import Span, subtract


class Run:
    """Consecutive keys of one take. `left` counts those whose bits are still needed."""

    __slots__ = ("available_at", "bits", "chunk", "end", "first", "left", "tail", "view")

    def __init__(self, first: int, chunk: int, bits: bytearray, available_at: float, tail: bytes) -> None:
        self.first, self.chunk = first, chunk
        self.left = len(bits) // chunk
        self.end = first + self.left
        self.bits = bits
        self.view = memoryview(bits)
        self.available_at = available_at
        self.tail = tail

    def keys(self, first: int, end: int) -> bytes:
        """Return the bits of the keys [first, end): SECRET."""
        chunk, start = self.chunk, self.first
        return bytes(self.view[(first - start) * chunk : (end - start) * chunk])

    def forget(self, first: int, end: int) -> None:
        """Overwrite the bits of the keys [first, end)."""
        chunk, start = self.chunk, self.first
        self.view[(first - start) * chunk : (end - start) * chunk] = bytes((end - first) * chunk)
        self.left -= end - first

    def __repr__(self) -> str:
        return f"Run({self.first}..{self.end - 1}, {self.chunk} bytes each)"


class Buffer:
    """The runs of one stream, in order of index, no index twice."""

    __slots__ = ("_current", "runs")

    def __init__(self) -> None:
        self.runs: list[Run] = []
        self._current: Run | None = None

    def find(self, index: int) -> Run | None:
        """Return the run that holds the key `index`, or None."""
        run = self._current
        if run is not None and run.first <= index < run.end:
            return run
        i = bisect_right(self.runs, index, key=_first) - 1
        if i < 0 or index >= self.runs[i].end:
            return None
        self._current = self.runs[i]
        return self.runs[i]

    def gaps(self, span: Span) -> Iterable[Span]:
        """Return the parts of `span` that no run holds."""
        return subtract(span, [(run.first, run.end) for run in self.runs])

    def put(self, run: Run) -> None:
        """Add a run of which no index is here yet."""
        if not self.runs or self.runs[-1].first < run.first:
            self.runs.append(run)
        else:
            self.runs.insert(bisect_right(self.runs, run.first, key=_first), run)

    def keys(self, first: int, end: int) -> bytes | None:
        """Return the bits of the keys [first, end), or None when some are not here."""
        pieces, at = [], first
        while at < end:
            run = self.find(at)
            if run is None:
                return None
            stop = min(end, run.end)
            pieces.append(run.keys(at, stop))
            at = stop
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def forget(self, first: int, end: int) -> None:
        """Overwrite the bits of those of the keys [first, end) that are here: each once."""
        run = self.find(first)
        if run is not None and end <= run.end:  # nearly always
            run.forget(first, end)
            if run.left <= 0:
                self.drop(run)
            return
        for run in [run for run in self.runs if run.first < end and run.end > first]:
            run.forget(max(first, run.first), min(end, run.end))
            if run.left <= 0:
                self.drop(run)

    def drop(self, run: Run) -> None:
        """Wipe a run and take it out."""
        run.view.release()
        wipe(run.bits)
        self.runs.remove(run)
        if self._current is run:
            self._current = None

    def wipe(self) -> None:
        """Wipe everything."""
        for run in list(self.runs):
            self.drop(run)

    @property
    def held_bytes(self) -> int:
        """Bytes of memory that hold, or held, keys."""
        return sum(len(run.bits) for run in self.runs)


def _first(run: Run) -> int:
    return run.first
