"""Whether SimulaQron has here the engine that a link's protocol needs."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from qkdbus.network.model import Network
from qkdbus.network.routes import Route, routes


def missing(network: Network) -> list[str]:
    """Return a sentence for each link none of whose engines is installed with this Python."""
    return list(_sentences(routes(network)))


def _sentences(links: tuple[Route, ...]) -> Iterator[str]:
    for route in links:
        engines = route.settings.engines()
        if route.settings.emulator != "simulaqron" or any(_here(engine) for engine in engines):
            continue
        link, why = f"{route.arbiter} - {route.follower}", f" for {route.settings.protocol}"
        wanted = f"SimulaQron's engine {' or '.join(engines)}" + ("" if route.settings.engine else why)
        yield f"{link} needs {wanted}, not installed here: pip install 'qkdbus[{engines[-1]}]'"


def _here(engine: str) -> bool:
    return engine == "stabilizer" or find_spec(engine) is not None
