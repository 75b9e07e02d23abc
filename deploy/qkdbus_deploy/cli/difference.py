"""What a deploy would change, and what it needs open, in words: part of `qkdbus plan`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from . import say

if TYPE_CHECKING:
    from ..bundles import Plan
    from ..change import Change, Difference, NodeChange
    from ..doors import Opening

_SIGNS = {"added": "+", "removed": "-", "moved": ">", "changed": "~"}
_WORDS = {
    "starts anew": "is new",
    "is removed": "is removed: stopped, its keys wiped",
    "restarts": "is restarted; its keys stay",
    "reads again": "goes on, and reads again who may come in",
}


def tell(change: Change) -> None:
    """Print what a deploy would change of what is deployed."""
    if change.nothing:
        say.answer(f"{change.network} is deployed so: nothing would change\n")
        return
    say.answer(f"a deploy would change of {change.network}, as it is deployed:")
    for one in change.nodes:
        if one.kind != "untouched":
            _tell_node(one)
    untouched = [one.node for one in change.nodes if one.kind == "untouched"]
    if untouched:
        say.answer(f"    {', '.join(untouched)}: untouched")
    say.answer("")


def openings(plan: Plan) -> dict[str, list[Opening]]:
    """Return node -> the ports that others must be let through to."""
    from .. import doors

    known = {bundle.name: bundle.settings for bundle in plan.bundles}
    return {
        name: doors.openings(settings, [known[peer.name] for peer in settings.neighbours])
        for name, settings in known.items()
    }


def tell_openings(plan: Plan, found: dict[str, list[Opening]]) -> None:
    """Print the ports as a table."""
    if all(bundle.settings.listen.startswith("127.") for bundle in plan.bundles):
        say.answer("\nnothing has to be open to other machines: all is on 127.0.0.1")
        return
    say.answer("\nto be open (TCP)")
    rows = [
        (bundle.name, bundle.settings.host, port, door, _sources(group))
        for bundle in plan.bundles
        for (port, door), group in _grouped(found[bundle.name])
    ]
    say.table(("node", "address", "port", "for", "from"), rows, "  ")


def _tell_node(one: NodeChange) -> None:
    where = f" on {one.host}" if one.host else ""
    if one.kind == "moved":
        here, there = one.was_on or "this machine", one.host or "this machine"
        words = f"moves from {here} to {there}: it starts anew there, the keys that it holds are lost"
    else:
        words = _WORDS[one.effect] + (where if one.kind == "added" else "")
    say.answer(f"  {_SIGNS[one.kind]} {one.node} {words}")
    if one.kind == "changed":
        for line in _lines(one.differences):
            say.answer(f"      {line}")


def _lines(differences: Iterable[Difference]) -> Iterator[str]:
    """Say what differs; a layer's programs and a peer's ports are a word, not a line each."""
    differences = list(differences)
    layers = {one.name for one in differences if one.what == "layer"}
    peers = dict.fromkeys(one.name for one in differences if one.what == "peer")
    for one in differences:
        if one.what != "peer" and (one.what != "program" or one.name.partition("_")[0] not in layers):
            yield _line(one)
    for peer in peers:
        yield f"reaches {peer} otherwise: {_otherwise([d for d in differences if (d.what, d.name) == ('peer', peer)])}"


def _otherwise(differences: Iterable[Difference]) -> str:
    words = {"ports": "other ports", "public_key": "another key", "emulator_socket": "another socket"}
    found = [
        f"at {one.after} instead of {one.before}" if one.setting == "host" else words[one.setting.partition(".")[0]]
        for one in differences
    ]
    return ", ".join(dict.fromkeys(found))


def _line(one: Difference) -> str:
    name = " ".join(filter(None, (one.what, one.name)))
    if one.before is None and one.what in ("link", "program"):
        return f"{name}: added, {one.after}"
    if one.after is None and one.what in ("link", "program"):
        return f"{name}: removed"
    return f"{name}: {one.setting} {_value(one.before)} -> {_value(one.after)}".replace(":  ", ": ")


def _value(value: Any) -> str:
    if value is None:
        return "none"
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _grouped(found: Iterable[Opening]) -> Iterator[tuple[tuple[int, str], list[Opening]]]:
    groups: dict[tuple[int, str], list[Opening]] = {}
    for one in found:
        groups.setdefault((one.port, one.door), []).append(one)
    yield from groups.items()


def _sources(group: Iterable[Opening]) -> str:
    return ", ".join(f"{one.node} ({one.source})" if one.node else "wherever they are" for one in group)
