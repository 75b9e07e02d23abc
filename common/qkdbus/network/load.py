"""Read a network file: `load(path)` gives a Network or raises BadFile, which tells all that is wrong at once."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from . import ancestor, check, optics, words
from .model import Network
from .plain import read


def load(path: Path | str) -> Network:
    """Return the network that a file describes, with notices.

    Raises:
        BadFile: each problem with file, line, column, field, what is wrong and what would be right.
    """
    path = Path(path)
    source = read(path, ancestor.SPELLINGS)
    said, notices, problems = ancestor.translate(source.value)
    said.setdefault("name", name_of(path))
    _anchor(said, path.absolute().parent)
    problems += check.problems(said)
    try:
        # By way of JSON: strict types (no "3" for 3), and still a list where the model has a tuple.
        network = Network.model_validate_json(json.dumps(said), strict=True)
    except ValidationError as error:
        raise source.bad([*words.problems(error), *problems]) from None
    problems += [] if problems else optics.problems(network)
    if problems:
        raise source.bad(problems)
    notices += optics.notices(network)
    alone = [node.node_name for node in network.nodes if not node.neighbour_nodes]
    return network.noticing([*notices, *(f"{name} has no neighbours: no key can reach it" for name in alone)])


def beside(words: Iterable[str], folder: Path) -> list[str]:
    """Return the words of a command; those that begin with `./` or `../` become paths from `folder` on.

    A layer runs in its node's folder, whereas whoever writes a command thinks of the folder they are in.
    """
    return [os.path.normpath(folder / word) if word.startswith(("./", "../")) else word for word in words]


def _anchor(said: Any, folder: Path) -> None:
    """Have commands of `layers:` name files beside the network file. What is malformed is left to the model."""
    nodes = said.get("nodes")
    for holder in (said, *(nodes if isinstance(nodes, list) else ())):
        layers = holder.get("layers") if isinstance(holder, dict) else None
        for choice in layers.values() if isinstance(layers, dict) else ():
            run = choice.get("run") if isinstance(choice, dict) else None
            if isinstance(run, str) and ("./" in run):
                choice["run"] = _anchored(run, folder)


def _anchored(command: str, folder: Path) -> str:
    try:
        return shlex.join(beside(shlex.split(command), folder))
    except ValueError:  # an open quotation mark: whoever runs it will say so
        return command


def name_of(path: Path) -> str:
    """Return the name of a network whose file does not give one: the file's, with what a folder may hold."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")
    return plain[:63] or "network"
