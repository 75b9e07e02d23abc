"""Keys for a plain program: one call at a time, over one REQ socket."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
from google.protobuf.message import Message

from qkdbus.bus.caller import Caller
from qkdbus.bus.curve import KeyPair, Renewed
from qkdbus.contracts.keymanager import CONTRACT
from qkdbus.wire import keymanager_pb2 as wire

from . import translate
from .access import Access, Way, locate
from .results import Closed, Key, Keys, Opened, QoS, StreamInfo
from .traces import Traces, Wish
from .translate import Ksid, Patience


class Client:
    """An application at one node's key manager (ETSI GS QKD 004).

    Results carry the standard's status and never raise for one. What does raise is in qkdbus.errors: Silent when
    nobody answers, Unauthorised and Refused when the request cannot be granted, BadFile when there is no way in.
    A call whose answer is lost is repeated, and gives the same key. May be shared between threads: they take turns.
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
        """Connect to `node` of a network on this machine, or with the credential in `file`.

        `patience` in s bounds every call; without it a call waits for the stream's Timeout and a little more.
        `trace` names its calls in the logs of all layers (True: a new name for each; see `Traces`).
        """
        self._traces = Traces(trace)
        way = Way(node, locate(network, home, file))
        self._connect(way.access, patience, way.renewed)

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
        """Connect to an endpoint, over CURVE (keys in Z85) when there is a `server_key`."""
        client = cls.__new__(cls)
        client._traces = Traces(trace)
        client._connect(Access(endpoint, server_key, public_key, secret_key), patience)
        return client

    def _connect(self, access: Access, patience: float | None, renewed: Renewed | None = None) -> None:
        self._patience = Patience(patience)
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        pair = KeyPair(access.public_key, access.secret_key) if access.server_key else None
        self._caller = Caller(
            self._context, access.endpoint, CONTRACT, os.urandom(16), pair=pair, server_key=access.server_key
        )
        self._caller.renewed = renewed

    def open_connect(self, source: str, destination: str, qos: QoS | None = None, ksid: Ksid | None = None) -> Opened:
        """Reserve a key stream between two applications, `app@node`; `ksid` when it was agreed before."""
        request = translate.open_request(source, destination, qos, ksid)
        trace = self._traces.next()
        answer = self._ask("open_connect", request, self._patience.to_open(qos), trace)
        return self._patience.learn(translate.read_opened(answer, trace))

    def get_key(self, ksid: Ksid, index: int | None = None, metadata_size: int = 1024) -> Key:
        """Fetch one key: the next that this end has not had, or the one with `index`."""
        request = translate.get_request(ksid, index, metadata_size)
        patience = self._patience.for_stream("get_key", request.ksid)
        trace = self._traces.next()
        return translate.read_key(self._ask("get_key", request, patience, trace), trace)

    def get_keys(self, ksid: Ksid, count: int) -> Keys:
        """Fetch up to `count` consecutive keys in one call; fewer when fewer are there."""
        request = wire.GetKeys(ksid=translate.read_ksid(ksid), count=count)
        patience = self._patience.for_stream("get_keys", request.ksid)
        trace = self._traces.next()
        return translate.read_keys(self._ask("get_keys", request, patience, trace), trace)

    def close(self, ksid: Ksid) -> Closed:
        """End our side of a stream."""
        request = wire.Close(ksid=translate.read_ksid(ksid))
        trace = self._traces.next()
        answer = self._ask("close", request, self._patience.for_call("close"), trace)
        self._patience.forget(request.ksid)
        return translate.read_closed(answer, trace)

    def list_streams(self) -> list[StreamInfo]:
        """Return the streams that we may use."""
        patience = self._patience.for_call("list_streams")
        answer = self._ask("list_streams", wire.ListStreams(), patience, self._traces.next())
        return translate.read_streams(answer)

    def disconnect(self) -> None:
        """End this client; its streams live on. `with` does it by itself."""
        with self._lock:
            self._caller.leave("list_streams", wire.ListStreams())  # what it has got need not be kept for a repeat
            self._context.term()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()

    def _ask(self, method: str, request: Message, patience: float, trace: bytes) -> Any:
        with self._lock:
            return self._caller.ask(method, request, patience=patience, trace=trace)
