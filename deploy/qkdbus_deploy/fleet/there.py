"""Which nodes of a network are on a host, and which of them run: asked of its shell, before qkdbus is there."""

from __future__ import annotations

import shlex
from pathlib import Path


def command(network: Path) -> str:
    """Return the command that `read` understands; `network` is the folder of the network there."""
    return (
        f'cd {shlex.quote(str(network))} 2>/dev/null || exit 0; for node in *; do [ -d "$node/state" ] || continue; '
        'pid=; made=; { read -r pid; read -r _; read -r made; } 2>/dev/null < "$node/supervisord.pid"; '
        'if [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; then echo "$node ${made:-?}"; else echo "$node"; fi; done'
    )


def read(said: str) -> dict[str, str]:
    """Return node -> the generation in which it runs, as far as can be told; "" when it does not."""
    return {name: made for name, _, made in (line.partition(" ") for line in said.splitlines())}
