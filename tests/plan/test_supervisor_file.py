"""supervisord reads what was planned: its own reader is the judge."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from supervisor.options import ServerOptions

from qkdbus.bus.curve import KeyPair
from qkdbus.errors import Refused
from qkdbus.network.addresses import allocate
from qkdbus.network.model import LayerChoice, Network
from qkdbus_deploy.bundles import Bundle
from qkdbus_deploy.certs import gather
from qkdbus_deploy.plan import Target, plan

Home = Callable[[str], Bundle]


@pytest.fixture
def bob_below(three_sites: Network, target: Target, pairs: Callable[[], KeyPair]) -> Iterator[Home]:
    """Plan with a home of this name (in a folder with a short path), and return Bob's bundle."""

    def of(name: str) -> Bundle:
        there = replace(target, here=replace(target.here, home=Path(short) / name))
        return plan(three_sites, allocate(three_sites), gather(three_sites, there.here.home, pairs), there).bundle(
            "Bob"
        )

    with tempfile.TemporaryDirectory() as short:
        yield of


def read(bundle: Bundle, tmp_path: Path) -> Any:
    """Return supervisord's options after reading a bundle's file."""
    for folder in (bundle.directory / "logs", bundle.run):
        folder.mkdir(parents=True)
    file = tmp_path / "supervisord.conf"
    file.write_text(next(one.text for one in bundle.files if one.path == "supervisord.conf"))
    options = ServerOptions()
    options.realize(args=["-c", str(file)])
    return options


@pytest.mark.parametrize("name", ["plain", "with space", "it's", "{brace}", "naïve"])
def test_supervisord_reads_the_programs_of_a_node(name: str, bob_below: Home, tmp_path: Path) -> None:
    bundle = bob_below(name)
    options = read(bundle, tmp_path)
    [group] = options.process_group_configs
    assert group.name == "Bob"
    configs = {config.name: config for config in group.process_configs}
    assert set(configs) == {program.name for program in bundle.programs}
    for program in bundle.programs:
        config = configs[program.name]
        assert tuple(shlex.split(config.command)) == program.command
        assert config.stdout_logfile == str(bundle.directory / "logs" / f"{program.name}.log")
        assert config.directory == str(bundle.directory)
        assert (config.stdout_logfile_maxbytes, config.stdout_logfile_backups) == (5 << 20, 3)
        assert (config.startretries, config.stopwaitsecs, config.killasgroup) == (1_000_000, 3, True)
        assert config.redirect_stderr and config.umask == 0o077
    assert (options.identifier, options.nodaemon, options.umask) == ("Bob", True, 0o077)
    assert options.pidfile == str(bundle.run / "supervisord.pid")
    [server] = options.server_configs
    assert (server["file"], server["chmod"]) == (str(bundle.run / "supervisor.sock"), 0o700)


@pytest.mark.parametrize("name", ["100%", "%(here)s", "a ;b", "a #b", "new\nline", "bell\a"])
def test_a_folder_that_supervisord_would_misread_is_refused(name: str, bob_below: Home) -> None:
    with pytest.raises(Refused, match="supervisord"):
        bob_below(name)


def test_a_foreign_command_reaches_supervisord_as_it_was_written(
    three_sites: Network, target: Target, pairs: Callable[[], KeyPair], tmp_path: Path
) -> None:
    run = "/opt/lab --date '+%s %(here)s' --name \"Bob's\" '{x}' 'a;b' '#c'"
    network = three_sites.model_copy(update={"layers": {"dispatcher": LayerChoice(run=run)}})
    with tempfile.TemporaryDirectory() as short:
        there = replace(target, here=replace(target.here, home=Path(short)))
        bundle = plan(network, allocate(network), gather(network, there.here.home, pairs), there).bundle("Bob")
        [group] = read(bundle, tmp_path).process_group_configs
    [command] = [config.command for config in group.process_configs if config.name == "dispatcher"]
    assert shlex.split(command) == [*shlex.split(run), str(bundle.directory)]
