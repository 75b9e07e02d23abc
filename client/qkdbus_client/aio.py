"""Keys for an asyncio program: many calls in flight over one socket."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
from google.protobuf.message import Message

from qkdbus.bus.asker import Asker
from qkdbus.bus.curve import KeyPair, Renewed
from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.wire import keymanager_pb2 as wire

from . import translate
from .access import Access, Way, locate
from .results import Closed, Key, Keys, Opened, QoS, StreamInfo
from .traces import Traces, Wish
from .translate import Ksid, Patience


class AsyncClient:
    """`Client` for asyncio: the same calls as coroutines, any number at once.

    Connects at the first call, in the loop that is running then; belongs to that loop.
    """

    def __init__(
        self,
        node: str,
        *,
        network: str | None = None,
        home: str | Path | None = None,
        file: str | Path | None = None,
        patience: float | None = None,
        trace: Wish = None,
    ) -> None:
        """Be a client of `node` of a network on this machine, or with the credential in `file`.

        `trace` names its calls in the logs of all layers (True: a new name for each; see `Traces`).
        """
        self._traces = Traces(trace)
        way = Way(node, locate(network, home, file))
        self._prepare(way.access, patience, way.renewed)

    @classmethod
    def at(
        cls,
        endpoint: str,
        *,
        server_key: str = "",
        public_key: str = "",
        secret_key: str = "",
        patience: float | None = None,
        trace: Wish = None,
    ) -> Self:
        """Be a client of an endpoint, over CURVE (keys in Z85) when there is a `server_key`."""
        client = cls.__new__(cls)
        client._traces = Traces(trace)
        client._prepare(Access(endpoint, server_key, public_key, secret_key), patience)
        return client

    def _prepare(self, access: Access, patience: float | None, renewed: Renewed | None = None) -> None:
        self._access, self._patience, self._renewed = access, Patience(patience), renewed
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None
        self._asker: Asker | None = None

    async def open_connect(
        self, source: str, destination: str, qos: QoS | None = None, ksid: Ksid | None = None
    ) -> Opened:
        """Reserve a key stream between two applications, `app@node`; `ksid` when it was agreed before."""
        request = translate.open_request(source, destination, qos, ksid)
        trace = self._traces.next()
        answer = await self._ask("open_connect", request, self._patience.to_open(qos), trace)
        return self._patience.learn(translate.read_opened(answer, trace))

    async def get_key(self, ksid: Ksid, index: int | None = None, metadata_size: int = 1024) -> Key:
        """Fetch one key: the next that this end has not had, or the one with `index`."""
        request = translate.get_request(ksid, index, metadata_size)
        patience = self._patience.for_stream("get_key", request.ksid)
        trace = self._traces.next()
        return translate.read_key(await self._ask("get_key", request, patience, trace), trace)

    async def get_keys(self, ksid: Ksid, count: int) -> Keys:
        """Fetch up to `count` consecutive keys in one call; fewer when fewer are there."""
        request = wire.GetKeys(ksid=translate.read_ksid(ksid), count=count)
        patience = self._patience.for_stream("get_keys", request.ksid)
        trace = self._traces.next()
        return translate.read_keys(await self._ask("get_keys", request, patience, trace), trace)

    async def close(self, ksid: Ksid) -> Closed:
        """End our side of a stream."""
        request = wire.Close(ksid=translate.read_ksid(ksid))
        trace = self._traces.next()
        answer = await self._ask("close", request, self._patience.for_call("close"), trace)
        self._patience.forget(request.ksid)
        return translate.read_closed(answer, trace)

    async def list_streams(self) -> list[StreamInfo]:
        """Return the streams that we may use."""
        patience = self._patience.for_call("list_streams")
        answer = await self._ask("list_streams", wire.ListStreams(), patience, self._traces.next())
        return translate.read_streams(answer)

    def disconnect(self) -> None:
        """End this client; its streams live on. `async with` does it by itself."""
        if self._asker is not None and self._context is not None:
            self._asker.leave("list_streams", wire.ListStreams())  # what it has got need not be kept for a repeat
            self._context.term()
            self._asker = self._context = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def _connected(self) -> Asker:
        if self._asker is None:
            access = self._access
            self._context = zmq.Context()
            pair = KeyPair(access.public_key, access.secret_key) if access.server_key else None
            self._asker = Asker(
                self._context, access.endpoint, CONTRACT, os.urandom(16), pair=pair, server_key=access.server_key
            )
            self._asker.renewed = self._renewed
        return self._asker

    async def _ask(self, method: str, request: Message, patience: float, trace: bytes) -> Any:
        return await self._connected().ask(method, request, patience=patience, trace=trace)
