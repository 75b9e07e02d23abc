"""The ancestor's network files (QDTS, Quditto, QMTS) in our words, so that they work unchanged.

Source: `functional_test/config.yaml` of the repository Networks-it-uc3m/QDTS (`qdts_version`, `quditto_version`,
`neighbour_nodes`) and the figure of its paper (`qmts_version`). An address may be empty there: OSM finds it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .source import Location, Problem

OUR_VERSION = "qkdbus_version"
ANCESTOR_VERSIONS = ("qmts_version", "quditto_version", "qdts_version")
SPELLINGS = {"neighbor_nodes": "neighbour_nodes"}
OLD_PROTOCOL, ITS_MEANING = "e91", "e91-same-bases"


def translate(said: dict[str, Any]) -> tuple[dict[str, Any], list[str], list[Problem]]:
    """Return the file in our words, what its user should know, and what speaks against itself."""
    problems: list[Problem] = []
    words = _respell(said, (), problems)
    versions = [field for field in (OUR_VERSION, *ANCESTOR_VERSIONS) if field in words]
    for extra in versions[1:]:
        text = f"this file says `{versions[0]}` as well; keep the one that it was written for"
        problems.append(Problem((extra,), text, on_field=True))
    notices: list[str] = []
    if versions and versions[0] != OUR_VERSION:
        notices += _old_protocol(words, versions[0])
    elif versions:
        words[OUR_VERSION] = _number(words[OUR_VERSION])
    return {field: value for field, value in words.items() if field not in ANCESTOR_VERSIONS}, notices, problems


def _respell(value: Any, at: Location, problems: list[Problem]) -> Any:
    """Give fields one spelling, and leave out those without a value: they are as good as not written."""
    if isinstance(value, list):
        return [_respell(child, (*at, place), problems) for place, child in enumerate(value)]
    if not isinstance(value, dict):
        return value
    fields: dict[str, Any] = {}
    for written, child in value.items():
        name = str(SPELLINGS.get(written, written))
        if name != written and name in value:
            text = f"`{written}` and `{name}` are the same field; keep one of them"
            problems.append(Problem((*at, name), text, on_field=True))
        if child is not None:
            fields[name] = _respell(child, (*at, name), problems)
    return fields


def _old_protocol(words: dict[str, Any], version: str) -> list[str]:
    notices = []
    for block, field in _protocols(words):
        if block.get(field) == OLD_PROTOCOL:
            block[field] = ITS_MEANING
            meaning = f"means `{ITS_MEANING}`: both ends draw from the same three bases"
            notices = [f"`{OLD_PROTOCOL}` in a `{version}` file {meaning}"]
    return notices


def _protocols(words: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Yield each block that may name a protocol, with the name of that field."""
    links = words.get("links")
    for block, field in (
        (words.get("config"), "qkd_protocol"),
        (words.get("link_defaults"), "protocol"),
        *((link, "protocol") for link in (links if isinstance(links, list) else [])),
    ):
        if isinstance(block, dict):
            yield block, field


def _number(version: Any) -> Any:
    """Return 1 for what means it ("1", "v1", 1.0); anything else as it is."""
    return 1 if str(version).removeprefix("v").removesuffix(".0") == "1" else version
