"""A small OSM: its records, and how they change with time. `fake_nbi.py` puts it behind HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jinja2

from .nbi_checks import Files, Wrong

Record = dict[str, Any]
_ENDED = ("COMPLETED", "PARTIALLY_COMPLETED", "FAILED", "FAILED_TEMP", "ROLLED_BACK")


@dataclass
class Clock:
    """A clock that goes on only when somebody sleeps; it begins at the time of day."""

    now: float = field(default_factory=time.time)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass(frozen=True)
class Outcome:
    """How an operation goes: how long it takes (None: for ever), and how it ends."""

    seconds: float | None = 30.0
    state: str = "COMPLETED"
    detail: str = "Done"
    without: tuple[str, ...] = ()  # nodes that get no address


@dataclass(frozen=True)
class Vm:
    """What a machine was made with."""

    node: str
    ns: str
    vim: str
    keys: tuple[str, ...]
    cloud_init: str
    network: str | None


@dataclass
class Osm:
    """State and behaviour.

    Attributes:
        machines: makes a machine: node -> its address.
        unmake: takes one away.
        making, ending: how the next operations go, first things first; the last of each goes for all that follow.
        pickup: s until an instantiation has begun; until then the service is NOT_INSTANTIATED.
        forgets: False as in release 19: what is ended before it began is answered 204 and stays.
        vms: the machines there are.
        leaked: nodes whose record was deleted by force: nobody will end these machines.
    """

    machines: Callable[[str], str]
    unmake: Callable[[str], None] = lambda node: None
    clock: Callable[[], float] = time.time
    making: list[Outcome] = field(default_factory=lambda: [Outcome()])
    ending: list[Outcome] = field(default_factory=lambda: [Outcome(5.0)])
    pickup: float = 0.0
    forgets: bool = False
    vims: dict[str, Record] = field(default_factory=dict)
    vnfds: dict[str, Record] = field(default_factory=dict)
    files: dict[str, Files] = field(default_factory=dict)
    nsds: dict[str, Record] = field(default_factory=dict)
    services: dict[str, Record] = field(default_factory=dict)
    ops: dict[str, Record] = field(default_factory=dict)
    vnfrs: dict[str, Record] = field(default_factory=dict)
    vms: dict[str, Vm] = field(default_factory=dict)
    leaked: list[str] = field(default_factory=list)

    def add_vim(self, name: str, state: str = "ENABLED", detail: str = "Done") -> str:
        admin = {"operationalState": state, "detailed-status": detail}
        return self._add(self.vims, {"name": name, "vim_type": "openstack", "vim_password": "***", "_admin": admin})

    def add_vnfd(self, descriptor: Record, files: Files) -> str:
        self._free(self.vnfds, descriptor["id"], "vnfd")
        found = self._add(self.vnfds, {**descriptor, "_admin": {"onboardingState": "ONBOARDED"}})
        self.files[found] = files
        return found

    def add_nsd(self, descriptor: Record) -> str:
        self._free(self.nsds, descriptor["id"], "nsd")
        return self._add(self.nsds, dict(descriptor))

    def drop_vnfd(self, which: str) -> None:
        descriptor = self._get(self.vnfds, which, "vnfd")["id"]
        if any(descriptor in nsd["vnfd-id"] for nsd in self.nsds.values()):
            raise Wrong(409, f"There is at least one NSD referencing this VNFD '{descriptor}'")
        del self.vnfds[which]

    def drop_nsd(self, which: str) -> None:
        self._get(self.nsds, which, "nsd")
        if any(service["nsd-id"] == which for service in self.services.values()):
            raise Wrong(409, "There is at least one NS using this NSD")
        del self.nsds[which]

    def members(self, nsd: str) -> list[Record]:
        found = self._get(self.nsds, nsd, "nsd")
        return [profile for df in found["df"] for profile in df["vnf-profile"]]

    def instantiate(self, wish: Record) -> tuple[str, str]:
        sites = {
            each["member-vnf-index"]: each["vimAccountId"] for each in wish.get("vnf", []) if "vimAccountId" in each
        }
        for vim in {wish["vimAccountId"], *sites.values()}:
            if vim not in self.vims:
                raise Wrong(400, f"Invalid vimAccountId='{vim}' not present for the project")
        state = {"nsState": "NOT_INSTANTIATED", "operational-status": "init", "_admin": {"nsState": "NOT_INSTANTIATED"}}
        ns = self._add(self.services, {"name": wish["nsName"], "nsd-id": wish["nsdId"], "wish": wish, **state})
        for member in self.members(wish["nsdId"]):
            machine = next(each for each in self.vnfds.values() if each["id"] == member["vnfd-id"])
            self._add(
                self.vnfrs, self._vnfr(ns, member["id"], machine, str(sites.get(member["id"], wish["vimAccountId"])))
            )
        return ns, self._operation(ns, "instantiate", self.making)

    def terminate(self, ns: str, force: bool) -> str | None:
        """End a service: the operation, or None when there was nothing to end."""
        service = self._get(self.services, ns, "nsr")
        if force:
            self.leaked += [vm.node for vm in self.vms.values() if vm.ns == ns]
            self._forget(ns)
            return None
        if service["nsState"] == "NOT_INSTANTIATED":
            if self.forgets:
                self._forget(ns)
            return None
        for op in self._of(self.ops, nsInstanceId=ns):
            if op["operationState"] not in _ENDED:
                self._end(op, "FAILED", "cancelled by a termination")
        service["nsState"] = "TERMINATING"
        return self._operation(ns, "terminate", self.ending)

    def discard(self, ns: str) -> None:
        if self._get(self.services, ns, "nsr")["nsState"] != "NOT_INSTANTIATED":
            raise Wrong(
                409, f"nsr '{ns}' cannot be deleted because it is in 'INSTANTIATED' state. Launch terminate first"
            )
        self._forget(ns)

    def tick(self) -> None:
        """Let happen what is due by now."""
        for op in list(self.ops.values()):
            service = self.services.get(op["nsInstanceId"])
            if not service or op["operationState"] in _ENDED:
                continue
            if op["lcmOperationType"] == "instantiate" and self.clock() >= op["startTime"] + self.pickup:
                service["nsState"] = service["_admin"]["nsState"] = "BUILDING"
                op["stage"] = "Stage 2/5: deployment of KDUs, VMs and execution environments."
            if op["due"] is not None and self.clock() >= op["due"]:
                self._finish(op, service)

    def _finish(self, op: Record, service: Record) -> None:
        outcome: Outcome = op["outcome"]
        bad = outcome.state in ("FAILED", "FAILED_TEMP", "ROLLED_BACK")
        if op["lcmOperationType"] == "instantiate":
            problem = None if bad else self._deploy(service, outcome)
            service["nsState"] = "BROKEN" if bad or problem else "READY"
            self._end(op, "FAILED" if problem else outcome.state, problem or outcome.detail)
        elif bad:
            service["nsState"] = "BROKEN"
            self._end(op, outcome.state, outcome.detail)
        else:
            for node in [node for node, vm in self.vms.items() if vm.ns == service["_id"]]:
                del self.vms[node]
                self.unmake(node)
            self._forget(service["_id"])

    def _deploy(self, service: Record, outcome: Outcome) -> str | None:
        """Make the machines of a service; return what went wrong."""
        wish = service["wish"]
        given = {each["member-vnf-index"]: each["additionalParams"] for each in wish.get("additionalParamsForVnf", [])}
        for vnfr in self._of(self.vnfrs, **{"nsr-id-ref": service["_id"]}):
            node = vnfr["member-vnf-index-ref"]
            try:
                cloud_init = self._render(vnfr, given.get(node, {}))
            except jinja2.UndefinedError as error:
                return f"Error in VNF {node}: a variable of cloud-init is not provided: {error}"
            network = self.nsds[service["nsd-id"]]["virtual-link-desc"][0].get("vim-network-name")
            keys = tuple(wish.get("ssh_keys", []))
            self.vms[node] = Vm(node, service["_id"], vnfr["vim-account-id"], keys, cloud_init, network)
            if node not in outcome.without:
                vnfr["ip-address"] = self.machines(node)
                vnfr["vdur"][0].update({"ip-address": vnfr["ip-address"], "status": "ACTIVE"})
        return None

    def _render(self, vnfr: Record, values: Record) -> str:
        """Render cloud-init as OSM does: strict about what is not defined."""
        vdu = self.vnfds[vnfr["vnfd-id"]]["vdu"][0]
        text = self.files[vnfr["vnfd-id"]][f"cloud_init/{vdu['cloud-init-file']}"].decode()
        return jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=True).from_string(text).render(values)

    def _vnfr(self, ns: str, node: str, machine: Record, vim: str) -> Record:
        vdur = {"vdu-id-ref": machine["vdu"][0]["id"], "ip-address": None, "status": None, "interfaces": []}
        return {
            "nsr-id-ref": ns,
            "member-vnf-index-ref": node,
            "vnfd-ref": machine["id"],
            "vnfd-id": machine["_id"],
            "vim-account-id": vim,
            "ip-address": None,
            "vdur": [vdur],
        }

    def _operation(self, ns: str, kind: str, outcomes: list[Outcome]) -> str:
        outcome = outcomes.pop(0) if len(outcomes) > 1 else outcomes[0]
        now = self.clock()
        times = {"startTime": now, "statusEnteredTime": now}
        due = None if outcome.seconds is None else now + self.pickup + outcome.seconds
        words = {"detailed-status": None, "errorMessage": None, "stage": ""}
        more = {"nsInstanceId": ns, "lcmOperationType": kind, "operationState": "PROCESSING"}
        return self._add(self.ops, {**times, **words, **more, "due": due, "outcome": outcome})

    def _end(self, op: Record, state: str, detail: str) -> None:
        bad = state not in ("COMPLETED", "PARTIALLY_COMPLETED")
        op.update({"operationState": state, "detailed-status": detail, "errorMessage": detail if bad else None})

    def _forget(self, ns: str) -> None:
        del self.services[ns]
        for table, key in ((self.ops, "nsInstanceId"), (self.vnfrs, "nsr-id-ref")):
            for each in list(self._of(table, **{key: ns})):
                del table[each["_id"]]

    @staticmethod
    def _of(table: dict[str, Record], **wanted: str) -> Iterator[Record]:
        return iter([each for each in table.values() if all(each.get(key) == value for key, value in wanted.items())])

    @staticmethod
    def _add(table: dict[str, Record], record: Record) -> str:
        found = str(uuid.uuid4())
        table[found] = {"_id": found, **record}
        return found

    @staticmethod
    def _get(table: dict[str, Record], which: str, kind: str) -> Record:
        if which not in table:
            raise Wrong(404, f"Not found any {kind} with filter='{{'_id': '{which}'}}'")
        return table[which]

    @staticmethod
    def _free(table: dict[str, Record], descriptor: str, kind: str) -> None:
        if any(each["id"] == descriptor for each in table.values()):
            raise Wrong(409, f"{kind} with id '{descriptor}' already exists for this project")
