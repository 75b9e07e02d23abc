"""After a reboot a host's nodes come back: systemd starts their warm parent then, and again whenever it is killed.

Each network has a unit, `qkdbus-<network>.service`: root's among the system's, else the user's own, for which systemd
has to run while nobody is logged in ("lingering"). The unit runs `python -m qkdbus_deploy.warm NETWORK_DIR`, which
keeps what `.warm/wanted.json` asks for: a network that was stopped stays stopped. Nodes outlive their warm parent
(KillMode=process): the next one adopts them.

Without systemd (or where lingering is refused) all is as on a user's own machine, and a note says what is to be done.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from . import nodes, place, wishes
from .launch import Launch, Starter, python_options

SYSTEMD = Path("/run/systemd/system")  # there when systemd is process 1 (sd_booted(3))
SYSTEM_UNITS = Path("/etc/systemd/system")
USER_UNITS = Path(".config/systemd/user")  # below the user's home
LINGERING = Path("/var/lib/systemd/linger")  # a file for each user
OURS = ".qkdbus-linger"  # among the user's units: it was us who asked for lingering
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH")
PATIENCE = 20.0  # s for an order to systemd
COMES_UP = 5.0  # s for a user's own systemd

Run = Callable[[list[str]], str]  # runs a command; what went wrong, "" when nothing did


@dataclass(frozen=True, slots=True)
class Systemd:
    """The systemd that looks after this user's units.

    Attributes:
        units: the folder that they are in.
        control: `systemctl`, for it.
        target: what they are started with.
        lingers: whether it runs when nobody is logged in; "" if so, else how to have that.
    """

    units: Path
    control: tuple[str, ...]
    target: str
    lingers: str = ""


class Boot:
    """How the warm parent of one network is started on this host, now and at each boot.

    `find` returns the systemd here, None when there is none; `notes` are what the user should know, after `settle`.
    """

    def __init__(self, network: Path, find: Callable[[], Systemd | None] | None = None, run: Run | None = None) -> None:
        self._network, self._find, self._run = network, find or here, _run if run is None else run
        self.notes: list[str] = []

    @cached_property
    def _systemd(self) -> Systemd | None:
        """Looked for when it is needed: a user's own may have to be asked for."""
        found = self._find()
        if found is None:
            self.notes.append(f"no systemd there; after a reboot run `qkdbus start {self._network.name}`")
        elif found.lingers:
            self.notes.append(
                f"nodes there will not start at a reboot by themselves: have an administrator run "
                f"`{found.lingers}` and deploy again, or run `qkdbus start {self._network.name}` after each reboot"
            )
            return None
        return found

    def spare(self) -> Starter:
        """Return a warm parent that imports already, where it is not systemd that starts it."""
        return self.launch()

    def launch(self) -> Starter:
        """Return what starts a warm parent when it is told to."""
        return Launch() if self._systemd is None else Unit(self)

    def start(self) -> bool:
        """Have systemd start the warm parent; False (and a note) when it does not."""
        assert self._systemd is not None
        if not self._install(self._systemd):
            return False
        if trouble := self._run([*self._systemd.control, "start", self.unit]):
            self.notes.append(f"systemd does not start {self.unit}: {trouble}; nodes were started without it")
        return not trouble

    def settle(self) -> None:
        """Have a unit when there is something to start, and none when the network is gone."""
        if not nodes.names(self._network):
            remove(self._network, self._run)
        elif wishes.wanted(self._network) and self._systemd is not None:
            self._install(self._systemd)

    @property
    def unit(self) -> str:
        """The name of the network's unit."""
        return unit_name(self._network)

    def _install(self, systemd: Systemd) -> bool:
        """Have systemd know the unit; False (and a note) when that cannot be."""
        try:
            trouble = self._write(systemd)
        except OSError as error:  # a system whose /etc is read-only, say
            trouble = str(error)
        if trouble:
            note = f"{self.unit} cannot be installed, so nodes there will not start at a reboot: {trouble}"
            self.notes = [*(other for other in self.notes if other != note), note]
        return not trouble

    def _write(self, systemd: Systemd) -> str:
        file = systemd.units / self.unit
        wants = systemd.units / f"{systemd.target}.wants" / self.unit
        text = unit_text(self._network, systemd.target, os.environ)
        if file.is_file() and file.read_text() == text and wants.is_symlink():
            return ""
        wants.parent.mkdir(parents=True, exist_ok=True)
        place.write(file, text)
        file.chmod(0o644)  # systemd tells all users what is in it anyway, and warns of a file that hides it
        if not wants.is_symlink():
            wants.symlink_to(file)
        if trouble := self._run([*systemd.control, "daemon-reload"]):
            wants.unlink()  # so that it is tried again
        return trouble


