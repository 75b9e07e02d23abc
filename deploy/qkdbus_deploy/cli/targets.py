"""Options of commands that reach other machines: how Ansible gets there, and where OSM is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ..fleet.options import Options
    from ..osm.order import Order

Function = TypeVar("Function", bound=Callable[..., Any])


class _Absolute(click.ParamType):  # type: ignore[type-arg]  # generic only in late versions of click
    """A path that means the same in every folder: it is remembered."""

    name = "path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value).expanduser().absolute()


class _Vims(click.ParamType):  # type: ignore[type-arg]
    """NODE=ACC."""

    name = "vim"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        node, _, account = str(value).partition("=")
        if not node or not account:
            self.fail(f"{value!r}: say NODE=ACC, a node and the VIM account where its machine is made", param, ctx)
        return node, account


_PATH = _Absolute()


def _together(function: Function, options: list[Callable[[Any], Any]]) -> Function:
    for option in reversed(options):
        function = option(function)
    return function


def ansible_options(function: Function) -> Function:
    """Give a command the options of `Options`, handed over by the same names."""
    return _together(
        function,
        [
            click.option("--vault-password-file", type=_PATH, help="Opens what is encrypted in the inventory."),
            click.option("--ask-vault-pass", is_flag=True, help="Ask for the vault's password."),
            click.option("--ask-pass", "-k", is_flag=True, help="Ask for the password of ssh."),
            click.option("--ask-become-pass", "-K", is_flag=True, help="Ask for the password of sudo."),
            click.option(
                "--connect-timeout", type=click.IntRange(min=1), metavar="S", help="Seconds to wait for a host."
            ),
        ],
    )


def way_in(found: dict[str, Any]) -> Options:
    """Take Ansible's options out of a command's arguments."""
    from ..fleet.options import Options

    names = ("vault_password_file", "ask_vault_pass", "ask_pass", "ask_become_pass", "connect_timeout")
    return Options(**{name: found.pop(name) for name in names})


def osm_options(function: Function) -> Function:
    """Give a command the options that say where OSM is, and who asks."""
    return _together(
        function,
        [
            click.option("--osm-hostname", metavar="HOST", help="OSM: HOST, HOST:PORT or a URL.  [env: OSM_HOSTNAME]"),
            click.option("--osm-user", metavar="USER", help="[env: OSM_USER; default: admin]"),
            click.option("--osm-password", metavar="TEXT", help="Better in the environment.  [env: OSM_PASSWORD]"),
            click.option("--osm-project", metavar="PROJECT", help="[env: OSM_PROJECT; default: admin]"),
            click.option("--osm-ca", type=_PATH, help="Certificates (PEM) to check OSM's with."),
            click.option("--insecure", is_flag=True, help="Do not check OSM's certificate."),
            click.option(
                "--osm-way",
                type=click.Choice(["auto", "rest", "osmclient"]),
                default="auto",
                help="How OSM is asked: by osmclient where it is installed, else by REST.",
            ),
        ],
    )


def machine_options(function: Function) -> Function:
    """Give a command the options that say which machines OSM is to make."""
    return _together(
        function,
        [
            click.option("--vim-account", metavar="ACC", help="Where OSM makes the machines."),
            click.option(
                "--vim", "vim_accounts", type=_Vims(), multiple=True, metavar="NODE=ACC", help="Elsewhere for one node."
            ),
            click.option("--ssh-key", type=_PATH, metavar="PUB", help="Public key that the machines let in."),
            click.option("--private-key", type=_PATH, help="Its private half.  [default: the same without .pub]"),
            click.option("--image", metavar="NAME", help="Image, as the VIM calls it.  [default: ubuntu24.04]"),
            click.option("--image-user", metavar="USER", help="Whom that image lets in.  [default: ubuntu]"),
            click.option("--cpus", type=click.IntRange(min=1), help="Of each machine.  [default: 2]"),
            click.option("--memory-gb", type=click.FloatRange(min=0.5), help="Of each machine.  [default: 4]"),
            click.option("--storage-gb", type=click.IntRange(min=1), help="Of each machine.  [default: 20]"),
            click.option("--management-network", metavar="NET", help="Network of the VIM that this machine reaches."),
            click.option("--cloud-init", type=_PATH, help="A cloud-init file in place of ours."),
            click.option(
                "--osm-timeout",
                type=click.FloatRange(min=1),
                metavar="S",
                help="Seconds that machines may take to be made.  [default: 1800]",
            ),
        ],
    )


_OSM = {
    "osm_hostname": "hostname",
    "osm_user": "user",
    "osm_password": "password",
    "osm_project": "project",
    "osm_ca": "ca",
    "insecure": "insecure",
    "vim_account": "vim_account",
    "vim_accounts": "vim_accounts",
    "ssh_key": "ssh_key",
    "private_key": "private_key",
    "image": "image",
    "image_user": "image_user",
    "cpus": "cpus",
    "memory_gb": "memory_gb",
    "storage_gb": "storage_gb",
    "management_network": "management_network",
    "cloud_init": "cloud_init",
    "osm_timeout": "timeout",
}
_ENVIRONMENT = {"hostname": "OSM_HOSTNAME", "user": "OSM_USER", "password": "OSM_PASSWORD", "project": "OSM_PROJECT"}


def ordered(found: dict[str, Any], environment: dict[str, str], before: dict[str, Any] | None = None) -> Order | None:
    """Take OSM's options out of a command's arguments; None when OSM is not asked for.

    What is not said is as `before` (an earlier order), else as the environment says. The environment alone asks for
    nothing: a shell that is set up for OSM can still deploy to other machines.
    """
    from ..osm.order import Order

    given = {field: found.pop(name, None) for name, field in _OSM.items()}
    given = {field: value for field, value in given.items() if value not in (None, False, ())}
    if not given and before is None:
        return None
    said = {field: environment[name] for field, name in _ENVIRONMENT.items() if environment.get(name)}
    if "vim_accounts" in given:
        given["vim_accounts"] = dict(given["vim_accounts"])
    fields = {**said, **(before or {}), **given}
    for one, other in (("ca", "insecure"), ("insecure", "ca")):
        if one in given and other not in given:
            fields.pop(other, None)  # what is said now goes before what was said then
    if "password" in said and "password" not in given:
        fields["password"] = said["password"]
    if "hostname" not in fields:
        raise click.UsageError("machines are to be made by OSM: say where it is (--osm-hostname, or OSM_HOSTNAME)")
    return Order(**fields)
