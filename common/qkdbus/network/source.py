"""A file of the user's that was read: its values, where each stands, and how its problems are told."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadFile

Location = tuple[str | int, ...]  # fields and positions, from the top of the file down
MOST_PROBLEMS = 20
MERGE = "<<"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        at: where; the nearest place that exists is shown.
        text: what is wrong and what would be right; "{line}" in it becomes the line of `other`.
        on_field: whether the field's name is wrong (rather than its value).
    """

    at: Location
    text: str
    on_field: bool = False
    other: Location | None = None


@dataclass(frozen=True)
class Source:
    """A file that was read: its name, its values, and where they stand."""

    path: Path
    value: dict[str, Any]
    root: yaml.Node
    spellings: dict[str, str]  # another name of a field -> the name that locations use

    def line(self, at: Location) -> int:
        """Return the line (from 1) of a place, or of the nearest one around it."""
        return self._find(at, on_field=False)[0]

    def bad(self, problems: Sequence[Problem]) -> BadFile:
        """Return the error that lists these problems, in the order of the file, at most twenty of them."""
        found = sorted({self._words(problem) for problem in problems})
        lines = [f"{shown(self.path)}:{line}:{column}: {text}" for line, column, text in found]
        if len(lines) == 1:
            return BadFile(lines[0])
        more = [f"... and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else []
        listed = "".join(f"\n  {line}" for line in lines[:MOST_PROBLEMS] + more)
        return BadFile(f"{shown(self.path)}: {len(lines)} problems{listed}")

    def _words(self, problem: Problem) -> tuple[int, int, str]:
        line, column, field = self._find(problem.at, problem.on_field)
        text = problem.text
        if problem.other is not None:
            text = text.replace("{line}", str(self.line(problem.other)))
        return line, column, printable(f"{field}: {text}" if field else text)

    def _find(self, at: Location, on_field: bool) -> tuple[int, int, str]:
        """Return line, column and the path as the file spells it."""
        node, mark, field = self.root, self.root.start_mark, ""
        for depth, step in enumerate(at):
            found = self._step(node, step)
            if found is None:
                break
            key, node = found
            last = depth == len(at) - 1
            # An empty value stands at the start of the next line: its field is what the user looks for.
            mark = key.start_mark if key is not None and ((on_field and last) or not word(node)) else node.start_mark
            field += f"[{step}]" if isinstance(step, int) else f".{word(key)}" if field else word(key)
        return mark.line + 1, mark.column + 1, field

    def _step(self, node: yaml.Node, step: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
        if isinstance(step, int):
            inside = isinstance(node, yaml.SequenceNode) and step < len(node.value)
            return (None, node.value[step]) if inside else None
        if not isinstance(node, yaml.MappingNode):
            return None
        for key, value in node.value:
            if self.spellings.get(word(key), word(key)) == step:
                return key, value
        for block in merged(node):
            found = self._step(block, step)
            if found is not None:
                return found
        return None


def shown(path: Path) -> str:
    """Return a path that can be printed, whatever octets it is made of."""
    return printable(os.fsencode(path).decode(errors="replace"))


def printable(text: str) -> str:
    """Return text without what would move a terminal's cursor."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def kind(value: object) -> str:
    """Say what a plain value is, in the user's words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'the text "{printable(value[:60])}{"..." if len(value) > 60 else ""}"'
    if isinstance(value, dict):
        return "a block of fields"
    return "a list" if isinstance(value, list | tuple) else f"the number {value}"


def word(node: yaml.Node | None) -> str:
    """Return a scalar's text, "?" for what is not one, "" for nothing."""
    return printable(node.value) if isinstance(node, yaml.ScalarNode) else "?" if node is not None else ""


def merged(node: yaml.MappingNode) -> list[yaml.Node]:
    """Return the blocks that `<<` brings into this one, the strongest first."""
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value == MERGE:
            return list(value.value) if isinstance(value, yaml.SequenceNode) else [value]
    return []
