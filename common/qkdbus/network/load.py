"""Read a network file: `load(path)` gives a Network or raises BadFile, which tells all that is wrong at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from pydantic import ValidationError

from . import ancestor, check, words
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
    problems += check.problems(said)
    try:
        # By way of JSON: strict types (no "3" for 3), and still a list where the model has a tuple.
        network = Network.model_validate_json(json.dumps(said), strict=True)
    except ValidationError as error:
        raise source.bad([*words.problems(error), *problems]) from None
    if problems:
        raise source.bad(problems)
    alone = [node.node_name for node in network.nodes if not node.neighbour_nodes]
    return network.noticing([*notices, *(f"{name} has no neighbours: no key can reach it" for name in alone)])


def name_of(path: Path) -> str:
    """Return the name of a network whose file does not give one: the file's, with what a folder may hold."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-_")
    return plain[:63] or "network"
