"""Authentication: both ends prove, before they hand up a key, that they heard what the other told and nothing else.

What is hashed. Each message of the classical plane becomes 64-bit words: topic, lane, length in octets, then the body,
filled up with zeros. A direction is the sequence of these words in the order in which they were told, which is that in
which they are heard. The transcript is the source's words, then the sink's, then both their counts: w_1 .. w_n, from
which every message can be read back, so that two transcripts that differ in anything are two sequences.

The tag. With the secret point x of GF(2^64) and 64 bits r of one-time pad:

    t = w_1 x^n + w_2 x^(n-1) + ... + w_n x + r.

Forgery: whoever has seen t and wants a tag t' of another transcript to be taken needs t + t', that is, a root of a
polynomial of degree at most n that is not constant (the two hashes differ in it by more than their last power, which
is x^1): probability <= n / 2^64 over the choice of x, whatever she has seen before, since each tag is masked by bits
that are never used again and so tells nothing of x (Wegman, Carter, J. Comput. Syst. Sci. 22, 265 (1981), section 4;
Portmann, IEEE Trans. Inf. Theory 60, 4383 (2014) for the hash that is used again in composition).

The talk. The sink offers the ids of the pads it has; the source spends one that it has, too, and sends its tag under
the pad's first half; the sink spends it, verifies, and answers with its tag, under the second half. Offer and choice
are part of the transcript. So the sink releases its key when it knows that the source heard and told the same, and the
source when it knows it of the sink. A pad is spent before a tag is made or judged with it: nobody gets a second try.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ..authkeys import ID_OCTETS, MOST_IDS, AuthKeys, Entry, remedy
from ..failure import Broken, NoKey
from ..protocols.talk import Hear, Talk, Tell
from .field import evaluator, power, times

ENTRY_BITS = 128  # that a block gives for the authentication of a later one
MOST_REFILL = 2  # entries that one block gives
_ENTRY, _TAG = 16, 8  # octets
_CHUNK = 1 << 18  # octets that are hashed at once
_HEAD = struct.Struct("<QQQ")  # topic, lane, octets
_OWN = 0  # topic of this talk's own messages in the transcript
Octets = npt.NDArray[np.uint8]


class Transcript:
    """What both ends say in one exchange, hashed as it is said. One end's view: `told` here is `heard` there."""

    def __init__(self, keys: AuthKeys, *, source: bool, fast: bool = False) -> None:
        """Hash at the point of `keys`, as the end that is the `source`; `fast`: with the compiled kernel."""
        self._point, self._source = keys.point, source
        self._out, self._into = _Direction(keys.point, fast), _Direction(keys.point, fast)

    def __repr__(self) -> str:
        return f"Transcript({self.words} words)"

    @property
    def words(self) -> int:
        """Words so far, with the two counts."""
        return self._out.words + self._into.words + 2

    @property
    def epsilon(self) -> float:
        """Probability that one of the two tags is forged, at most."""
        return 2.0 * self.words / 2.0**64

    def told(self, topic: int, lane: int, body: bytes) -> None:
        """This end says something (Channel.tell)."""
        self._out.take(topic, lane, body)

    def heard(self, topic: int, lane: int, body: bytes) -> None:
        """The other end has said something: to be called in the order in which messages arrive."""
        self._into.take(topic, lane, body)

    def hashed(self) -> int:
        """Return the hash of all so far, without the pad: 64 bits, SECRET. The same at both ends."""
        first, second = (self._out, self._into) if self._source else (self._into, self._out)
        value = times(first.value(), power(self._point, second.words)) ^ second.value()
        for word in (first.words, second.words, 0):  # the last: no power below x^1
            value = times(value, self._point) ^ word
        return value


class _Direction:
    """The messages of one direction. The buffer begins with the value so far, the coefficient before all others."""

    def __init__(self, point: int, fast: bool) -> None:
        self._point, self._evaluate = point, evaluator(fast=fast)
        self._buffer = bytearray(8)
        self.words = 0

    def take(self, topic: int, lane: int, body: bytes) -> None:
        self._buffer += _HEAD.pack(topic, lane, len(body))
        self._buffer += body
        self._buffer += bytes(-len(body) % 8)
        self.words += 3 + (len(body) + 7) // 8
        if len(self._buffer) > _CHUNK:
            self.value()

    def value(self) -> int:
        """Return the polynomial's value."""
        value = self._evaluate(np.frombuffer(self._buffer, "<u8"), self._point)
        self._buffer = bytearray(value.to_bytes(8, "little"))
        return value


