"""`qkdbus init`: a network file to start from."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from qkdbus.errors import Refused

from . import say

DEFAULT = Path("three-sites.yaml")


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT)
@click.option("--force", is_flag=True, help="Overwrite the file when it is there.")
def command(file: Path, force: bool) -> None:
    """Write a network file to start from: three sites in a line, every other field shown with its default.

    FILE is three-sites.yaml unless you name one. Its name becomes the network's.

    \b
      qkdbus init
      qkdbus init my-city.yaml
    """
    text = files("qkdbus_deploy").joinpath("templates", "network.yaml").read_bytes()
    try:
        with open(file, "wb" if force else "xb") as out:
            out.write(text)
    except FileExistsError:
        raise Refused(f"{file}: is there already; name another file, or overwrite it with --force") from None
    except FileNotFoundError:
        raise Refused(f"{file}: there is no folder {file.parent}; make it first") from None
    except (IsADirectoryError, PermissionError) as error:
        raise Refused(f"{file}: cannot be written: {error.strerror}") from None
    say.answer(f"wrote {file}; now `qkdbus deploy {file}` runs it on this machine")
