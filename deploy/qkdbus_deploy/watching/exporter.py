"""One small process that Prometheus scrapes: HTTP with the standard library, a sample for each scrape."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qkdbus.errors import QkdbusError, Refused

from . import exposition
from .sample import Sample

SOONEST = 1.0  # s between two samples: who scrapes more often gets the last one again
READ_WITHIN = 10.0  # s for a request


class Scraped:
    """The text of the latest sample. One thread at a time asks; after a failure `begin` is called anew."""

    def __init__(self, begin: Callable[[], Iterator[Sample]], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._begin, self._monotonic = begin, monotonic
        self._samples: Iterator[Sample] | None = None
        self._lock = threading.Lock()
        self._text, self._at = "", float("-inf")

    def text(self) -> str:
        """Return the metrics, at most SOONEST s old."""
        with self._lock:
            if self._monotonic() - self._at >= SOONEST:
                samples, self._samples = self._samples or self._begin(), None
                self._text = exposition.text(next(samples))
                self._samples = samples
                self._at = self._monotonic()
            return self._text


class _Handler(BaseHTTPRequestHandler):
    scraped: Scraped
    failed: Callable[[str], None]
    timeout = READ_WITHIN
    server_version, sys_version = "qkdbus", ""

    def do_GET(self) -> None:
        """Answer /metrics."""
        if self.path.partition("?")[0] not in ("/metrics", "/"):
            self._answer(404, "text/plain; charset=utf-8", "metrics are at /metrics\n")
            return
        try:
            text = self.scraped.text()
        except (QkdbusError, OSError) as error:
            self.failed(str(error))
            self._answer(503, "text/plain; charset=utf-8", f"{error}\n")
            return
        self._answer(200, exposition.CONTENT_TYPE, text)

    def _answer(self, status: int, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a line a scrape helps nobody."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


def address(text: str) -> tuple[str, int]:
    """Read HOST:PORT. Refused when it is none."""
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdigit() or int(port) > 65535:
        raise Refused(f"{text!r} is no HOST:PORT, such as 127.0.0.1:9433")
    return host.strip("[]") or "127.0.0.1", int(port)


def serve(
    where: tuple[str, int], begin: Callable[[], Iterator[Sample]], failed: Callable[[str], None]
) -> ThreadingHTTPServer:
    """Return a server that is bound; its `serve_forever` does the rest. Refused when it cannot listen there."""
    handler = type("Handler", (_Handler,), {"scraped": Scraped(begin), "failed": staticmethod(failed)})
    try:
        return (_Server6 if ":" in where[0] else _Server)(where, handler)
    except OSError as error:
        raise Refused(f"--listen {where[0]}:{where[1]}: {error.strerror}; choose another address or port") from None
