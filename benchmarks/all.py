"""All benchmarks, one after another; each writes its page in docs/. Leave the machine alone meanwhile.

python -m benchmarks.all

(`benchmarks.fleet` needs root, and is run by itself: sudo .venv/bin/python -m benchmarks.fleet)
"""

from __future__ import annotations

import subprocess
import sys

from . import report

EACH = ("start", "key_time", "get_key", "photonic_stack", "link_rate", "replicas", "scale")


def main() -> None:
    """Run each in a process of its own; stop at the first that fails."""
    for name in EACH:
        report.say(f"== {name}")
        subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=True)


if __name__ == "__main__":
    main()
