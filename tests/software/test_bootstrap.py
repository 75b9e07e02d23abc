"""The other end: what comes on stdin is unpacked whole or not at all, by a Python that has nothing else."""

from __future__ import annotations

import json
import os
import resource
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.errors import Refused
from qkdbus_deploy.software.parts import Part
from qkdbus_deploy.software.unused import remove_unused
from qkdbus_deploy.software.wire import command, stream

from .conftest import Host


def test_the_agent_runs_with_what_was_sent_and_hears_the_request(host: Host, mirror: Part, big: Part) -> None:
    answer = host.ask([mirror, big], [big, mirror], {"op": "status", "text": "Grüße\n'\"$"})
    where = host.home / "software"
    assert answer["asked"] == {"op": "status", "text": "Grüße\n'\"$"}
    assert answer["path"][:2] == [str(where / big.digest), str(where / mirror.digest)]
    assert not any("site-packages" in path or "dist-packages" in path for path in answer["path"])
    assert host.software[big.digest] == [".boot", ".files", "deep/er/noise.bin", "deep/one", "empty", "text"]
    assert (where / big.digest / "text").read_bytes() == b"qkd " * 1_000_000


def test_nothing_is_done_when_something_lacks(host: Host, mirror: Part, big: Part) -> None:
    answer = host.ask([], [mirror, big])
    assert answer["missing"] == [mirror.digest, big.digest]
    assert answer["zstd"] in (True, False)
    assert not host.home.exists()
    assert host.ask([mirror], [mirror, big])["missing"] == [big.digest]
    assert "asked" in host.ask([big], [mirror, big])
    assert "asked" in host.ask([], [mirror, big])


def test_what_is_there_is_not_unpacked_again(host: Host, mirror: Part) -> None:
    host.ask([mirror], [mirror])
    before = (host.home / "software" / mirror.digest).stat().st_ino
    assert "asked" in host.ask([mirror], [mirror])
    assert (host.home / "software" / mirror.digest).stat().st_ino == before


def test_without_libzstd_zlib_does(host: Host, make: Callable[..., Part], mirror: Part) -> None:
    plain = make("plain", {"a": b"1" * 1_000_000}, zstd=False)
    assert plain.packing == "zlib"
    assert "asked" in host.ask([plain, mirror], [plain, mirror])
    assert (host.home / "software" / plain.digest / "a").stat().st_size == 1_000_000


def test_only_the_owner_can_read_it(host: Host, mirror: Part, big: Part) -> None:
    host.ask([mirror, big], [mirror])
    for path in (host.home, *(host.home / "software").rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.3, 0.7, 0.999999])
def test_a_stream_cut_short_leaves_nothing(host: Host, mirror: Part, big: Part, share: float) -> None:
    octets = host.stream([big, mirror], [big, mirror], {"op": "apply"})
    answer = host.hear(octets[: int(len(octets) * share)])
    assert answer["error"]["kind"] == "Unavailable"
    assert "cut short: deploy again" in answer["error"]["text"]
    assert set(host.software) <= {big.digest}
    assert "asked" in host.ask([big, mirror], [big, mirror])


@pytest.mark.parametrize("zstd", [True, False])
@pytest.mark.parametrize("at", [0.01, 0.5, 0.999])
def test_a_damaged_archive_leaves_nothing(host: Host, make: Callable[..., Part], zstd: bool, at: float) -> None:
    part = make("x", {"a": os.urandom(1_000_000)}, zstd=zstd)
    octets = bytearray(host.stream([part], [part], {}))
    octets[len(octets) - part.size + int(part.size * at)] ^= 1
    answer = host.hear(bytes(octets))
    assert answer["error"]["kind"] == "Unavailable"
    assert not host.software


