"""The `qkdbus` command: its root. Each sub-command is a file of its own here and is imported only when called."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from qkdbus.errors import BadFile, QkdbusError, Refused

from . import say

# name -> the line of `qkdbus --help`; the file `<name>.py` beside this one exposes `command`
COMMANDS = {
    "init": "Write a commented network file to start from.",
    "validate": "Check a network file and say what it describes.",
    "plan": "Show what a deploy would change, and what each node would get.",
    "deploy": "Bring a network up and wait until every service is ready.",
    "status": "Show nodes, layers, links and key streams.",
    "doctor": "Look for the usual faults, and say how to mend each.",
    "attack": "Put an eavesdropper into a link's quantum channel, or take her out.",
    "top": "Watch links, services and streams in a live table.",
    "clock": "Put a node's date wrong, or right again.",
    "logs": "Read the logs of a node, or of all, merged in time order.",
    "events": "Show what services publish: alarms, blocks, streams, workers.",
    "metrics": "Serve the metrics of all services to Prometheus.",
    "swap": "Run another program as a layer of a node, while the rest keeps running.",
    "conform": "Check whether a program keeps the contract of a layer.",
    "start": "Start a network, a node, or one layer of a node.",
    "stop": "Stop a network, a node, or one layer of a node.",
    "destroy": "Remove a network: processes, sockets, files and keys.",
    "client": "Let applications in: add, list, rotate and revoke credentials.",
    "rotate": "Give nodes new keys, while they run.",
    "expel": "Shut a node out that was captured.",
    "readmit": "Let a node in again that was shut out.",
    "key": "Open a key stream, get keys, close it (ETSI GS QKD 004).",
    "demo": "Run a network of three sites and compare keys at both ends.",
    "bench": "Measure this machine, or a network that runs.",
    "version": "Show the version.",
}
BAD_INPUT, FAILURE, INTERRUPTED = 2, 1, 130


class Root(click.Group):
    """Finds a sub-command by its name, and is the one place where errors become words and exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order in which a user meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import the file of one sub-command; None when there is no such command."""
        if name not in COMMANDS:
            return None
        command = importlib.import_module(f".{name}", __package__).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the sub-commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> object:
        """Run the sub-command."""
        with _in_words(ctx):
            return super().invoke(ctx)


@contextmanager
def _in_words(ctx: click.Context) -> Iterator[None]:
    """End the command with one message and an exit code where an error would show a traceback."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit):
        raise  # click knows what to do
    except (KeyboardInterrupt, click.Abort):
        say.failure("interrupted")
        ctx.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader (`| head`) has gone; what is left in the buffer would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ctx.exit(FAILURE)
    except Exception as error:
        if ctx.params["debug"]:
            raise
        say.failure(_words(error))
        ctx.exit(BAD_INPUT if isinstance(error, BadFile | Refused) else FAILURE)


def _words(error: Exception) -> str:
    if isinstance(error, QkdbusError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"unexpected {type(error).__name__}: {error} (`qkdbus --debug ...` shows where)"


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--home",
    type=click.Path(file_okay=False, path_type=Path),
    envvar="QKDBUS_HOME",
    default=Path("~/.qkdbus"),
    show_default=True,
    show_envvar=True,
    metavar="DIR",
    help="Where networks live.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def main(ctx: click.Context, home: Path, debug: bool) -> None:
    """Digital twins of QKD networks: plan them, run them, fetch keys from them.

    \b
    A first network, on this machine:
      qkdbus init three-sites.yaml        write a network file
      qkdbus deploy three-sites.yaml      run it
      qkdbus status                       look at it
      qkdbus destroy three-sites          leave nothing behind

    Each command has its own --help.
    """
    ctx.obj = home.expanduser().absolute()
