"""The ancestor's way to bring a network up on hosts, as its playbooks do it: pip on every host, files one by one.

What runs in the end is the same as with `qkdbus deploy`: our services under our supervisord, with the files of the
same plan. Only how they come there is the ancestor's: facts are gathered, forks are 5, software comes by pip from an
index (a plain HTTP server on the controller, which has nothing but what is needed), the application is copied, each
configuration file is copied by a task of its own, the nodes are started and waited for.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import requires
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from tests.hosts.lab import Lab

from qkdbus.network.load import load
from qkdbus_deploy.bundles import Plan
from qkdbus_deploy.certs import gather
from qkdbus_deploy.fleet import seating
from qkdbus_deploy.place import FOLDERS
from qkdbus_deploy.plan import Place, Target, plan

from . import report

REPOSITORY = Path(__file__).parents[1]
CACHE = Path.home() / ".cache" / "qkdbus-benchmarks"
PORT = 8000  # of the index
HOME, ENVIRONMENT, RUN = Path("/root/nodes"), Path("/root/env"), Path("/run/qkdbus")
READY_WITHIN = 120.0  # s

# Ansible says when each task begins; the name of a task begins with its phase.
_CALLBACK = """
import json, time
from ansible.plugins.callback import CallbackBase

class CallbackModule(CallbackBase):
    CALLBACK_VERSION, CALLBACK_TYPE, CALLBACK_NAME = 2.0, "aggregate", "laps"

    def v2_playbook_on_task_start(self, task, is_conditional):
        with open("%s", "a") as file:
            file.write(json.dumps([time.time(), task.get_name().partition(":")[0]]) + "\\n")
