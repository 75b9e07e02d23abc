"""The example `dispatcher_node`: a dispatcher in another language; the wire is all that it shares with ours."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from qkdbus_deploy.certs import gather
from qkdbus_deploy.plan import Place, Target, all_settings
from qkdbus_deploy.render import settings_text

if TYPE_CHECKING:
    from .conftest import Deployed

HERE = Path(__file__).parents[2] / "examples" / "dispatcher_node"
OURS = ("EUSAGE", "EINTEGRITY")  # what npm says when the fault is this repository's
Until = Callable[[Callable[[], object], str], None]


@pytest.fixture(scope="module")
def node() -> str:
    """The Node.js of this machine."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        pytest.skip("Node.js with npm is not installed here")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
    if int(said.lstrip("v").partition(".")[0]) < 18:
        pytest.skip(f"Node.js {said.strip()} is older than 18")
    return found


@pytest.fixture(scope="module")
def packages(node: str) -> Path:
    """`node_modules`, installed once for each lock file into the user's cache."""
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:12]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qkdbus-tests"
    folder = cache / f"dispatcher_node-{wanted}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            _install(cache / f"{folder.name}.making", folder)
    return folder / "node_modules"


def _install(making: Path, folder: Path) -> None:
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, making)
    command = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--fetch-retries=1"]
    try:
        said = subprocess.run(command, cwd=making, capture_output=True, text=True, check=False, timeout=400)
    except subprocess.TimeoutExpired:
        pytest.skip("npm did not get its packages in 400 s")
    if said.returncode:
        assert not any(code in said.stderr for code in OURS), said.stderr
        pytest.skip(f"npm cannot get its packages: {said.stderr.strip()[-300:]}")
    making.rename(folder)


@pytest.fixture(scope="module")
def example(copied: Callable[[str], Path], packages: Path) -> Path:
    folder = copied("dispatcher_node")
    (folder / "node_modules").symlink_to(packages)
    return folder


@pytest.fixture(scope="module")
def two_languages(example: Path, deploying: Callable[[Path], AbstractContextManager[Deployed]]) -> Iterator[Deployed]:
    with deploying(example) as net:
        yield net


def test_the_lock_file_names_no_registry() -> None:
    for file in HERE.iterdir():
        assert file.name != ".npmrc"
    text = (HERE / "package-lock.json").read_text()
    assert "resolved" not in text and "://" not in text
    lock, wanted = json.loads(text), json.loads((HERE / "package.json").read_text())
    assert lock["packages"][""]["dependencies"] == wanted["dependencies"]
    assert set(wanted["dependencies"]) == {"zeromq", "protobufjs"}
    assert all(found["integrity"] for name, found in lock["packages"].items() if name)


def test_it_reads_node_yaml_as_it_is_written(node: str, tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    (tmp_path / "node.yaml").write_text(settings)
    code = f"const {{ readSettings }} = require({json.dumps(str(HERE / 'node_settings.js'))})\n"
    code += f"console.log(JSON.stringify(readSettings({json.dumps(str(tmp_path))})))"
    said = subprocess.run([node, "-e", code], capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(said.stdout) == yaml.safe_load(settings)


def _settings(folder: Path) -> str:
    """The `node.yaml` of a node with all kinds of links, in a folder whose name makes YAML fold and quote."""
    from qkdbus.network.addresses import Ports
    from qkdbus.network.load import load

    network = load(HERE.parent / "photonic.yaml")
    ports = {name: Ports(north=1, keymanager=2, keysync=3, qbackend=(4, 5), emulator=6) for name in network.names}
    home = folder / "it's a folder: with a name that is much longer than a line of YAML that is not folded" / "[x]"
    target = Target(Place(home, Path("/tmp/q"), "python"))
    return settings_text(all_settings(network, ports, gather(network, folder), target)[1])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_network_of_two_languages_forms_keys(two_languages: Deployed) -> None:
    stream = two_languages.open("Alice", "Bob")
    stream.agree(20)
    [alice] = [one for one in two_languages.local.status(two_languages.name).nodes if one.node == "Alice"]
    [dispatcher] = [one for one in alice.layers if one.layer == "dispatcher"]
    assert "Node.js" in dispatcher.implementation
    words = Path(f"/proc/{dispatcher.pid}/cmdline").read_bytes().split(b"\0")
    assert b"node" in words[0] and words[1].endswith(b"/dispatcher.js")
    logs = two_languages.qkdbus("logs", "Alice", "dispatcher")
    assert "started" in logs and "worker" in logs


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_it_survives_a_dead_worker_both_dead_workers_and_its_own_death(two_languages: Deployed, until: Until) -> None:
    stream = two_languages.open("Alice", "Bob")
    stream.agree(10)
    for victims in (["qbackend_0"], ["qbackend_1"], ["qbackend_0", "qbackend_1"], ["dispatcher"]):
        before = {name: two_languages.pid("Alice", name) for name in victims}
        for pid in before.values():
            os.kill(pid, signal.SIGKILL)
        stream.agree(150)  # more than was agreed before: the window holds 128
        until(
            lambda before=before: all(two_languages.pid("Alice", name) not in (0, pid) for name, pid in before.items()),  # type: ignore[misc]
            "other processes",
        )
    stream.agree(150)
    workers = _describe(two_languages)["workers"]
    assert len(workers) == 2


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_it_keeps_the_contract(example: Path, conform: Callable[..., None]) -> None:
    command = ("node", "./dispatcher.js", "--wire", "../../common")
    conform(example, "dispatcher", *command, left_out=["strangers-get-nothing"])  # it has no TCP door


def _describe(net: Deployed) -> Any:
    import zmq

    from qkdbus.bus.caller import Caller
    from qkdbus.contracts.dispatcher import CONTRACT
    from qkdbus.runtime.settings import load
    from qkdbus.wire.head_pb2 import Describe, Description

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    try:
        caller = Caller(context, load(net.home / net.name / "Alice").ipc("dispatcher"), CONTRACT, os.urandom(16))
        said = caller.ask("describe", Describe())
    finally:
        context.destroy(linger=0)
    assert isinstance(said, Description)
    assert said.counters["exchange"] > 0
    return json.loads(said.configuration)
