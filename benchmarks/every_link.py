"""A key at both ends of every link of a network, opened, fetched and compared by its applications."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from qkdbus.errors import QkdbusError
from qkdbus_client import AsyncClient, QoS, Status

AT_ONCE = 256  # links
CHUNK = 16  # octets of a key
ASK_MS = 2_000
GOOD = (Status.SUCCESSFUL, Status.SUCCESSFUL_NO_PEER)
Link = tuple[str, str]


@dataclass(frozen=True)
class Formed:
    """What came of it.

    Attributes:
        seconds: until the last link had given its key, of all that were asked at once.
        links: when each gave its key, in s since the first was asked.
        failed: links without, and why.
    """

    seconds: float
    links: dict[Link, float]
    failed: dict[Link, str]


def every_link(home: Path, network: str, links: Sequence[Link], patience: float) -> Formed:
    """Have each link give a key within `patience` s, and compare it; AT_ONCE links at a time."""
    done: dict[Link, float] = {}
    failed: dict[Link, str] = {}
    seconds = 0.0
    for start in range(0, len(links), AT_ONCE):
        began = time.monotonic()
        for link, outcome in asyncio.run(_some(home, network, links[start : start + AT_ONCE], patience)).items():
            if isinstance(outcome, str):
                failed[link] = outcome
            else:
                done[link] = outcome
        seconds += time.monotonic() - began
    return Formed(seconds, done, failed)


async def _some(home: Path, network: str, links: Sequence[Link], patience: float) -> dict[Link, float | str]:
    clients = {node: AsyncClient(node, network=network, home=home, patience=20.0) for link in links for node in link}
    began = time.monotonic()

    async def one(link: Link) -> float | str:
        try:
            async with asyncio.timeout(patience):
                return await _key(clients, link, began)
        except TimeoutError:
            return f"no key within {patience:g} s"
        except QkdbusError as error:
            return str(error)

    try:
        outcomes = await asyncio.gather(*(one(link) for link in links))
    finally:
        for client in clients.values():
            client.disconnect()
    return dict(zip(links, outcomes, strict=True))


async def _key(clients: dict[str, AsyncClient], link: Link, began: float) -> float | str:
    here, there = (clients[node] for node in link)
    names = f"app@{link[0]}", f"app@{link[1]}"
    opened = await here.open_connect(*names, QoS(key_chunk_size=CHUNK, timeout=ASK_MS))
    if opened.status not in GOOD or opened.ksid is None:
        return f"{opened.status.name}: {opened.reason}"
    joined = await there.open_connect(*names, ksid=opened.ksid)
    if joined.status not in GOOD:
        return f"{joined.status.name}: {joined.reason}"
    ours, theirs = await asyncio.gather(_fetch(here, opened.ksid), _fetch(there, opened.ksid))
    took = time.monotonic() - began
    await asyncio.gather(here.close(opened.ksid), there.close(opened.ksid))
    if ours[0] != theirs[0]:
        return f"the first keys are of index {ours[0]} and {theirs[0]}"
    return took if ours == theirs else "the two ends have different keys"


async def _fetch(client: AsyncClient, ksid: UUID) -> tuple[int, bytes]:
    while True:
        got = await client.get_key(ksid, metadata_size=0)
        if got.status == Status.SUCCESSFUL:
            return got.index, got.key
        await asyncio.sleep(0.1)