class Unit:
    """A warm parent that systemd starts when the network is handed over."""

    def __init__(self, boot: Boot) -> None:
        self._boot = boot

    def hand_over(self, network: Path, emulators: Collection[str]) -> None:
        """Have it started; without systemd when that does not do it."""
        if not self._boot.start():
            Launch().hand_over(network, emulators)

    def abandon(self) -> None:
        """Nothing has been started yet."""


def here() -> Systemd | None:
    """Return the systemd of this user; None when systemd does not run here. Asks for lingering."""
    if not SYSTEMD.is_dir():
        return None
    if os.geteuid() == 0:
        return Systemd(SYSTEM_UNITS, ("systemctl",), "multi-user.target")
    user = pwd.getpwuid(os.geteuid())
    units = Path(user.pw_dir) / USER_UNITS
    runtime = Path(f"/run/user/{user.pw_uid}")
    control = ("env", f"XDG_RUNTIME_DIR={runtime}", "systemctl", "--user")
    enable = f"loginctl enable-linger {user.pw_name}"
    if not (LINGERING / user.pw_name).exists():
        if _run(enable.split()):
            return Systemd(units, control, "default.target", lingers=enable)
        units.mkdir(parents=True, exist_ok=True)
        (units / OURS).touch()
    ends = time.monotonic() + COMES_UP
    while not (runtime / "systemd/private").exists() and time.monotonic() < ends:
        time.sleep(0.02)
    return Systemd(units, control, "default.target")


def remove(network: Path, run: Run | None = None) -> None:
    """Remove the unit of a network, and the lingering that was asked for with the last of them."""
    run, root = _run if run is None else run, os.geteuid() == 0
    units = SYSTEM_UNITS if root else Path(pwd.getpwuid(os.geteuid()).pw_dir) / USER_UNITS
    name, found = unit_name(network), False
    for file in [units / name, *units.glob(f"*.wants/{name}")]:
        found = found or file.is_symlink() or file.is_file()
        file.unlink(missing_ok=True)
    if found and SYSTEMD.is_dir():
        runtime = f"XDG_RUNTIME_DIR=/run/user/{os.geteuid()}"
        control = ["systemctl"] if root else ["env", runtime, "systemctl", "--user"]
        run([*control, "daemon-reload"])
        run([*control, "reset-failed", name])  # else one that had failed would be remembered
    if (units / OURS).exists() and not list(units.glob("qkdbus-*.service")):
        (units / OURS).unlink()
        run(["loginctl", "disable-linger", pwd.getpwuid(os.geteuid()).pw_name])


def unit_name(network: Path) -> str:
    """Return the name of a network's unit; where networks are elsewhere than usual, with a mark of where."""
    usual = network.parent.name == ".nodes" and network.parent.parent.parent == Path.home()
    mark = "" if usual else f"-{hashlib.sha256(os.fsencode(network)).hexdigest()[:6]}"
    return f"qkdbus-{network.name}{mark}.service"


def unit_text(network: Path, target: str, environment: Mapping[str, str]) -> str:
    """Return the unit of a network. `environment`: of a process that has all it needs to import qkdbus."""
    command = [sys.executable, *python_options(), "-m", f"{__package__}.warm", str(network)]
    kept = {name: environment[name] for name in INHERITED if environment.get(name)}
    settings = "".join(
        f"Environment={_quoted(f'{name}={value}')}\n" for name, value in {**kept, "OPENBLAS_NUM_THREADS": "1"}.items()
    )
    return f"""\
# Written by `qkdbus deploy`, which overwrites changes; `qkdbus destroy` removes it.
[Unit]
Description=qkdbus: nodes of {network.name.replace("%", "%%")}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart={" ".join(_quoted(word).replace("$", "$$") for word in command)}
{settings}UMask=0077
Restart=on-failure
RestartSec=1
# Nodes outlive their warm parent, which stops them itself when it is told to stop.
KillMode=process
OOMPolicy=continue
TimeoutStopSec=20

[Install]
WantedBy={target}
"""


def _quoted(text: str) -> str:
    """Return a word as systemd.syntax(7) wants it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%") + '"'


def _run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = " ".join(done.stderr.split()) or f"code {done.returncode}"
    return said if done.returncode else ""
