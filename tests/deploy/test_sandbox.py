"""A network for the length of a `with`: whatever ends it, and whenever, nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qkdbus.network.model import Network
from qkdbus_deploy.sandbox import sandbox

SHARES = "from multiprocessing.resource_tracker import ensure_running; ensure_running()"
COUNTS = f"""
import os, subprocess, sys, time
from pathlib import Path
from qkdbus_deploy.sandbox import MARK, Sandbox
os.environ[MARK] = "this"
{SHARES}
child = subprocess.Popen([sys.executable, "-c", "{SHARES}; print(1, flush=True); input()"], stdin=-1, stdout=-1)
child.stdout.readline()
time.sleep(1)  # both of what stands beside have begun
print(len(Sandbox(Path(), None, "this").processes()))
child.communicate(b"now\\n")
"""
NOTHING = Network.model_validate({"name": "nothing", "nodes": [{"node_name": "Alice"}]})


class Driver:
    """Deploys nothing, and is asked for something when `met` says so."""

    def __init__(self, met: Callable[[], None]) -> None:
        self.met, self.homes = met, []  # type: ignore[var-annotated]

    def __call__(self, home: Path, *_: Any) -> Driver:
        self.home = home
        self.homes.append(home)
        return self

    def deploy(self, *_: Any) -> None:
        self.met()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_that_comes_as_the_home_is_made_leaves_no_home(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = tempfile.mkdtemp

    def interrupted(*arguments: Any, **named: Any) -> str:
        folder: str = made(*arguments, **named)
        os.kill(os.getpid(), number)
        return folder

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "mkdtemp", interrupted)
    driver = Driver(lambda: pytest.fail("it was deployed all the same"))
    with pytest.raises(KeyboardInterrupt), sandbox(NOTHING, driver=driver):  # type: ignore[arg-type]
        pytest.fail("the body ran")
    assert list(tmp_path.iterdir()) == []


def test_a_second_interrupt_does_not_cut_the_tear_down_short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def twice() -> None:
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    driver, before = Driver(twice), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), sandbox(NOTHING, driver=driver):  # type: ignore[arg-type]
        pytest.fail("the body ran")
    assert len(driver.homes) == 2 and list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) is before


def test_what_python_keeps_beside_the_body_is_not_of_the_network_but_what_it_keeps_beside_others_is() -> None:
    done = subprocess.run([sys.executable, "-c", COUNTS], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("2\n", ""), "a child, and what stands beside that"
