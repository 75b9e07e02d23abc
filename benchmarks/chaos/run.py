"""One run: deploy, open, read, strike, heal, read to the end, judge."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from qkdbus.network.load import load
from qkdbus.network.routes import routes
from qkdbus_deploy import nodes as deployed
from qkdbus_deploy.sandbox import Sandbox, sandbox

from . import disks, networks, packets, places, recovery, schedule
from .check import Stream, Violation, violations
from .networks import Plan
from .reading import Crowd
from .recovery import Flow, Recovery
from .schedule import Fault
from .striking import Relay, Striker, Struck

TICK = 0.02  # s
WARM_UP = 400.0  # s until the first keys are there
BACK = 240.0  # s until all is ready again, and fresh keys come
Say = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """What to do. `faults`: how many; `pace`: s between an application's calls; `logs`: a folder to leave logs in."""

    nodes: int = 3
    seconds: float = 600.0
    seed: int = 1
    faults: int = 230
    pace: float = 0.1
    logs: Path | None = None


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        statuses: how often applications got which answer.
        load: the machine's, now and then.
        said: what services logged as errors: (layer, event, kind) and how often.
        silences: calls without an answer.
    """

    wanted: Wanted
    struck: list[Struck] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    recoveries: list[Recovery] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)
    load: list[float] = field(default_factory=list)
    said: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    silences: list[str] = field(default_factory=list)

    @property
    def landed(self) -> list[Struck]:
        """The faults that hit something."""
        return [struck for struck in self.struck if struck.landed]


def run(wanted: Wanted, say: Say = lambda text: None) -> Outcome:
    """Carry out a run. Raises Failed when the network does not come up, or leaves something behind."""
    outcome = Outcome(wanted)
    with TemporaryDirectory(prefix="qkdbus-chaos-") as folder:
        file = Path(folder, "network.yaml")
        file.write_text(networks.text(wanted.nodes))
        network = load(file)
        say(f"deploying {len(network.names)} nodes")
        with sandbox(network, patience=120.0, leave_logs=wanted.logs, driver=places.Apart) as box:
            below, addresses = box.home / box.name, places.Addresses(network.names)
            settings = {name: places.all_settings(below)[name] for name in network.names}
            relay = Relay(below, settings, addresses)
            try:
                striker = Striker(below, settings, relay, packets.Packets(addresses))
                links = [(route.arbiter, route.follower) for route in routes(network)]
                plans = networks.streams(wanted.nodes)
                credential = places.credential(below, addresses)
                with Crowd(plans, credential, Path(folder), secrets.token_bytes(32), wanted.pace) as crowd:
                    _under_fire(outcome, crowd, striker, _planned(wanted, below, links), say)
                    _judge(outcome, crowd, plans, striker.struck)
            finally:
                relay.close()
            outcome.said = _said(box)
    return outcome


def _planned(wanted: Wanted, network: Path, links: Sequence[tuple[str, str]]) -> list[Fault]:
    layers = {node.name: sorted({service.layer for service in node.services}) for node in deployed.read_all(network)}
    kinds = schedule.kinds(packets=packets.possible(), read_only=disks.may_be_read_only())
    return schedule.plan(schedule.Field(layers, links, kinds), wanted.faults, wanted.seconds, wanted.seed)


def _under_fire(outcome: Outcome, crowd: Crowd, striker: Striker, faults: Sequence[Fault], say: Say) -> None:
    late = crowd.wait_for([(3, 3) if not plan.ttl else (1, 1) for plan in crowd.plans], WARM_UP)
    if late:
        raise RuntimeError(f"no keys within {WARM_UP:g} s, before any fault: {'; '.join(late)}")
    say(f"keys at both ends of {len(crowd.plans)} streams; {len(faults)} faults in {outcome.wanted.seconds:g} s")
    try:
        _strike(outcome, crowd, striker, faults, say)
    finally:
        striker.undo()
    say("healing")
    striker.heal(BACK)
    late = crowd.wait_for(crowd.fresh(), BACK)
    outcome.violations += [Violation("dead", f"no fresh keys in {BACK:g} s: {text}") for text in late]
    outcome.struck = striker.struck


def _strike(outcome: Outcome, crowd: Crowd, striker: Striker, faults: Sequence[Fault], say: Say) -> None:
    began, told = time.monotonic(), 0.0
    coming, going = list(faults), list[Struck]()
    while (now := time.monotonic() - began) < outcome.wanted.seconds or going:
        while coming and coming[0].at <= now:
            struck = striker.begin(coming.pop(0))
            if not struck.ended:
                going.append(struck)
        for struck in [one for one in going if time.monotonic() - one.began >= one.fault.length]:
            going.remove(struck)
            striker.end(struck)
        striker.keep()
        if now >= told:
            told = now + 15.0
            outcome.load.append(os.getloadavg()[0])
            keys = sum(reading.count() for pair in crowd.pairs for reading in pair)
            say(f"{now:5.0f} s: {len(striker.struck)} faults, {keys} keys, load {outcome.load[-1]:.1f}")
        time.sleep(TICK)


def _judge(outcome: Outcome, crowd: Crowd, plans: Sequence[Plan], struck: Sequence[Struck]) -> None:
    outcome.streams = crowd.finish()
    outcome.violations += violations(outcome.streams)
    flows = [
        Flow(plan.ends, plan.ahead, (stream.ends[0].deliveries, stream.ends[1].deliveries))
        for plan, stream in zip(plans, outcome.streams, strict=True)
        if not plan.ttl
    ]
    outcome.recoveries = recovery.recoveries(struck, flows)
    for pair in crowd.pairs:
        for reading in pair:
            record = reading.tail.read()
            outcome.statuses += record.statuses
            outcome.silences += record.silences


def _said(box: Sandbox) -> Counter[tuple[str, str, str]]:
    """Count what services logged as errors, by layer, event and kind of exception."""
    found: Counter[tuple[str, str, str]] = Counter()
    for file in (box.home / box.name).glob("*/logs/*.log*"):
        for line in file.read_text(errors="replace").splitlines():
            if '"level":"error"' in line or '"level":"critical"' in line:
                said = json.loads(line)
                found[said.get("layer", "?"), said["event"], str(said.get("kind", ""))] += 1
    return found
