"""`qkdbus version`."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

import click

from . import say


@click.command()
@say.json_option
def command(as_json: bool) -> None:
    """Show the version of qkdbus and of what it stands on."""
    found = {"python": platform.python_version()}
    for package in ("qkdbus", "pyzmq", "protobuf", "supervisor", "simulaqron"):
        found[package] = _version(package)
    if as_json:
        say.data(found)
        return
    say.answer(f"qkdbus {found.pop('qkdbus')} (" + ", ".join(f"{k} {v}" for k, v in found.items()) + ")")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
