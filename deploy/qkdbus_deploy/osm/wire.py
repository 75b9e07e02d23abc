"""One HTTP request to OSM: no proxy, no redirection (either could carry a token elsewhere), TLS checked."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping

from qkdbus.errors import QkdbusError, Refused, Silent, Unavailable

from .answers import Answer
from .order import Order

CONNECT, READ = 15.0, 60.0  # patience, seconds


class Wire:
    """Sends requests, each over a connection of its own."""

    def __init__(self, order: Order) -> None:
        self._place = order.place
        self._context = _context(order) if self._place.scheme == "https" else None

    def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes | None) -> Answer:
        """Ask and return what came, whatever its status. Refused, Unavailable or Silent when nothing comes."""
        connection = self._connection()
        try:
            connection.connect()
            connection.sock.settimeout(READ)
            connection.request(method, self._place.path + path, body=body, headers=dict(headers))
            got = connection.getresponse()
            return Answer(got.status, _read(got.read()))
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(error) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._place.host.strip("[]"), self._place.port
        if self._context:
            return http.client.HTTPSConnection(host, port, timeout=CONNECT, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=CONNECT)

    def _failure(self, error: Exception) -> QkdbusError:
        where = f"OSM at {self._place}"
        if isinstance(error, ssl.SSLCertVerificationError):
            return Refused(
                f"{where}: its certificate cannot be trusted ({error.verify_message}); name the CA file that "
                "signed it (a self-signed certificate is its own), or say that insecure is fine"
            )
        if isinstance(error, ssl.SSLError):
            return Refused(f"{where}: no TLS there ({error.reason or error}); is it the right port, or plain http://?")
        if isinstance(error, socket.gaierror):
            return Refused(f"{where}: no such host ({error.strerror}); check OSM's hostname")
        if isinstance(error, TimeoutError):
            return Silent(
                f"{where}: no answer in {CONNECT:g} to {READ:g} s; is it up, and does a firewall let us through?"
            )
        if isinstance(error, ConnectionRefusedError):
            return Unavailable(
                f"{where}: nothing listens there; is OSM up? Newer releases answer behind an ingress at port 443, "
                "as in nbi.<address>.nip.io:443"
            )
        return Unavailable(f"{where}: the connection broke ({getattr(error, 'strerror', None) or error!r}); try again")


def _context(order: Order) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(order.ca) if order.ca else None)
    except (ssl.SSLError, OSError) as error:
        raise Refused(f"CA file for OSM: {order.ca} holds no certificate in PEM ({error})") from None
    if order.ca:
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # the file may hold OSM's own certificate, and no CA's
    if order.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _read(content: bytes) -> object:
    text = content.decode(errors="replace")
    try:
        return json.loads(text) if text.strip() else None
    except ValueError:
        return text
