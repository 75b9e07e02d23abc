"""YAML as plain values, read as YAML 1.2 reads it, however hostile the file.

Plain words are text (`no` and `on` too, so that a site may be called NO), `010` is ten and `1e-3` a number. Not
read: tags, other documents in the same file. Sizes and depths are bounded before anything is built, and the one
thing raised is BadFile.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

from ..errors import BadFile
from .source import MERGE, Location, Problem, Source, kind, merged, printable, shown, word

LARGEST_FILE = 4 << 20  # octets
DEEPEST = 32
MOST_VALUES = 200_000
_TOO_DEEP = f"nested more than {DEEPEST} deep"
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TAGS = {
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "value", "merge")
}
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: dict[str, bool | None] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_CONSTANTS |= {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}


def read(path: Path, spellings: dict[str, str]) -> Source:
    """Read a file that holds one block of fields. BadFile when it cannot be read or is not that."""
    text = _text_of(path)
    try:
        _bound(path, text)
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError as error:
        raise BadFile(_not_yaml(path, text, error)) from None
    if root is None:
        raise BadFile(f"{shown(path)}:1: the file is empty; `qkdbus init FILE` writes one to start from")
    problems: list[Problem] = []
    source = Source(path, {}, root, spellings)
    builder = _Builder(problems)
    value = builder.value(root, ())
    if not isinstance(value, dict):
        raise BadFile(
            f"{shown(path)}:{root.start_mark.line + 1}: a network file is a block of fields "
            f"(`nodes:` and others), and this is {kind(value)}"
        )
    if problems:
        raise source.bad(problems)
    source.value.update(value)
    return source


class _Builder:
    """Turns YAML nodes into plain values; notes what it does not understand."""

    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._built = 0

    def value(self, node: yaml.Node, at: Location) -> Any:
        self._built += 1
        # An alias is built anew wherever it stands, so these two also end circles and "billion laughs".
        if len(at) > DEEPEST or self._built > MOST_VALUES:
            if not any("unfold" in problem.text for problem in self._problems):
                self._note(at[:1], "aliases (`*name`) unfold to far too much; write out what is meant")
            return None
        if node.tag not in _TAGS:
            return self._note(at, f"the tag `{printable(node.tag[:40])}` is not understood; leave it out")
        if isinstance(node, yaml.MappingNode):
            return self._fields(node, at)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*at, place)) for place, child in enumerate(node.value)]
        return _scalar(node) if isinstance(node, yaml.ScalarNode) else None

    def _fields(self, node: yaml.MappingNode, at: Location) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for block in merged(node):
            inherited = self.value(block, (*at, MERGE))
            if not isinstance(inherited, dict):
                self._note((*at, MERGE), f"brings a block of fields in, and this is {kind(inherited)}")
                continue
            fields = {**inherited, **fields}
        seen: set[str] = set()
        for key, child in node.value:
            name = word(key)
            if not isinstance(key, yaml.ScalarNode):
                self._note(at, "a field's name is a word")
            elif name in seen:
                again = f"is written again in line {key.start_mark.line + 1}; keep one of them"
                self._problems.append(Problem((*at, name), again, on_field=True))
            elif name != MERGE:
                fields[name] = self.value(child, (*at, name))
            seen.add(name)
        return fields

    def _note(self, at: Location, text: str) -> None:
        self._problems.append(Problem(at, text))


def _scalar(node: yaml.ScalarNode) -> Any:
    text = str(node.value)
    if node.style in ("'", '"', "|", ">"):
        return text
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text) and math.isfinite(float(text)):
        return float(text)
    return text


def _text_of(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            octets = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        raise BadFile(f"{shown(path)}: there is no such file; `qkdbus init FILE` writes one to start from") from None
    except IsADirectoryError:
        raise BadFile(f"{shown(path)}: this is a folder; name the network file in it") from None
    except OSError as error:
        raise BadFile(f"{shown(path)}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise BadFile(f"{shown(path)}: this is not a file name") from None
    if len(octets) > LARGEST_FILE:
        raise BadFile(f"{shown(path)}: larger than {LARGEST_FILE >> 20} MiB; this is not a network file")
    try:
        return octets.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise BadFile(f"{shown(path)}:{line}: not text in UTF-8; save the file as UTF-8 text") from None


def _bound(path: Path, text: str) -> None:
    """Refuse what is nested too deep or too long before it is composed (the C composer would overflow its stack)."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=_LOADER)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST or count > MOST_VALUES:
            what = _TOO_DEEP if depth > DEEPEST else f"more than {MOST_VALUES} values"
            line = event.start_mark.line + 1 if event.start_mark else 1
            raise BadFile(f"{shown(path)}:{line}: {what}; this is not a network file")


def _said(error: yaml.MarkedYAMLError) -> str:
    """Return the parser's words; its "context" only where the sentence begins there."""
    begins = error.context and error.context.startswith("expected")
    return f"{error.context}, {error.problem}" if begins else error.problem or error.context or "a fault"


def _not_yaml(path: Path, text: str, error: yaml.YAMLError) -> str:
    mark = error.problem_mark or error.context_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is not None and "nesting depth" in str(error):  # libyaml's own bound: it reads ahead of the events
        return f"{shown(path)}:{mark.line + 1}: {_TOO_DEEP}; this is not a network file"
    if isinstance(error, yaml.MarkedYAMLError) and mark is not None:
        line, column, said = mark.line + 1, mark.column + 1, _said(error)
    else:  # a character that YAML does not allow
        position = getattr(error, "position", 0)
        position = position if isinstance(position, int) else 0
        line, column = text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)
        said = "a character that may not stand in YAML"
    at_fault = text.split("\n")[line - 1 : line]
    hint = "" if not at_fault or "\t" not in at_fault[0] else "; indent with spaces, not with tabs"
    return f"{shown(path)}:{line}:{column}: not YAML: {printable(str(said))}{hint}"
