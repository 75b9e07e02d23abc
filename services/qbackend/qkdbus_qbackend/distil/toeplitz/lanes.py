"""Four elements of GF(2^64) at a time inside numba kernels: one vector of 256 bits.

`Lanes` is a type that kernels pass around like a number: load it, add (^), multiply, store it. The field is that of
`distil.field`: bit i is the coefficient of x^i, modulo x^64 + x^4 + x^3 + x + 1. A product takes two halves, `even`
and `odd`, of 128 bits for each lane; they may be summed before `fold` makes elements of them.

Indices are not checked: a kernel must not reach beyond its arrays.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, ClassVar, ParamSpec, TypeVar, cast

import numba
import numba.extending
from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.typing import templates

from .product import HALF, VECTOR, WIDTH, choose, emit_fold, emit_product, kind

P = ParamSpec("P")
R = TypeVar("R")

_untyped: Any = numba.extending  # numba's own annotations are partial
_templates: Any = templates


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, keep it on disk, and let other threads run meanwhile.

    What is kept is renewed when the file of `function` changes; not when only this one does, or another one it uses.
    """
    return cast("Callable[P, R]", numba.njit(cache=True, nogil=True, boundscheck=False)(function))


def _intrinsic(function: Callable[..., Any]) -> Any:
    return _untyped.intrinsic(function)


class Lanes(types.Type):
    """The type of four words in numba's eyes."""

    def __init__(self) -> None:
        super().__init__(name="Lanes")


lanes: Any = Lanes()


@numba.extending.register_model(Lanes)
class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]


class _Xor(templates.ConcreteTemplate):
    cases: ClassVar = [_templates.signature(lanes, lanes, lanes)]


def _xor(context: Any, builder: Any, signature: Any, values: Any) -> Any:
    return builder.xor(*values)


for _operator in (operator.xor, operator.ixor):
    _templates.infer_global(_operator)(_Xor)
    _untyped.lower_builtin(_operator, lanes, lanes)(_xor)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, index: Any) -> Any:
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), VECTOR.as_pointer())


@_intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """Return the 32 octets of `array` from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *values), align=1)

    return lanes(array, types.intp), emit


@_intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write the 32 octets `value` into `array` from `index` on."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        builder.store(values[2], _pointer(context, builder, signature.args[0], *values[:2]), align=1)
        return context.get_dummy_value()

    return types.void(array, types.intp, lanes), emit


@_intrinsic
def spread(typing: Any, word: Any) -> Any:
    """Return `word` four times."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), values[0], ir.Constant(HALF, 0))
        return choose(builder, one, one, [0] * WIDTH)

    return lanes(types.uint64), emit


@_intrinsic
def even(typing: Any, one: Any, other: Any) -> Any:
    """Return the carry-less products of lanes 0 and 2, each of 128 bits."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit_product(builder, 0, values[0], values[1], kind())

    return lanes(lanes, lanes), emit


@_intrinsic
def odd(typing: Any, one: Any, other: Any) -> Any:
    """Return the carry-less products of lanes 1 and 3, each of 128 bits."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit_product(builder, 1, values[0], values[1], kind())

    return lanes(lanes, lanes), emit


@_intrinsic
def fold(typing: Any, evens: Any, odds: Any) -> Any:
    """Return elements, lane by lane: products of 128 bits, or sums of such, reduced."""

    def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return emit_fold(builder, *values)

    return lanes(lanes, lanes), emit


def _choice(places: list[int], name: str) -> Any:
    def choice(typing: Any, one: Any, other: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            return choose(builder, values[0], values[1], places)

        return lanes(lanes, lanes), emit

    choice.__name__ = choice.__qualname__ = name
    return _intrinsic(choice)


zip_low = _choice([0, 4, 2, 6], "zip_low")  # one[0] other[0] one[2] other[2]
zip_high = _choice([1, 5, 3, 7], "zip_high")
join_low = _choice([0, 1, 4, 5], "join_low")  # one[0] one[1] other[0] other[1]
join_high = _choice([2, 3, 6, 7], "join_high")


def additions(count: int, pairs: list[tuple[int, int]]) -> Any:
    """Return a function of kernels (array, index, stride) that works on `count` vectors `stride` apart.

    For each of `pairs` in order, it adds the second of the two vectors named to the first.
    """

    def add(typing: Any, array: Any, index: Any, stride: Any) -> Any:
        def emit(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            index, places = values[1], []
            for _ in range(count):
                places.append(_pointer(context, builder, signature.args[0], values[0], index))
                index = builder.add(index, values[2])
            vectors = [builder.load(place, align=1) for place in places]
            for to, source in pairs:
                vectors[to] = builder.xor(vectors[to], vectors[source])
            for place, vector in zip(places, vectors, strict=True):
                builder.store(vector, place, align=1)
            return context.get_dummy_value()

        return types.void(array, types.intp, types.intp), emit

    return _intrinsic(add)
