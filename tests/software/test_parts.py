"""Archives: named by their content, kept, and made by two at once."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import pytest

from qkdbus.errors import Refused
from qkdbus_deploy.software import archive, installed
from qkdbus_deploy.software.closure import tiers
from qkdbus_deploy.software.kind import Kind
from qkdbus_deploy.software.parts import Part, build, pack

HERE = Kind.here()


def silent(_: str) -> None:
    """Say nothing."""


def test_the_same_files_make_the_same_name(make: Callable[..., Part]) -> None:
    first, again = make("x", {"a": b"1", "b": b"2"}), make("x", {"b": b"2", "a": b"1"})
    assert first == again
    assert make("x", {"a": b"1", "b": b"3"}).digest != first.digest
    assert make("x", {"a": b"1", "c": b"2"}).digest != first.digest
    assert (first.size, first.space) == (first.archive.stat().st_size, 2 * 4096)


def test_old_archives_of_a_name_go_and_those_in_use_stay(make: Callable[..., Part], cache: Path) -> None:
    used = make("x", {"a": b"used"})
    other = make("y", {"a": b"other"})
    for number in range(8):
        os.utime(make("x", {"a": b"%d" % number}).archive, (number, number))
        make("x", {"a": b"used"})  # asked for again, so it is young
    assert used.archive.exists()
    assert other.archive.exists()
    assert len(list(cache.glob("x-*"))) == 4


def test_many_can_pack_the_same_at_once(cache: Path) -> None:
    entries = list(installed.entries(distribution("click"), HERE, ()))
    found: list[Part] = []
    threads = [
        threading.Thread(target=lambda: found.append(pack("x", entries, HERE, cache, silent, zstd=True)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert len(found) == 4
    assert os.listdir(cache) == [found[0].archive.name]


def test_a_failure_leaves_no_half_archive(cache: Path) -> None:
    gone = archive.Entry("a", "0", lambda: cache / "not-there")
    with pytest.raises(FileNotFoundError):
        pack("x", [gone], HERE, cache, silent, zstd=True)
    assert not os.listdir(cache)


@pytest.fixture
def patched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a copy of click that was installed an hour ago."""
    dist = distribution("click")
    for file in dist.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            to = tmp_path / "site" / file
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), to)
            os.utime(to, (to.stat().st_atime, to.stat().st_mtime - 3600))
    monkeypatch.syspath_prepend(tmp_path / "site")
    return tmp_path / "site" / "click"


def name_of_click() -> str:
    return archive.name(installed.entries(distribution("click"), HERE, ()), str(HERE))


def test_a_file_that_somebody_patched_makes_another_name_and_a_touched_one_does_not(patched: Path) -> None:
    first = name_of_click()
    (patched / "core.py").touch()
    assert name_of_click() == first
    text = (patched / "core.py").read_bytes()
    (patched / "core.py").write_bytes(text.replace(b"Context", b"Kontext"))  # of the same length
    assert name_of_click() != first


def test_a_distribution_without_a_list_of_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "mylab-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Refused, match="cannot tell the files of mylab"):
        list(installed.entries(distribution("mylab"), HERE, ()))


def test_everything_here_can_go_to_a_host_of_the_same_kind_and_pure_python_to_any() -> None:
    found = tiers(["simulaqron", "photonic"], HERE.python)
    every = {name: dist for tier in found.values() for name, dist in tier.items() if dist is not None}
    other = Kind("3.12" if HERE.python == "3.11" else "3.11", "riscv64", "glibc 2.36")
    assert all(installed.usable(dist, HERE) for dist in every.values())
    assert installed.usable(every["click"], other)
    assert not installed.usable(every["numpy"], other)


def test_binaries_that_need_a_newer_libc_do_not_go_to_an_old_one() -> None:
    numpy = distribution("numpy")
    assert installed.usable(numpy, Kind(HERE.python, HERE.machine, "glibc 2.99"))
    assert not installed.usable(numpy, Kind(HERE.python, HERE.machine, "glibc 2.5"))
    assert not installed.usable(numpy, Kind(HERE.python, HERE.machine, "musl 1.2"))


@pytest.mark.slow
def test_a_change_of_a_layer_leaves_the_rest_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of somebody's, installed as a pointer to its sources."""
    package = tmp_path / "src" / "mylab_qbackend"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "build.py").write_text("def build() -> None: ...\n")
    info = tmp_path / "site" / "mylab-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1\nRequires-Dist: click\n")
    (info / "entry_points.txt").write_text("[qkdbus.layers]\nmylab = mylab_qbackend.build:build\n")
    (info / "direct_url.json").write_text('{"dir_info": {"editable": true}, "url": "file:///"}')
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "src")
    said: list[str] = []
    before = build(frozenset(), HERE, tmp_path / "cache", said.append, extra=["mylab"])
    assert [part.name for part in before] == ["base", "layers", "ours"]
    assert len(said) == 3
    (package / "build.py").write_text("def build() -> int: ...\n")
    after = build(frozenset(), HERE, tmp_path / "cache", said.append, extra=["mylab"])
    assert before[0] == after[0]
    assert before[1].digest != after[1].digest
    assert before[1].archive.exists()
