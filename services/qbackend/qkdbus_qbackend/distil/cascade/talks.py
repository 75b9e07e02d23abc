"""Both ends' talks: the source tells schedule, seed and first parities; then the sink asks until it sees no error."""

from __future__ import annotations

from ...failure import Broken
from ...protocols.sifting import Token
from ...protocols.talk import Hear, Talk, Tell, Work
from ..reconciled import Octets, Reconciled
from .answers import Answers
from .order import SEED, Public
from .schedule import Schedule, plan
from .search import Search

HEAVY = 1 << 16  # bits of a block, from which on beginning is worth a thread


def source(octets: Octets, count: int, qber: float, token: Token, *, fast: bool) -> Talk[Reconciled]:
    """Help the sink to this end's block; see `reconciled.Source`."""
    schedule, seed = plan(count, qber), token(SEED)

    def begin() -> tuple[Answers, bytes]:
        answers = _answers(fast)(octets, schedule, Public(seed, schedule))
        return answers, answers.open()

    answers, told = (yield Work(begin)) if count >= HEAVY else begin()
    try:
        yield Tell(schedule.pack() + seed + told)
        rounds = 1
        while True:
            said = yield Hear()
            if answers.busy:
                told = yield Work(lambda said=said: answers.answer(said))  # type: ignore[misc]
            else:
                told = answers.answer(said)
            if answers.corrected is not None:
                return Reconciled(octets, answers.leaked, answers.corrected, None, rounds)
            rounds += 1
            yield Tell(told)
    finally:
        answers.wipe()


def sink(octets: Octets, count: int, qber: float, *, fast: bool) -> Talk[Reconciled]:
    """Correct a copy of this end's block; see `reconciled.Sink`. The schedule is the source's, whatever `qber` is."""
    said = yield Hear()
    schedule, length = Schedule.unpack(said, count)
    seed, told = said[length : length + SEED], said[length + SEED :]
    if len(seed) != SEED:
        raise Broken("no seed")

    def begin() -> tuple[Search, bytes]:
        search = _search(fast)(octets, schedule, Public(seed, schedule))
        return search, search.open(told)

    search, saying = (yield Work(begin)) if count >= HEAVY else begin()
    try:
        rounds = 1
        while not search.done:
            yield Tell(saying)
            said = yield Hear()
            rounds += 1
            if search.busy:
                saying = yield Work(lambda said=said: search.hear(said))  # type: ignore[misc]
            else:
                saying = search.hear(said)
        yield Tell(saying)
        corrected, flipped = search.corrected()
        return Reconciled(corrected, search.leaked, len(flipped), flipped, rounds)
    finally:
        search.wipe()


def _answers(fast: bool) -> type[Answers]:
    if not fast:
        return Answers
    from .fast import FastAnswers  # numba is loaded where it is used only

    return FastAnswers


def _search(fast: bool) -> type[Search]:
    if not fast:
        return Search
    from .fast import FastSearch

    return FastSearch