@dataclass(slots=True)
class Authenticated:
    """A block that may be handed up.

    Attributes:
        octets: of its key, SECRET; a view of the array that was given.
        charged: octets at the end of that array that went to the pool; they are zeros now.
        epsilon: probability that the classical channel was forged all the same.
    """

    octets: Octets = field(repr=False)
    charged: int
    epsilon: float


def source(transcript: Transcript, keys: AuthKeys, run: bytes, key: Octets) -> Talk[Authenticated]:
    """The end that chooses the pad; `run`: the exchange's name, 16 octets; `key`: amplified, shape (n,), SECRET.

    Nothing else may be said once this talk has begun. NoKey when there is no pad, or (an alarm) on a forgery.
    """
    offer = yield Hear()
    theirs = _ids(offer)
    transcript.heard(_OWN, 0, offer)
    entry = keys.spend(theirs)
    if entry is None:
        yield Tell(b"")
        raise _used_up(keys)
    mine = keys.ids()
    refill = min(keys.due(len(set(mine) & set(theirs))), _most(key))
    choice = entry.id + bytes([refill]) + b"".join(mine)
    transcript.told(_OWN, 0, choice)
    value = transcript.hashed()
    yield Tell(choice + _tag(value, entry.pad[:_TAG]))
    if not hmac.compare_digest((yield Hear()), _tag(value, entry.pad[_TAG:])):
        raise NoKey("authentication", alarm=True)
    return _settle(transcript, keys, run, key, refill, theirs)


def sink(transcript: Transcript, keys: AuthKeys, run: bytes, key: Octets) -> Talk[Authenticated]:
    """The end that is told the pad; see `source`."""
    offer = b"".join(keys.ids())
    transcript.told(_OWN, 0, offer)
    yield Tell(offer)
    said = yield Hear()
    if not said:
        raise _used_up(keys)
    choice, tag = said[:-_TAG], said[-_TAG:]
    if len(choice) <= ID_OCTETS:
        raise Broken("no choice of a pad")
    refill, theirs = choice[ID_OCTETS], _ids(choice[ID_OCTETS + 1 :])
    transcript.heard(_OWN, 0, choice)
    entry = keys.spend([choice[:ID_OCTETS]])
    if entry is None:
        raise NoKey("authentication: the pad that was chosen is not here")
    value = transcript.hashed()
    if not hmac.compare_digest(tag, _tag(value, entry.pad[:_TAG])):
        yield Tell(b"")  # so that the other end raises the alarm, too
        raise NoKey("authentication", alarm=True)
    if refill > min(MOST_REFILL, _most(key)):
        raise Broken("more of the block for the authentication than there is")
    settled = _settle(transcript, keys, run, key, refill, theirs)
    yield Tell(_tag(value, entry.pad[_TAG:]))
    return settled


def _settle(
    transcript: Transcript, keys: AuthKeys, run: bytes, key: Octets, refill: int, theirs: list[bytes]
) -> Authenticated:
    """Put the end of the key into the pool."""
    charged = refill * _ENTRY
    kept, given = key[: len(key) - charged], key[len(key) - charged :]
    pads = given.tobytes()
    ids = [run[start : start + ID_OCTETS] for start in (0, ID_OCTETS)]
    keys.settle([Entry(ids[i], pads[i * _ENTRY : (i + 1) * _ENTRY]) for i in range(refill)], theirs)
    given.fill(0)
    return Authenticated(kept, charged, transcript.epsilon)


def _tag(value: int, pad: bytes) -> bytes:
    return (value ^ int.from_bytes(pad, "little")).to_bytes(_TAG, "little")


def _most(key: Octets) -> int:
    """Return how many entries a key can give and still be a key."""
    return max(0, len(key) - 1) // _ENTRY


def _ids(octets: bytes) -> list[bytes]:
    if len(octets) % ID_OCTETS or len(octets) > MOST_IDS * ID_OCTETS:
        raise Broken("a list of pads that cannot be read")
    return [octets[start : start + ID_OCTETS] for start in range(0, len(octets), ID_OCTETS)]


def _used_up(keys: AuthKeys) -> NoKey:
    return NoKey(f"authentication keys used up: {remedy(keys.peer)}")
