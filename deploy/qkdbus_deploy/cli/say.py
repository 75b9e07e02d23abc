"""What commands say: answers on stdout (text or JSON), everything else on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click

from ..words import count as count

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Give a command the flag `--json`, handed over as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Answer in JSON, for scripts.")(function)


def answer(text: str) -> None:
    """Print what was asked for."""
    click.echo(text)


def data(value: object) -> None:
    """Print what was asked for, as JSON; paths and other odd values become text."""
    click.echo(json.dumps(value, indent=2, default=str))


def table(headings: Sequence[str], rows: Iterable[Sequence[object]], indent: str = "") -> None:
    """Print rows in columns as wide as they need; numbers stand to the right."""
    cells = [[_cell(value) for value in row] for row in (headings, *rows)]
    numeric = [_is_numeric(column[1:]) for column in zip(*cells, strict=True)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        line = "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        click.echo((indent + line).rstrip())


def progress(text: str) -> None:
    """Print a line about the work, on stderr."""
    click.echo(text, err=True)


def notice(text: str) -> None:
    """Print something the user should know though nothing is wrong, on stderr."""
    click.echo(f"note: {text}", err=True)


def failure(text: str) -> None:
    """Print why a command ends without its answer, on stderr."""
    click.echo(f"qkdbus: {text}", err=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def _is_numeric(column: Sequence[str]) -> bool:
    filled = [cell for cell in column if cell != "-"]
    return bool(filled) and all(cell.replace(".", "", 1).replace("-", "", 1).isdigit() for cell in filled)
