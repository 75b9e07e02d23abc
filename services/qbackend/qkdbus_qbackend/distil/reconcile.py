"""Error correction: the methods there are, by the name that both ends were set up with.

A method is two talks, `Source` and `Sink` (reconciled.py). Another one, such as LDPC codes, is one more row of METHODS.
"""

from __future__ import annotations

from dataclasses import dataclass

from qkdbus.errors import Refused

from . import cascade
from .reconciled import Reconciled, Sink, Source

DEFAULT = "cascade"


@dataclass(frozen=True, slots=True)
class Method:
    """A way to correct errors.

    Attributes:
        source: the talk of the end whose bits are the reference.
        sink: the talk of the end that corrects its bits.
        one_way: whether only the source tells anything about the bits.
        about: where it is described.
    """

    source: Source
    sink: Sink
    one_way: bool
    about: str


METHODS: dict[str, Method] = {
    "cascade": Method(
        cascade.source,
        cascade.sink,
        one_way=False,
        about=(
            "Brassard, Salvail, EUROCRYPT '93, LNCS 765, 410 (1994); block sizes and remembered sub-blocks: "
            "Martinez-Mateo, Pacher, Peev, Ciurana, Martin, Quantum Inf. Comput. 15, 453 (2015), arXiv:1407.3257"
        ),
    ),
}


def method(name: str) -> Method:
    """Return the method of that name. Refused, with the names there are, when there is none."""
    found = METHODS.get(name)
    if found is None:
        raise Refused(f"no error correction named {name!r}; there is: {', '.join(sorted(METHODS))}")
    return found


__all__ = ["DEFAULT", "METHODS", "Method", "Reconciled", "method"]
