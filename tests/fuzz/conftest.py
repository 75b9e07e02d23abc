"""benchmarks/fuzz makes the messages: it is not installed, and found beside the tests."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
