"""`qkdbus metrics`."""

from __future__ import annotations

from pathlib import Path

import click

from . import say

LISTEN = "127.0.0.1:9433"


@click.command()
@click.argument("network", required=False)
@click.option("--listen", metavar="HOST:PORT", default=LISTEN, show_default=True, help="Where Prometheus comes in.")
@click.option("--once", is_flag=True, help="Print the metrics and end.")
@click.pass_obj
def command(home: Path, network: str | None, listen: str, once: bool) -> None:
    """Serve the metrics of all services to Prometheus, at http://HOST:PORT/metrics, until it is stopped.

    One process asks each service when it is scraped; the services themselves open no port. It answers whoever can
    connect: keep it on this machine, or put it behind something that asks who is there. Metrics hold no secrets.
    docs/observe.md lists them.

    \b
      qkdbus metrics three-sites
      qkdbus metrics three-sites --once | grep qber
    """
    from .. import nodes
    from ..drivers.choose import driver
    from ..watching import exporter, exposition

    name = nodes.choose(home, network)
    found = driver(home, name, say.progress)
    if once:
        click.echo(exposition.text(next(found.samples(name))), nl=False)
        return
    server = exporter.serve(exporter.address(listen), lambda: found.samples(name), say.progress)
    host, port = server.server_address[:2]
    say.progress(f"metrics of {name} are at http://{_bracketed(str(host))}:{port}/metrics (Ctrl-C ends this)")
    with server:
        server.serve_forever(poll_interval=0.2)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
