"""One deploy on hosts: look, plan, send, start, check. A host that fails is named; the rest goes on."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from qkdbus.errors import QkdbusError
from qkdbus.network.model import Network

from .. import deployed, parcel, place
from ..bundles import Plan, digest
from ..certs import gather
from ..outcome import Deployed, Trouble
from ..paths import run_root
from ..plan import Place, Target, plan
from ..programs import distributions, installed
from ..software import parts as packing
from ..software.kind import Kind
from ..software.parts import Part
from ..words import count
from . import copies, guessing, record, seating
from .agents import Agent, Clock
from .checking import Seen, check, from_here
from .facts import Facts
from .hands import Hands
from .host import Host
from .looking import Looked, clock_apart, kept, look
from .record import Record, Seat
from .share import Share
from .tiers import tier

SENDING = 600.0  # s for software and start of one host, beside the patience


class Deployment:
    """One deploy of a network on the hosts of an inventory; see `run`."""

    def __init__(self, home: Path, network: Network, known: Record, hands: Hands, say: Callable[[str], None]) -> None:
        self._home, self._network, self._hands, self._say = home, network, hands, say
        self._folder = home / network.name
        self._record = known
        self._clock = Clock()
        self._troubles: dict[str, Trouble] = {}
        self._notes: list[str] = []
        self._packing = threading.Lock()

    def run(self, patience: float) -> Deployed:
        """Bring the network up as far as hosts can be reached; nodes wait at most `patience` s to be ready."""
        began = time.monotonic()
        hosts = self._hands.hosts
        seats = seating.match(self._network, {name: host.variables for name, host in hosts.items()})
        leaving = self._leaving(seats)
        used = {*seats.values(), *(seat.host for seat in leaving.values())}
        self._say(f"connecting to {count(len(used & set(hosts)), 'host')}")
        self._clock.lap("ansible")
        looked = self._look([hosts[name] for name in hosts if name in used], seats)
        self._clock.lap("connect")
        made = self._plan(hosts, seats, looked)
        record.write(self._folder, self._seated(seats, leaving, looked, made))
        copies.write(made)
        parts = self._pack(seats, looked, made)
        self._clock.lap("plan")
        share = Share(self._network.name, seats, leaving, made, parts)
        settled = [name for name in looked if self._is_settled(name, looked[name], share)]
        results = self._apply(hosts, looked, share, [name for name in looked if name not in settled], patience)
        self._clock.lap("start")
        seen = check(self._hands, [hosts[name] for name in (*results, *settled)], share, settled, looked)
        self._clock.lap("check")
        self._note(seen, share)
        if unready := [name for name in settled if name not in seen or seen[name].unready]:
            results |= self._apply(hosts, looked, share, unready, patience)
            self._clock.lap("start")
        results |= {name: share.untouched(name) for name in settled if name not in unready}
        gone = tuple(sorted(set(leaving) - set(self._record.leaving)))
        return self._told(made, results, gone, time.monotonic() - began)

    def _leaving(self, seats: Mapping[str, str]) -> dict[str, Seat]:
        """Return the nodes that are on a host where they are no longer wanted."""
        before = {name: seat for name, seat in self._record.seats.items() if seats.get(name) != seat.host}
        return {**self._record.leaving, **before}

    def _look(self, hosts: list[Host], seats: Mapping[str, str]) -> dict[str, Looked]:
        found = self._hands.each(hosts, lambda host: look(host, self._network.name))
        for name, result in found.items():
            if isinstance(result, QkdbusError):
                self._fail((node for node, host in seats.items() if host == name), name, "connect", result)
        looked = {name: result for name, result in found.items() if isinstance(result, Looked)}
        self._notes += [f"{name}: {said}" for name, one in looked.items() if (said := clock_apart(one.facts))]
        return looked

    def _plan(self, hosts: Mapping[str, Host], seats: Mapping[str, str], looked: Mapping[str, Looked]) -> Plan:
        network, places = self._network, {}
        for node in network.nodes:
            host = hosts[seats[node.node_name]]
            if host.name in looked:
                places[node.node_name] = seating.place(node.node_ip, host.name, host.variables, looked[host.name].facts)
                self._note_losses(node.node_name, looked[host.name])
            else:
                places[node.node_name] = guessing.place(self._folder, self._record, node, host.name, host.variables)
        at = {node: place.host for node, place in places.items()}  # several hosts of an inventory may be one machine
        taken: dict[str, set[int]] = {address: set() for address in at.values()}
        for name, on in seats.items():
            taken[at[name]].update(looked[on].facts.listening if on in looked else ())
        before = deployed.ports(network, self._folder)
        ports = seating.allot(network, at, kept(before, self._record, seats, looked), taken)
        here = Place(self._home, run_root(), sys.executable)
        target = Target(here, places, installed(network))
        return plan(network, ports, gather(network, self._folder), target)

    def _note_losses(self, node: str, found: Looked) -> None:
        """A node whose folder is gone from its host has lost its count of what it shared with its neighbours."""
        known = self._record.seats.get(node)
        if known is not None and known.generation and node not in found.there:
            self._notes.append(f"{node}: nothing of it is left on {known.host}; it is made anew, its old keys are lost")
            copies.forget_links(self._folder, node)

    def _seated(
        self, seats: Mapping[str, str], leaving: Mapping[str, Seat], looked: Mapping[str, Looked], made: Plan
    ) -> Record:
        """Return the record as it is before anything is sent: whatever comes now, it is known where to look."""
        known = {}
        for name, host in seats.items():
            before, bundle = self._record.seats.get(name), made.bundle(name)
            python = looked[host].facts.python if host in looked else before.python if before else ""
            fresh = Seat(host, str(bundle.directory.parent.parent), python)
            known[name] = replace(before, python=python) if before and before.host == host else fresh
        self._record = replace(self._record, seats=known, leaving=dict(leaving))
        return self._record

    def _pack(self, seats: Mapping[str, str], looked: Mapping[str, Looked], made: Plan) -> dict[str, tuple[Part, ...]]:
        """Return host -> the software that it needs, packed here once."""
        packed: dict[tuple[frozenset[str], Kind], tuple[Part, ...]] = {}
        self._wanted = {
            name: (tier(made.bundle(node) for node, host in seats.items() if host == name), _kind(seen.facts))
            for name, seen in looked.items()
        }
        for wanted in self._wanted.values():
            if wanted not in packed:
                packed[wanted] = self._packed(*wanted, zstd=None)
        return {name: packed[wanted] for name, wanted in self._wanted.items()}

    def _for(self, host: str, parts: Mapping[str, tuple[Part, ...]], *, zstd: bool) -> tuple[Part, ...]:
        """Return what a host is sent: as it was packed, or for one without libzstd in another way."""
        if zstd or all(part.packing != "zstd" for part in parts[host]):
            return parts[host]
        with self._packing:
            return self._packed(*self._wanted[host], zstd=False)

    def _packed(self, emulators: frozenset[str], kind: Kind, zstd: bool | None) -> tuple[Part, ...]:
        cache = self._home / ".software"
        extra = distributions(self._network)
        return packing.build(emulators, kind, cache, self._say, extra=extra, zstd=zstd)

    def _is_settled(self, host: str, found: Looked, share: Share) -> bool:
        """Whether nothing has to be done on a host, as far as can be told from here."""
        software = tuple(part.digest for part in share.parts[host])
        seats = [(bundle, self._record.seats[bundle.name]) for bundle in share.bundles(host)]
        return not share.leave(host) and all(
            found.there.get(bundle.name) == seat.generation == place.generation(bundle)
            and seat.sent == digest(bundle.files)
            and seat.software == software
            for bundle, seat in seats
        )

    def _apply(
        self, hosts: Mapping[str, Host], looked: Mapping[str, Looked], share: Share, names: list[str], patience: float
    ) -> dict[str, Deployed]:
        """Send each host its share and have it started; return host -> what came of it."""
        times: dict[str, tuple[float, float]] = {}

        def apply(host: Host) -> Deployed:
            began = time.monotonic()
            digests = tuple(part.digest for part in share.parts[host.name])
            agent = Agent(host, share.home(host.name), looked[host.name].facts.python, digests)
            request = {
                "op": "apply",
                "network": self._network.name,
                "bundles": parcel.pack(share.bundles(host.name)),
                "leaving": share.leave(host.name),
                "patience": patience,
            }
            answer = agent.ask(request, patience + SENDING, lambda zstd: self._for(host.name, share.parts, zstd=zstd))
            done = parcel.deployed(answer)
            times[host.name] = (time.monotonic() - began - done.seconds, done.seconds)
            self._say(f"{host.name}: {', '.join(share.nodes(host.name)) or 'nothing'} ready")
            return done

        if not names:
            return {}
        self._say(f"deploying to {count(len(names), 'host')}")
        self._clock.lap("send")
        results = self._hands.each([hosts[name] for name in names], apply)
        self._clock.part("send", "start", max((started for _, started in times.values()), default=0.0))
        good = {}
        for name, result in results.items():
            if isinstance(result, QkdbusError):
                self._fail(share.nodes(name), name, "start", result)
            else:
                good[name] = result
                self._settle(name, share)
        record.write(self._folder, self._record)
        return good

    def _settle(self, host: str, share: Share) -> None:
        """Note that a host has what it was sent."""
        digests = tuple(part.digest for part in share.parts[host])
        seats = dict(self._record.seats)
        for bundle in share.bundles(host):
            made, sent = place.generation(bundle), digest(bundle.files)
            seats[bundle.name] = replace(seats[bundle.name], software=digests, generation=made, sent=sent)
        left = {name: seat for name, seat in self._record.leaving.items() if seat.host != host}
        for name in set(self._record.leaving) - set(left) - set(seats):
            copies.remove(self._folder, name)
        self._record = replace(self._record, seats=seats, leaving=left)

    def _note(self, seen: Mapping[str, Seen], share: Share) -> None:
        """Tell which doors did not open."""
        for host, found in seen.items():
            for what, address, port, reason in found.shut:
                text = f"cannot reach {what} at {address}:{port}/tcp: {reason}; open that port of that host to {host}"
                self._troubles.setdefault(f"{host} {text}", Trouble(share.nodes(host)[0], host, "check", text))
        self._notes += from_here(share, seen)

    def _fail(self, mine: Iterable[str], host: str, step: str, error: QkdbusError) -> None:
        for node in mine:
            self._troubles[node] = Trouble(node, host, step, str(error))

    def _told(self, made: Plan, good: Mapping[str, Deployed], gone: tuple[str, ...], seconds: float) -> Deployed:
        return Deployed(
            network=self._network.name,
            changed=tuple(node for done in good.values() for node in done.changed),
            removed=gone,
            services=sum(done.services for done in good.values()),
            seconds=seconds,
            unready=tuple(service for done in good.values() for service in done.unready),
            troubles=tuple(self._troubles.values()),
            notes=(*self._notes, *_notes(good)),
            phases={name: round(took, 3) for name, took in self._clock.phases.items()},
        )


def _kind(seen: Facts) -> Kind:
    return Kind(seen.python_version, seen.machine, seen.libc)


def _notes(good: Mapping[str, Deployed]) -> Iterable[str]:
    """Return what the hosts have to say, each thing once."""
    said: dict[str, list[str]] = {}
    for host, done in good.items():
        for note in done.notes:
            said.setdefault(note, []).append(host)
    return [f"{', '.join(hosts)}: {note}" for note, hosts in said.items()]
