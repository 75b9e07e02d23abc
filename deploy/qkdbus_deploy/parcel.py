"""Bundles, and what is said about them, as plain data: what goes to a host and what comes back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from qkdbus.runtime.settings import NodeSettings

from .bundles import Bundle, File, Plan, Program
from .logbook import Line
from .outcome import Deployed
from .status import NetworkStatus

if TYPE_CHECKING:
    from .watching.sample import Sample

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def pack(bundles: Sequence[Bundle]) -> list[dict[str, Any]]:
    """Return bundles as data for JSON. It holds secrets."""
    return [
        {"files": [asdict(file) for file in bundle.files], "programs": [asdict(program) for program in bundle.programs]}
        for bundle in bundles
    ]


def unpack(network: str, home: Path, packed: Sequence[Mapping[str, Any]]) -> Plan:
    """Return the plan of a host's share: these bundles, and no files of the network."""
    return Plan(network, home / network, tuple(_bundle(one) for one in packed), ())


def plain(value: Any) -> Any:
    """Return dataclasses of ours as data for JSON."""
    return json.loads(json.dumps(value, default=_plain))


def status(said: Mapping[str, Any]) -> NetworkStatus:
    """Return a NetworkStatus from data; ValueError when it is none."""
    found: NetworkStatus = _reader(NetworkStatus).validate_python(said)
    return found


def sample(said: Mapping[str, Any]) -> Sample:
    """Return a Sample from data; ValueError when it is none."""
    from .watching.sample import Sample

    found: Sample = _reader(Sample).validate_python(said)
    return found


def deployed(said: Mapping[str, Any]) -> Deployed:
    """Return a Deployed from data; ValueError when it is none."""
    found: Deployed = _reader(Deployed).validate_python(said)
    return found


def lines(said: Sequence[Mapping[str, Any]]) -> list[Line]:
    """Return lines of logs from data; ValueError when they are none."""
    found: list[Line] = _reader(list[Line]).validate_python(said)
    return found


@cache
def _reader(kind: Any) -> Any:
    from pydantic import TypeAdapter  # made when it is needed: it takes its time

    return TypeAdapter(kind)


def _bundle(packed: Mapping[str, Any]) -> Bundle:
    files = tuple(File(**{**file, "secrets": tuple(file["secrets"])}) for file in packed["files"])
    programs = tuple(Program(**{**one, "command": tuple(one["command"])}) for one in packed["programs"])
    [text] = [file.text for file in files if file.path == "node.yaml"]
    return Bundle(NodeSettings.model_validate(yaml.load(text, Loader=_LOADER)), programs, files)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else asdict(value)
