"""What the warm parent does to its memory leaves a Python that works."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORKS = """
import asyncio, gc, os, sys
gc.disable()
from qkdbus_deploy import memory, warm
warm.preload()

async def wait_often(times):
    # one future after the other, of asyncio's own list of free objects
    loop = asyncio.get_running_loop()
    for _ in range(times):
        waited = [loop.create_future() for _ in range(5)]
        for one in waited:
            loop.call_soon(one.set_result, 1)
        assert sum(await asyncio.gather(*map(asyncio.ensure_future, waited))) == 5
        await asyncio.gather(*(asyncio.wait_for(asyncio.sleep(0), 1) for _ in range(5)))

asyncio.run(wait_often(50))
memory.keep_for_ever()
filling = memory.fill_pools()
memory.fill_holes()
memory.still()
gc.enable()
child = os.fork()
asyncio.run(wait_often(2000))
before = sys.getrefcount(memory.rehearse)
more = [memory.rehearse] * 7
print(sys.getrefcount(memory.rehearse) - before)
del more
gc.collect()
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_a_python_works_and_ends_well_after_its_memory_has_been_stilled() -> None:
    done = subprocess.run([sys.executable, "-c", WORKS], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.version_info[:2] != (3, 12), reason="only CPython 3.12 can do it so")
def test_references_to_what_lasts_are_not_counted() -> None:
    done = subprocess.run([sys.executable, "-c", WORKS], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["0", "0"]