def limit() -> None:
    """Let no file become longer than 1 MB."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


def test_no_room_is_said_and_leaves_nothing(host: Host, big: Part) -> None:
    host.before = limit
    answer = host.ask([big], [big])
    assert answer["error"]["kind"] == "Unavailable"
    assert answer["error"]["text"].startswith("no room to unpack the software: ")
    assert not host.software


def test_a_part_that_cannot_fit_is_not_begun(host: Host, big: Part) -> None:
    octets = host.stream([big], [big], {})
    answer = host.hear(octets.replace(b'"space": %d' % big.space, b'"space": %d' % (1 << 60)))
    assert "MiB are needed" in answer["error"]["text"]
    assert str(host.home) in answer["error"]["text"]
    assert not host.software


@pytest.mark.root
def test_a_full_disk_is_said_and_what_fits_is_kept(host: Host, mirror: Part, big: Part) -> None:
    host.home.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", host.home], check=True)
    try:
        answer = host.ask([mirror, big], [mirror, big])
        assert "no room" in answer["error"]["text"]
        assert list(host.software) == [mirror.digest]
        assert "asked" in host.ask([], [mirror])
    finally:
        subprocess.run(["umount", host.home], check=True)


def test_a_home_that_cannot_be_written_is_said(host: Host, mirror: Part) -> None:
    host.home.parent.mkdir()
    host.home.write_text("a file")
    answer = host.ask([mirror], [mirror])
    assert answer["error"]["kind"] == "Refused"
    assert str(host.home) in answer["error"]["text"]


def test_two_can_unpack_the_same_at_once(host: Host, mirror: Part, big: Part) -> None:
    octets = host.stream([big, mirror], [big, mirror], {"op": "apply"})
    shell = ["sh", "-c", command(host.python)]
    running = [subprocess.Popen(shell, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(4)]
    half = len(octets) // 2
    for piece in (octets[:half], octets[half:]):  # so that all of them are at it
        for one in running:
            assert one.stdin is not None
            one.stdin.write(piece)
            one.stdin.flush()
    answers = [json.loads(one.communicate(timeout=60)[0]) for one in running]
    assert [answer["asked"] for answer in answers] == [{"op": "apply"}] * 4
    assert set(host.software) == {big.digest, mirror.digest}


def spoil(host: Host, part: Part, name: str, octets: bytes) -> None:
    """Let a file be other than what was written, and the host have been started again."""
    folder = host.home / "software" / part.digest
    (folder / name).write_bytes(octets)
    (folder / ".boot").write_text("an earlier one")


def test_what_a_crash_of_the_host_has_spoilt_is_sent_again(host: Host, mirror: Part, big: Part) -> None:
    host.ask([mirror, big], [mirror, big])
    spoil(host, big, "text", b"")  # as a file that was not on the disk yet
    assert host.ask([], [mirror, big])["missing"] == [big.digest]
    assert "asked" in host.ask([big], [mirror, big])
    assert (host.home / "software" / big.digest / "text").stat().st_size == 4_000_000


def test_a_restart_alone_costs_nothing(host: Host, mirror: Part, make: Callable[..., Part]) -> None:
    kernels = make("kernels", {"__pycache__/k.nbi": b"index", "k.py": b""})
    host.ask([mirror, kernels], [mirror, kernels])
    spoil(host, kernels, "__pycache__/k.nbi", b"longer, for numba has compiled more")
    assert "asked" in host.ask([], [mirror, kernels])
    assert (host.home / "software" / kernels.digest / ".boot").read_text() != "an earlier one"
    spoil(host, kernels, "__pycache__/k.nbi", b"")
    assert "missing" in host.ask([], [mirror, kernels])


def test_times_that_matter_are_kept(host: Host, cache: Path, mirror: Part) -> None:
    from qkdbus_deploy.software.kind import Kind
    from qkdbus_deploy.software.parts import pack

    from .conftest import entry

    moment = 1_700_000_000_123_456_789
    part = pack("x", [entry("k.py", b"pass", moment)], Kind.here(), cache, print, zstd=True)
    host.ask([part, mirror], [mirror])
    assert (host.home / "software" / part.digest / "k.py").stat().st_mtime_ns == moment


def test_the_command_is_short_and_holds_no_comment(host: Host) -> None:
    said = command("/opt/my python/bin/python3")
    assert said.startswith("exec '/opt/my python/bin/python3' -I -S -c ")
    assert len(said) < 8192
    assert "#" not in said


@pytest.mark.parametrize("home", ["relative", "~/qkdbus", "/with:colon"])
def test_a_folder_that_cannot_be_is_refused(home: str) -> None:
    with pytest.raises(Refused, match="absolute path without colons"):
        stream(-1, home, [], [], {})


def test_software_that_is_not_used_goes_and_what_came_lately_stays(host: Host, mirror: Part, big: Part) -> None:
    host.ask([mirror, big], [mirror])
    (host.home / "software" / "0123.77.new").mkdir()
    os.utime(host.home / "software" / "0123.77.new", (0, 0))
    assert remove_unused(host.home, {mirror.digest}) == ["0123.77.new"]
    assert remove_unused(host.home, {mirror.digest}, lately=0) == [big.digest]
    assert set(host.software) == {mirror.digest}
