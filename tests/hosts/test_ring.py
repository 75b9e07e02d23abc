"""Eight hosts in a ring: keys on every link, hosts cut off and back, one made anew."""

from __future__ import annotations

import time
from typing import Any

import pytest

pytestmark = [pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]
NAMES = "ABCDEFGH"


def test_a_ring_of_eight_hosts_lives_through_cuts_and_a_host_made_anew(site: Any) -> None:
    net = site(*NAMES)
    file = net.file(NAMES, ring=True, buffers={"window_bytes": 256})
    assert net.json("deploy", file, net.inventory("key"))["ready"]
    assert len(net.keys_are_equal(keys=2)) == 8
    ksids = {}
    for one, other in ("AB", "CD"):
        ksid = net.run("key", "open", one, f"x@{one}", f"y@{other}").strip()
        net.run("key", "open", other, f"x@{one}", f"y@{other}", "--ksid", ksid)
        ksids[one, other] = (ksid, net.keys(one, ksid, 3))

    for host in "BD":
        net.lab.cut(host)
    time.sleep(30)
    for host in "BD":
        net.lab.heal(host)
    for (one, other), (ksid, early) in ksids.items():  # nothing is lost, nothing differs, and more comes by itself
        assert net.keys(other, ksid, 3) == early
        for _ in range(3):
            late = net.keys(one, ksid, 4)
            assert net.keys(other, ksid, 4) == late
            assert not set(late) & set(early)
            early = early + late

    net.run("destroy", "net", "E", "--yes")
    assert not net.lab.processes("E")
    done = net.json("deploy", file)
    assert done["ready"] and "E" in done["changed"], done
    assert len(net.keys_are_equal(keys=2)) == 8