"""
# The criterion of `qkdbus deploy`, by the same code: every service answers `ping` as ready.
_WAIT = f"""
import sys
from pathlib import Path
from qkdbus_deploy import nodes, readiness
found = [node for node in nodes.read_all(Path("{HOME}/fleet"))]
late = readiness.wait(found, [s for node in found for s in node.services], {READY_WITHIN}, print)
sys.exit(f"not ready: {{late}}" if late else 0)
"""


def wheels() -> Path:
    """Return a folder with an index (PEP 503) of all that a node needs, and our own wheel beside it; made once."""
    needed = _requirements()
    name = hashlib.sha256("\n".join([sys.version, *needed]).encode()).hexdigest()[:12]
    folder = CACHE / name
    if not (folder / "complete").exists():
        report.say(f"fetching wheels to {folder}, once")
        _pip("wheel", "--wheel-dir", str(folder / "flat"), *needed)
        for wheel in (folder / "flat").glob("*.whl"):
            project = re.sub(r"[-_.]+", "-", wheel.name.split("-")[0]).lower()
            (folder / "simple" / project).mkdir(parents=True, exist_ok=True)
            wheel.replace(folder / "simple" / project / wheel.name)
        (folder / "complete").touch()
    return folder


def _requirements() -> list[str]:
    return sorted(line for line in requires("qkdbus") or () if "extra ==" not in line)


def application(folder: Path) -> Path:
    """Build our own wheel into a folder and return it."""
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(REPOSITORY))
    [wheel] = folder.glob("qkdbus-*.whl")
    return wheel


def deploy(lab: Lab, network: Path, inventory: Path, folder: Path, wheel: Path) -> dict[str, Any]:
    """Deploy from nothing; return the time of the whole command, s, and its phases. `folder`: for its files."""
    laps = folder / "laps"
    play = [_playbook(_plan(lab, network), folder, wheel)]
    (folder / "playbook.yaml").write_text(yaml.safe_dump(play, sort_keys=False))
    (folder / "callbacks").mkdir()
    (folder / "callbacks" / "laps.py").write_text(_CALLBACK % laps)
    settings = {"ANSIBLE_CALLBACK_PLUGINS": str(folder / "callbacks"), "ANSIBLE_CALLBACKS_ENABLED": "laps"}
    settings |= {"ANSIBLE_FORKS": "5", "ANSIBLE_HOST_KEY_CHECKING": "False"}
    command = [sys.executable, "-m", "ansible", "playbook", "-i", inventory, folder / "playbook.yaml"]
    with _index(lab):
        wall, began = time.time(), time.perf_counter()
        done = lab.run(command, env=settings, timeout=1800)
        seconds = time.perf_counter() - began
    if done.returncode:
        raise RuntimeError(f"the ancestor's way failed:\n{done.stdout[-3000:]}\n{done.stderr[-1000:]}")
    return {"seconds": seconds, "phases": _phases(laps, wall, wall + seconds)}


def _playbook(made: Plan, folder: Path, wheel: Path) -> dict[str, Any]:
    """Return the play: the same tasks for all hosts, each with its own share of the plan."""
    shares = {bundle.settings.host: _share(made, bundle.settings.host, folder) for bundle in made.bundles}
    index = f"--index-url http://controller:{PORT}/simple --trusted-host controller"
    needed = " ".join(f"'{line}'" for line in _requirements())
    pip = f"{ENVIRONMENT}/bin/python -m pip install --quiet --disable-pip-version-check"
    folders = {"path": "{{ item }}", "state": "directory", "mode": "0700"}
    tasks: list[dict[str, Any]] = [
        {"name": "facts", "setup": {}},
        {"name": "folders", "file": folders, "loop": "{{ shares[ansible_host].folders }}"},
        {"name": "pip: environment", "command": f"python3 -m venv {ENVIRONMENT}"},
        {"name": "pip: install", "shell": f"{pip} {index} {needed}"},
        {"name": "application: copy", "copy": {"src": str(wheel), "dest": "/root/"}},
        {"name": "application: install", "command": f"{pip} --no-deps --no-index /root/{wheel.name}"},
    ]
    for number in range(max(len(share["files"]) for share in shares.values())):
        source, target = (f"{{{{ shares[ansible_host].files[{number}].{end} }}}}" for end in ("src", "dest"))
        there = f"shares[ansible_host].files | length > {number}"
        to = {"src": source, "dest": target, "mode": "0600"}
        tasks.append({"name": f"configuration: {number + 1}", "copy": to, "when": there})
    tasks.append({"name": "start", "shell": "{{ shares[ansible_host].start }}"})
    tasks.append({"name": "wait", "command": {"argv": [f"{ENVIRONMENT}/bin/python", "-c", _WAIT]}})
    return {"hosts": "all", "gather_facts": False, "vars": {"shares": shares}, "tasks": tasks}


def _share(made: Plan, host: str, folder: Path) -> dict[str, Any]:
    """Return what one host gets, its files put below `folder` to be copied from."""
    mine = [bundle for bundle in made.bundles if bundle.settings.host == host]
    files = []
    for bundle in mine:
        for file in bundle.files:
            source = folder / bundle.name / file.path
            source.parent.mkdir(parents=True, exist_ok=True)
            source.write_text(file.text)
            files.append({"src": str(source), "dest": str(bundle.directory / file.path)})
    folders = [str(bundle.directory / name) for bundle in mine for name in ("", *FOLDERS)]
    folders += [str(bundle.run) for bundle in mine]
    supervise = f"OPENBLAS_NUM_THREADS=1 nohup setsid {ENVIRONMENT}/bin/python -m qkdbus_deploy.supervise"
    start = "\n".join(
        f"{supervise} {bundle.directory} </dev/null >{bundle.directory}/logs/start.log 2>&1 &" for bundle in mine
    )
    return {"folders": folders, "files": files, "start": start}


def _plan(lab: Lab, file: Path) -> Plan:
    """Return the plan that `qkdbus deploy` would make, but for its folders and its interpreter."""
    network = load(file)
    python = str(ENVIRONMENT / "bin" / "python")
    places = {node.node_name: Place(HOME, RUN, python, node.node_ip) for node in network.nodes}
    seats = {node.node_name: node.node_ip for node in network.nodes}
    here = Place(lab.home, RUN, python)
    return plan(network, seating.allot(network, seats, {}, {}), gather(network, lab.home), Target(here, places))


@contextmanager
def _index(lab: Lab) -> Iterator[None]:
    """Serve the index on the controller."""
    words = [sys.executable, "-m", "http.server", "--directory", wheels(), str(PORT)]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = lab.start(words, start_new_session=True, **quiet)
    try:
        yield
    finally:
        server.terminate()
        server.wait()


def _phases(laps: Path, began: float, ended: float) -> dict[str, float]:
    """Return how long each phase took, s, in order; the first has Ansible's own start, too."""
    found = [json.loads(line) for line in laps.read_text().splitlines()]
    times = [began, *(at for at, _ in found[1:]), ended]
    phases: dict[str, float] = {}
    for (_, phase), (start, end) in zip(found, pairwise(times), strict=True):
        phases[phase] = phases.get(phase, 0.0) + end - start
    return phases


def _pip(*words: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", "--quiet", *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"pip {' '.join(words)}:\n{done.stderr}")


def needs(names: Sequence[str]) -> str:
    """Return which of these modules are missing here, as words; "" when none is."""
    from importlib.util import find_spec

    lacks = [name for name in names if find_spec(name) is None]
    return f"needs {', '.join(lacks)}" if lacks else ""
