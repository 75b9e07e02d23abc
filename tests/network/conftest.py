from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.errors import BadFile
from qkdbus.network.load import load

Write = Callable[[str | bytes], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a network file `city.yaml` and return its path."""

    def to_disk(text: str | bytes) -> Path:
        file = tmp_path / "city.yaml"
        file.write_bytes(text.encode() if isinstance(text, str) else text)
        return file

    return to_disk


@pytest.fixture
def refusal(write: Write) -> Callable[[str | bytes], list[str]]:
    """Return what is said about a broken file: one line a problem, each without the folder of the file."""

    def of(text: str | bytes) -> list[str]:
        file = write(text)
        with pytest.raises(BadFile) as caught:
            load(file)
        lines = str(caught.value).splitlines()
        return [line.strip().removeprefix(f"{file.parent}/") for line in (lines[1:] or lines)]

    return of
