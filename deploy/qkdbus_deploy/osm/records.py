"""OSM's JSON records read into ours. OSM leaves fields out, or null, at will: nothing here counts on any but ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .port import Function, Instance, Operation, Vim

Record = Mapping[str, Any]
_LONGEST = 2000  # characters of OSM's own words that are passed on


def vim(record: Record) -> Vim:
    """Read a VIM account."""
    admin = record.get("_admin") or {}
    return Vim(
        _id(record), _text(record, "name"), _text(admin, "operationalState"), _words(_text(admin, "detailed-status"))
    )


def operation(record: Record) -> Operation:
    """Read an operation on a network service."""
    detail = _text(record, "errorMessage") or _text(record, "detailed-status")
    return Operation(
        _id(record),
        _text(record, "operationState"),
        _text(record, "lcmOperationType"),
        _words(_text(record, "stage")),
        _words(detail),
    )


def operations(records: Sequence[Record]) -> tuple[Operation, ...]:
    """Read operations and put them in the order in which they began."""
    return tuple(operation(record) for record in sorted(records, key=lambda each: each.get("startTime") or 0))


def instance(record: Record) -> Instance:
    """Read a network service."""
    admin = record.get("_admin") or {}
    return Instance(_id(record), _text(record, "name"), _text(record, "nsState") or _text(admin, "nsState"))


def function(record: Record) -> Function:
    """Read a machine (VNF record): which node it is, and at what address."""
    address = next((found for found in _addresses(record) if found), None)
    return Function(_text(record, "member-vnf-index-ref"), address)


def _addresses(record: Record) -> Iterator[str]:
    machines = record.get("vdur") or []
    yield _first(record)
    for machine in machines:
        yield _first(machine)
    for machine in machines:
        for interface in machine.get("interfaces") or []:
            if interface.get("mgmt-vnf"):
                yield _first(interface)


def _first(record: Record) -> str:
    """Return the first of the addresses there: a floating one stands before the fixed one that it leads to."""
    return _text(record, "ip-address").split(";")[0].strip()


def _id(record: Record) -> str:
    return _text(record, "_id") or _text(record, "id") or _text(record, "uuid")


def _text(record: Record, key: str) -> str:
    value = record.get(key)
    if isinstance(value, list):  # stage is a list in later releases: stage, step, detail
        return "; ".join(str(each) for each in value if each)
    return "" if value is None else str(value)


def _words(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
