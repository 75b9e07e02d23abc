"""What a deploy would change: a plan held against what is deployed. Pure, and no secret comes out of it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from pydantic import BaseModel

from qkdbus.runtime.settings import Neighbour, NodeSettings

from .bundles import Bundle, File, Plan, generation
from .certs import APPS_FILE, FOLDER, link_file

Kind = Literal["added", "removed", "moved", "changed", "untouched"]
Effect = Literal["starts anew", "is removed", "restarts", "reads again", "goes on"]
OF_THE_MACHINE = ("program", "folder", "key", "file")  # what may differ though the network file says the same
_SECRET = "(another)"


@dataclass(frozen=True)
class Placed:
    """A node as it is deployed.

    Attributes:
        settings: None when its file cannot be read.
        files: path -> text, secrets and all.
        host: where it is, as the inventory calls it; "" for this machine.
    """

    settings: NodeSettings | None
    files: Mapping[str, str] = field(repr=False)
    host: str = ""


@dataclass(frozen=True)
class Difference:
    """One thing that differs; None is "there is none".

    Attributes:
        what: link, layer, buffers, security, ports, address, settings (of the whole network), peer (what a neighbour
            is reached at), application; or one of OF_THE_MACHINE.
        name: which of those: a neighbour, a layer, ...
        setting: its dotted name within.
    """

    what: str
    name: str
    setting: str
    before: Any
    after: Any


@dataclass(frozen=True)
class NodeChange:
    """What becomes of one node. `host`: where it will be (for a removed one: where it is); `was_on`: if moved."""

    node: str
    kind: Kind
    effect: Effect
    differences: tuple[Difference, ...] = ()
    host: str = ""
    was_on: str = ""


@dataclass(frozen=True)
class Change:
    """What a deploy would change, node by node: those of the plan in its order, then those that go."""

    network: str
    nodes: tuple[NodeChange, ...]

    @property
    def nothing(self) -> bool:
        """Whether a deploy would change nothing."""
        return all(one.kind == "untouched" for one in self.nodes)

    def plain(self) -> dict[str, Any]:
        """Return it as data for JSON."""
        return {"nothing": self.nothing, **asdict(self)}


def compare(before: Mapping[str, Placed], plan: Plan, hosts: Mapping[str, str] | None = None) -> Change:
    """Return what a deploy of `plan` would change of what is deployed; `hosts`: node -> host, where it is not here."""
    hosts = hosts or {}
    stay = [_node(before.get(bundle.name), bundle, hosts.get(bundle.name, "")) for bundle in plan.bundles]
    names = {bundle.name for bundle in plan.bundles}
    gone = [
        NodeChange(name, "removed", "is removed", host=placed.host)
        for name, placed in before.items()
        if name not in names
    ]
    return Change(plan.network, (*stay, *gone))


def _node(placed: Placed | None, bundle: Bundle, host: str) -> NodeChange:
    if placed is None:
        return NodeChange(bundle.name, "added", "starts anew", host=host)
    found = tuple(_differences(placed, bundle))
    if placed.host != host:
        return NodeChange(bundle.name, "moved", "starts anew", found, host, placed.host)
    if not found:
        return NodeChange(bundle.name, "untouched", "goes on", host=host)
    restarts = generation(_as_placed(placed, bundle)) != generation(bundle.files)
    return NodeChange(bundle.name, "changed", "restarts" if restarts else "reads again", found, host)


def _as_placed(placed: Placed, bundle: Bundle) -> list[File]:
    """Return the files that are there."""
    planned = {file.path: file for file in bundle.files}
    known = [replace(file, text=placed.files[path]) for path, file in planned.items() if path in placed.files]
    gone = [path for path in placed.files if path not in planned]
    return known + [File(path, placed.files[path], live=path.startswith(FOLDER)) for path in gone]


def _differences(placed: Placed, bundle: Bundle) -> Iterator[Difference]:
    new = {file.path: file.text for file in bundle.files}
    if placed.settings is None:
        yield Difference("file", "node.yaml", "", "(cannot be read)", "(written anew)")
        return
    found = list(of_settings(placed.settings, bundle.settings))
    yield from found
    if not found and not _same(placed.files.get("node.yaml", ""), new["node.yaml"]):
        yield Difference("file", "node.yaml", "", "(of another version)", "(written anew)")
    yield from _commands(placed.files.get("supervisord.conf"), new["supervisord.conf"])
    links = {link_file(one.name) for one in found if one.what == "link" and not one.setting}
    yield from _of_keys(placed.files, {path: text for path, text in new.items() if path not in links}, links)


def _same(old: str, new: str) -> bool:
    """Whether two texts of node.yaml differ in nothing that its services go by."""
    return generation([File("node.yaml", old)]) == generation([File("node.yaml", new)])


def of_settings(old: NodeSettings, new: NodeSettings) -> Iterator[Difference]:
    """Yield what differs in the settings of a node."""
    yield from _of_links({one.name: one for one in old.neighbours}, {one.name: one for one in new.neighbours})
    for layer in sorted({*old.layers, *new.layers}):
        yield from _fields("layer", layer, _plain(old.layers.get(layer)), _plain(new.layers.get(layer)))
    yield from _fields("buffers", "", _plain(old.buffers), _plain(new.buffers))
    yield from _fields("security", "", _plain(old.security), _plain(new.security))
    yield from _fields("ports", "", _plain(old.ports), _plain(new.ports))
    for what, setting in (
        ("settings", "durability"),
        ("settings", "log_level"),
        ("address", "host"),
        ("address", "bind"),
        ("folder", "directory"),
        ("folder", "run"),
    ):
        one, other = str(getattr(old, setting)), str(getattr(new, setting))
        if one != other:
            yield Difference(what, "", setting, one, other)


def _of_links(old: Mapping[str, Neighbour], new: Mapping[str, Neighbour]) -> Iterator[Difference]:
    for name in sorted({*old, *new}):
        if name not in old:
            yield Difference("link", name, "", None, _brief(new[name]))
        elif name not in new:
            yield Difference("link", name, "", _brief(old[name]), None)
        else:
            one, other = old[name], new[name]
            yield from _fields("link", name, _plain(one.link), _plain(other.link))
            yield from _fields("peer", name, _reached(one), _reached(other))
            if one.public_key != other.public_key:
                yield Difference("peer", name, "public_key", one.public_key, other.public_key)


def _of_keys(old: Mapping[str, str], new: Mapping[str, str], ignored: Collection[str]) -> Iterator[Difference]:
    """Tell which keys, and which applications, are others; never those themselves."""
    for path in sorted({*old, *new} - {"node.yaml", "supervisord.conf", *ignored}):
        if old.get(path) != new.get(path):
            before, after = (None if path not in files else _SECRET for files in (old, new))
            yield Difference("application" if path == APPS_FILE else "key", path, "", before, after)


def _commands(old: str | None, new: str) -> Iterator[Difference]:
    before, after = _programs(old or ""), _programs(new)
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            yield Difference("program", name, "command", before.get(name), after.get(name))
    if before == after and old != new:
        yield Difference("file", "supervisord.conf", "", "(of another version)" if old else None, "(written anew)")


def _programs(text: str) -> dict[str, str]:
    """Return program -> command, as supervisord's file has them."""
    found, name = {}, ""
    for line in text.splitlines():
        if line.startswith("["):
            name = line.strip("[]").removeprefix("program:") if line.startswith("[program:") else ""
        elif name and line.startswith("command"):
            found[name] = line.partition("=")[2].strip()
    return found


def _fields(what: str, name: str, old: Any, new: Any, setting: str = "") -> Iterator[Difference]:
    """Tell which leaves of two pieces of plain data differ."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys((*old, *new)):
            yield from _fields(what, name, old.get(key), new.get(key), f"{setting}.{key}" if setting else key)
    elif old != new:
        yield Difference(what, name, setting, old, new)


def _plain(value: BaseModel | None) -> Any:
    return value.model_dump(mode="json") if value is not None else None


def _reached(peer: Neighbour) -> dict[str, Any]:
    return {"host": peer.host, "ports": _plain(peer.ports), "emulator_socket": peer.emulator_socket}


def _brief(peer: Neighbour) -> str:
    return f"{peer.link.protocol} over {peer.link.emulator}"
