"""`qkdbus demo`, whatever becomes of it: nothing is left. And what the command says to wrong input."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result

Command = Callable[..., Result]
MARK = "QKDBUS_END_TO_END"


class Place:
    """A temporary folder for commands, and a mark by which all that comes of them is known."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.folder = Path(tempfile.mkdtemp(prefix="e2e-"))
        self.mark = secrets.token_hex(8)
        kept = {name: value for name, value in os.environ.items() if name not in ("XDG_RUNTIME_DIR", "QKDBUS_SANDBOX")}
        self.environment = {**kept, "TMPDIR": str(self.folder), "HOME": str(self.folder), MARK: self.mark}

    def start(self, *words: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([*self.words, *words], env=self.environment, start_new_session=True, **pipes)  # type: ignore[call-overload,no-any-return]

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Start a command and wait until it has its folder: before that there is only Python at its imports."""
        begun, ends = self.start(*words), time.monotonic() + 60
        while not any(self.folder.iterdir()):
            assert begun.poll() is None and time.monotonic() < ends, "it did not begin"
            time.sleep(0.005)
        return begun

    def processes(self) -> list[int]:
        wanted, found = f"{MARK}={self.mark}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    if wanted in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
                except OSError:
                    continue
        return found

    def check_empty(self) -> None:
        """No process, no socket, no file."""
        ends = time.monotonic() + 10
        while self.processes() and time.monotonic() < ends:
            time.sleep(0.02)
        assert [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.processes()] == []
        assert sorted(str(file) for file in self.folder.rglob("*")) == []


@pytest.fixture
def place(qkdbus_words: tuple[str, ...]) -> Iterator[Place]:
    place = Place(qkdbus_words)
    yield place
    for pid in place.processes():
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(place.folder, ignore_errors=True)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_demo_compares_every_key_and_leaves_nothing(place: Place) -> None:
    demo = place.start("demo", "--keys", "2", "--bits", "64", "--json")
    out, said = demo.communicate(timeout=200)
    assert demo.returncode == 0, said
    streams = json.loads(out)
    assert [(one["stream"], one["keys"], one["equal"]) for one in streams] == [
        ("Alice-Bob", 2, 2),
        ("Bob-Charlie", 2, 2),
    ]
    for one in streams:
        assert one["created"] > one["sifted_out"] > one["kept"] >= 2 * 64
        assert one["created"] == one["sifted_out"] + one["disclosed"] + one["kept"]
        assert one["qber"] == 0
    place.check_empty()


# From before the warm parent is up to the middle of the keys.
@pytest.mark.parametrize(
    "after", [0.0, 0.6, pytest.param(2.0, marks=pytest.mark.slow), pytest.param(4.0, marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_the_demo_at_any_moment_and_leaves_nothing(place: Place, after: float) -> None:
    demo = place.begin("demo", "--keys", "1000")
    time.sleep(after)
    assert demo.poll() is None
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    _, said = demo.communicate(timeout=60)
    assert demo.returncode == 130, said
    assert "Traceback" not in said
    place.check_empty()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_demo_that_is_told_to_end_leaves_nothing(place: Place, number: signal.Signals) -> None:
    demo = place.begin("demo", "--keys", "1000")
    time.sleep(1.2)
    demo.send_signal(number)
    _, said = demo.communicate(timeout=60)
    assert demo.returncode not in (0, -number), said
    place.check_empty()


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_ctrl_c_again_and_again_leaves_nothing_either(place: Place) -> None:
    for tenths in range(1, 26, 3):
        demo = place.start("demo", "--keys", "1000")
        time.sleep(tenths / 10)
        for _ in range(3):
            os.killpg(demo.pid, signal.SIGINT)
            time.sleep(0.07)
        _, said = demo.communicate(timeout=60)
        assert demo.returncode in (130, -signal.SIGINT, 1), (tenths, said)
        place.check_empty()


@pytest.mark.slow
def test_two_demos_at_once_do_not_disturb_each_other(place: Place) -> None:
    demos = [place.start("demo", "--keys", "2", "--json") for _ in range(2)]
    for demo in demos:
        out, said = demo.communicate(timeout=100)
        assert demo.returncode == 0, said
        assert [one["equal"] for one in json.loads(out)] == [2, 2]
    place.check_empty()


GOOD = "nodes:\n  - {node_name: Alice, neighbour_nodes: [Bob]}\n  - {node_name: Bob, neighbour_nodes: [Alice]}\n"
BROKEN = {
    "one-sided neighbour": ("qkdbus_version: 1\n" + GOOD.replace("[Alice]", "[]"), r"3:\d+: .*does not name Alice"),
    "not YAML": ("qkdbus_version: 1\nnodes: [", r":\d+:\d+: "),
    "empty": ("", r"empty"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_gets_one_message_with_file_and_line_and_no_traceback(
    case: str, tmp_path: Path, qkdbus: Command
) -> None:
    text, wanted = BROKEN[case]
    file = tmp_path / "city.yaml"
    file.write_text(text)
    done = qkdbus("deploy", str(file), env={"QKDBUS_HOME": str(tmp_path / "home")})
    assert done.exit_code == 2
    assert done.stdout == ""
    assert re.search(wanted, done.stderr), done.stderr
    assert "city.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "home").exists(), "a refused deploy has left something"


@pytest.mark.parametrize(
    "words",
    [
        ("deploy", "no-such-file.yaml"),
        ("destroy", "no-such-network"),
        ("key", "get", "Nobody", "not-a-ksid"),
        ("client", "add", "Nobody", "app"),
    ],
)
def test_words_that_mean_nothing_are_refused_in_words(words: tuple[str, ...], tmp_path: Path, qkdbus: Command) -> None:
    done = qkdbus(*words, env={"QKDBUS_HOME": str(tmp_path / "home")})
    assert done.exit_code == 2
    assert done.stderr.strip()
    assert "Traceback" not in done.stderr
