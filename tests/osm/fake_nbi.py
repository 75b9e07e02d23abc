"""A stand-in for OSM's northbound interface: a real HTTP(S) server, its answers those of release 19.

    with FakeNbi(machines=lambda node: "10.0.0.5") as nbi:
        Order(nbi.hostname, password=nbi.password, ca=nbi.certificate, ...)

`nbi.osm` is what is behind it: records, delays, failures.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import secrets
import ssl
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from . import nbi_checks as checks
from .nbi_checks import Wrong
from .nbi_state import Clock, Osm

Answer = tuple[int, Any]


class FakeNbi:
    """The server, and what tests do to it.

    Attributes:
        osm: what is behind it.
        tokens: token -> when it runs out; those that were logged out are not among them.
        issued: every token that was ever given.
        asked: method and path of every request, in order.
        lost: paths (a part each) whose next POST is done, but not answered: the connection breaks.
        busy: how many requests to come are answered 503.
    """

    user, password, project = "planner", "correct horse battery", "lab"

    def __init__(
        self,
        machines: Callable[[str], str],
        unmake: Callable[[str], None] = lambda node: None,
        clock: Callable[[], float] | None = None,
        folder: Path | None = None,
        token_life: float = 3600.0,
    ) -> None:
        """With `folder`, where the certificate is put, it speaks HTTPS; without, HTTP."""
        self.osm = Osm(machines, unmake, clock or Clock())
        self.tokens: dict[str, float] = {}
        self.issued: list[str] = []
        self.token_life = token_life
        self.asked: list[str] = []
        self.lost: list[str] = []
        self.busy = 0
        self.lock = threading.Lock()
        self.certificate = _certificate(folder) if folder else None
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"nbi": self}))
        if self.certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, self.certificate.with_suffix(".key"))
            # The handshake is left to the handler's thread: one that fails must not stop the others.
            socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
            self._server.socket = socket
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> FakeNbi:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def hostname(self) -> str:
        """What a user would name it."""
        return f"127.0.0.1:{self.port}" if self.certificate else f"http://127.0.0.1:{self.port}/osm"

    def answer(self, method: str, target: str, headers: Any, body: bytes) -> Answer:
        """Do what is asked."""
        with self.lock:
            url = urlsplit(target)
            self.asked.append(f"{method} {target}")
            if self.busy:
                self.busy -= 1
                raise Wrong(503, "no healthy upstream")
            self.osm.tick()
            path = url.path.removeprefix("/osm").strip("/").split("/")
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            if path == ["version"]:
                return 200, {"version": "19.0.0", "date": "2026-01-15"}
            if path[:3] == ["admin", "v1", "tokens"]:
                return self._tokens(method, path[3:], headers, body)
            self._authorise(headers)
            return self._route(method, path, query, headers, body)

    def _tokens(self, method: str, rest: list[str], headers: Any, body: bytes) -> Answer:
        if method == "DELETE":
            self._authorise(headers)
            self.tokens.pop(rest[0], None)
            return 200, None
        asked = checks.read(body)
        if asked.get("username") != self.user or asked.get("password") != self.password:
            raise Wrong(401, "Access denied: invalid username or password")
        if asked.get("project_id") != self.project:
            raise Wrong(404, f"Not found any project with filter='{{'_id': '{asked.get('project_id')}'}}'")
        token = secrets.token_hex(16)
        self.issued.append(token)
        self.tokens[token] = self.osm.clock() + self.token_life
        more = {"project_name": self.project, "username": self.user, "expires": self.tokens[token]}
        return 200, {"id": token, "_id": token, **more}

    def _authorise(self, headers: Any) -> None:
        token = (headers.get("Authorization") or "").removeprefix("Bearer ")
        if self.tokens.get(token, 0) <= self.osm.clock():
            raise Wrong(401, "Access denied: Token not found or expired")

    def _route(self, method: str, path: list[str], query: dict[str, str], headers: Any, body: bytes) -> Answer:
        osm, kind, which = self.osm, "/".join(path[:3]), path[3] if len(path) > 3 else None
        match method, kind.removesuffix("_content"):
            case "GET", "admin/v1/vim_accounts":
                return _read(osm.vims, which, query)
            case "GET", "vnfpkgm/v1/vnf_packages":
                return _read(osm.vnfds, which, query)
            case "GET", "nsd/v1/ns_descriptors":
                return _read(osm.nsds, which, query)
            case "GET", "nslcm/v1/ns_instances":
                return _read(osm.services, which, query)
            case "GET", "nslcm/v1/ns_lcm_op_occs":
                return _read(osm.ops, which, query)
            case "GET", "nslcm/v1/vnfrs" | "nslcm/v1/vnf_instances":
                return _read(osm.vnfrs, which, query)
            case "POST", "vnfpkgm/v1/vnf_packages" if kind.endswith("_content"):
                md5 = headers.get("Content-File-MD5")
                return 201, {"id": osm.add_vnfd(*checks.package(body, headers.get("Content-Type", ""), md5))}
            case "POST", "nsd/v1/ns_descriptors" if kind.endswith("_content"):
                known = {each["id"]: each for each in osm.vnfds.values()}
                return 201, {"id": osm.add_nsd(checks.nsd(body, known))}
            case "POST", "nslcm/v1/ns_instances" if kind.endswith("_content"):
                return self._instantiate(body)
            case "DELETE", "vnfpkgm/v1/vnf_packages" if which:
                osm.drop_vnfd(which)
            case "DELETE", "nsd/v1/ns_descriptors" if which:
                osm.drop_nsd(which)
            case "DELETE", "nslcm/v1/ns_instances" if which and kind.endswith("_content"):
                name = osm.services.get(which, {}).get("name")
                op = osm.terminate(which, query.get("FORCE") == "True")
                return (202, {"_id": op, "nsName": name}) if op else (204, None)
            case "DELETE", "nslcm/v1/ns_instances" if which:
                osm.discard(which)
            case _:
                raise Wrong(405, f"Method {method} not implemented for this URL")
        return 204, None

    def _instantiate(self, body: bytes) -> Answer:
        asked = checks.read(body)
        nsd = asked.get("nsdId") if isinstance(asked, dict) else None
        members = [each["id"] for each in self.osm.members(nsd)] if nsd in self.osm.nsds else []
        wish = checks.wish(asked, members)
        ns, op = self.osm.instantiate(wish)
        return 201, {"id": ns, "nslcmop_id": op, "nsName": wish["nsName"]}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of callers who hang up, as those do who don't trust our certificate."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    nbi: FakeNbi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body are two writes: the second must not wait for the first's receipt
    timeout = 20

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            status, what = self.nbi.answer(self.command, self.path, self.headers, body)
        except Wrong as wrong:
            status, what = wrong.status, {"code": "ERROR", "status": wrong.status, "detail": wrong.detail}
        for part in [part for part in self.nbi.lost if part in self.path and self.command == "POST"]:
            self.nbi.lost.remove(part)
            self.close_connection = True
            return
        self._send(status, what)

    do_POST = do_DELETE = do_PUT = do_GET  # noqa: N815

    def _send(self, status: int, what: Any) -> None:
        plain = "application/json" in (self.headers.get("Accept") or "")
        text = "" if what is None else json.dumps(what, default=str) if plain else yaml.safe_dump(what)
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if plain else "application/yaml")
        self.send_header("Content-Length", str(len(text.encode())))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: object) -> None:
        """Say nothing: tests look at `asked`."""


def _read(table: dict[str, dict[str, Any]], which: str | None, query: dict[str, str]) -> Answer:
    shown = {key: {k: v for k, v in each.items() if k not in ("outcome", "due", "wish")} for key, each in table.items()}
    if which is None:
        return 200, [each for each in shown.values() if all(each.get(key) == value for key, value in query.items())]
    if which not in shown:
        raise Wrong(404, f"Not found any item with filter='{{'_id': '{which}'}}'")
    return 200, shown[which]


def _certificate(folder: Path) -> Path:
    """Make a self-signed certificate for 127.0.0.1, its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "osm.test")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "osm.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    kind = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, kind, serialization.NoEncryption())
    file.with_suffix(".key").touch(mode=0o600)
    file.with_suffix(".key").write_bytes(secret)
    return file
