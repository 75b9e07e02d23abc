import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))  # the lab is also a program: python -m tests.hosts

from tests.hosts.fixtures import able, lab, new_lab
from tests.hosts.lab import Lab
from tests.hosts.sites import packed, site

__all__ = ["able", "lab", "new_lab", "packed", "site"]


@pytest.fixture(scope="module")
def two(able: None) -> Iterator[Lab]:
    """Two hosts for all tests that leave them as they were."""
    with Lab(names=["A", "B"]) as lab:
        yield lab
