"""What the model refuses, said in the user's words: what is wrong, and what would be right."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from .model import Network
from .source import Location, Problem, kind, printable

_NAME = "a name starts with a letter, then come letters, digits, `_`, `.`, `-`; at most 63 in all"
_SHOULD_BE = {
    "string_type": 'text (put it in "quotes")',
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "model_type": "a block of fields (`field: value` lines)",
    "dict_type": "a block of fields (`field: value` lines)",
    "tuple_type": "a list (lines that start with `- `)",
}
_LIMITS = {"greater_than_equal": ("ge", "at least"), "less_than_equal": ("le", "at most")}
_LIMITS |= {"greater_than": ("gt", "more than"), "less_than": ("lt", "less than")}


def problems(error: ValidationError) -> Iterator[Problem]:
    """Yield what the model found wrong in a file, one problem each."""
    for found in error.errors(include_url=False):
        # pydantic marks a fault of a mapping's key so
        on_key = found["loc"][-1:] == ("[key]",) and found["type"] != "extra_forbidden"
        at = found["loc"][:-1] if on_key else found["loc"]
        if found["type"] == "too_short" and found.get("input"):
            continue  # it has entries; each is refused for a reason of its own
        more = {"message": found["msg"], **(found.get("ctx") or {})}
        yield _problem(found["type"], at, found.get("input"), more, on_key)


def nearest(name: object, known: Sequence[str]) -> str:
    """Return `; did you mean "x"?` for the nearest known name, or the list of all (when short), or nothing."""
    by_folded = {other.casefold(): other for other in known}
    folded = str(name).casefold()[:100]
    close = difflib.get_close_matches(folded, by_folded, n=1)
    close = close or [other for other in by_folded if len(folded) > 2 and other.startswith(folded)]
    if close:
        return f'; did you mean "{by_folded[close[0]]}"?'
    return f"; there is {', '.join(known)}" if 0 < len(known) <= 16 else ""


def _problem(kind_of: str, at: Location, value: Any, more: Mapping[str, Any], on_key: bool) -> Problem:
    if kind_of == "extra_forbidden":
        return Problem(at, "no such field" + nearest(at[-1], _fields(at[:-1])), on_field=True)
    if kind_of == "missing":
        return _missing(at)
    if kind_of == "literal_error":
        return Problem(at, _choice(at, value, more), on_field=on_key)
    if kind_of == "clock":
        return Problem(at, f"{more['message']}, and is {kind(value)}")
    if kind_of in _LIMITS:
        bound, words = _LIMITS[kind_of]
        return Problem(at, f"should be {words} {more[bound]}, and is {_figure(value)}")
    if kind_of == "string_pattern_mismatch":
        return Problem(at, f'"{_short(value)}" cannot be a name: {_NAME}')
    if kind_of in ("too_long", "too_short"):
        return Problem(at, _length(at, more))
    if kind_of == "string_too_short":
        return Problem(at, "is empty; write a value, or leave the field out")
    should = _SHOULD_BE.get(kind_of)
    told = f"should be {should}, and is" if should else f"({kind_of}) cannot be"
    return Problem(at, f"{told} {kind(value)}")


def _missing(at: Location) -> Problem:
    if isinstance(at[-1], int):
        return Problem(at[:-1], "should name two nodes, `[Alice, Bob]`")
    hint = ":" if not at[:-1] else ": every entry needs it;"
    return Problem(at[:-1], f"`{at[-1]}` is missing{hint} add `{at[-1]}: ...`")


def _choice(at: Location, value: Any, more: Mapping[str, Any]) -> str:
    known = str(more.get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
    if at[-1] == "qkdbus_version":
        return f"this qkdbus reads version {known[0]} of the file, and this is {_figure(value)}"
    return f'"{_short(value)}" is not known here' + nearest(value, known)


def _length(at: Location, more: Mapping[str, Any]) -> str:
    if at[-1] == "between":
        return f"should name two nodes, `[Alice, Bob]`, and has {more.get('actual_length')}"
    if "min_length" in more:
        return f"should have at least {more['min_length']} entry; add `- node_name: ...`"
    return f"should have at most {more.get('max_length')} entries, and has {more.get('actual_length')}"


def _fields(at: Location) -> list[str]:
    """Return the fields that the model knows at a place."""
    here: Any = Network
    for step in at:
        here = _inside(here, step)
    return sorted(here.model_fields) if isinstance(here, type) and issubclass(here, BaseModel) else []


def _inside(kind_of: Any, step: str | int) -> Any:
    """Return the type of a field or an entry of a type; None when there is no telling."""
    if isinstance(kind_of, type) and issubclass(kind_of, BaseModel):
        field = kind_of.model_fields.get(str(step))
        kind_of = field.annotation if field else None
        options = get_args(kind_of) if get_origin(kind_of) in (Union, UnionType) else ()
        return next((option for option in options if option is not type(None)), kind_of)
    arguments = get_args(kind_of)
    if not arguments:
        return None
    return arguments[0] if get_origin(kind_of) is tuple else arguments[-1]


def _short(value: object) -> str:
    text = printable(str(value))
    return text if len(text) <= 60 else text[:60] + "..."


def _figure(value: object) -> str:
    return _short(value) if isinstance(value, int | float) else kind(value)
