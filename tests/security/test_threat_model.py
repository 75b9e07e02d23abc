"""The threat model names a test for each claim: they are there, under those names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"(tests/[\w/]+\.py)::(\w+)")


def _named(text: str) -> Iterator[tuple[str, str]]:
    yield from _NAMED.findall(text)


def _missing(text: str) -> list[str]:
    return [f"{file}::{name}" for file, name in _named(text) if name not in _functions(ROOT / file)]


def _functions(file: Path) -> set[str]:
    if not file.is_file():
        return set()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.fixture(scope="module")
def threats() -> str:
    return (ROOT / "docs" / "threats.md").read_text(encoding="utf-8")


def test_every_test_that_the_threat_model_names_exists(threats: str) -> None:
    assert _missing(threats) == []
    assert len(set(_named(threats))) >= 40


def test_a_test_that_does_not_exist_would_be_missed() -> None:
    here = "tests/security/test_threat_model.py"
    assert _missing(f"`{here}::test_nothing_of_that_name`, `tests/security/test_gone.py::test_it`") == [
        f"{here}::test_nothing_of_that_name",
        "tests/security/test_gone.py::test_it",
    ]


def test_every_claim_of_a_list_names_its_test_or_says_that_it_has_none(threats: str) -> None:
    """Claims are the items of lists in the sections about attackers."""
    body = threats.split("## Who may do what")[1].split("## Out of scope")[0]
    items = re.findall(r"^- (.*(?:\n  .*)*)", body, re.MULTILINE)
    assert len(items) >= 25
    limits = (
        "Nothing here prevents",
        "Until then he can",
        "Who holds the user's account",
    )  # said of what does not hold
    bare = [
        item for item in items if "tests/" not in item and "*By argument.*" not in item and "*by argument*" not in item
    ]
    assert [item for item in bare if not any(words in item for words in limits)] == []


def test_this_folder_is_named_whole(threats: str) -> None:
    """No test of a door stands here without its claim there, but for those of how things are written."""
    named = {file for file, _ in _named(threats)}
    here = {f"tests/security/{file.name}" for file in Path(__file__).parent.glob("test_*.py")}
    assert here - named <= {
        "tests/security/test_threat_model.py",
        "tests/security/test_known.py",
        "tests/security/test_live_keys.py",
    }
