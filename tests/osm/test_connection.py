"""Reaching OSM: TLS, nobody there, somebody else there; by REST, and which way is chosen."""

from __future__ import annotations

import importlib.util
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from qkdbus.errors import Failed, QkdbusError, Refused, Silent, Unauthorised, Unavailable
from qkdbus_deploy.osm import child, choose, wire
from qkdbus_deploy.osm.choose import Way
from qkdbus_deploy.osm.order import Order
from qkdbus_deploy.osm.osmclient import OsmClient
from qkdbus_deploy.osm.rest import Rest

from .conftest import STANDINS
from .fake_nbi import FakeNbi

SECRET = "correct horse battery"


@contextmanager
def somebody(answer: bytes | None) -> Iterator[int]:
    """Listen, and answer whoever comes with some octets; None: with nothing, ever."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(65536)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    with suppress(OSError):  # what is still on its way is read: else the close would break the answer
                        connection.settimeout(5)
                        while connection.recv(65536):
                            pass
                    connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


def refusal(order: Order) -> QkdbusError:
    with pytest.raises(QkdbusError) as raised:
        Rest(order).greet()
    assert SECRET not in str(raised.value)
    return raised.value


def test_a_certificate_that_nobody_vouches_for_is_refused_with_the_remedy(order: Order) -> None:
    error = refusal(replace(order, ca=None))
    assert isinstance(error, Refused) and "self-signed certificate" in str(error) and "insecure" in str(error)


def test_no_password_goes_to_whom_we_do_not_trust(nbi: FakeNbi, order: Order) -> None:
    refusal(replace(order, ca=None))
    assert nbi.asked == []


def test_a_ca_file_or_recklessness_opens_the_door(order: Order) -> None:
    for each in (order, replace(order, ca=None, insecure=True)):
        with closing(Rest(each)) as port:
            assert [vim.name for vim in port.vims()] == ["cloud"]


def test_a_certificate_for_another_name_is_refused(nbi: FakeNbi, order: Order) -> None:
    error = refusal(replace(order, hostname=f"localhost:{nbi.port}"))
    assert isinstance(error, Refused) and "mismatch" in str(error)


def test_a_file_without_a_certificate_is_refused(order: Order, key: Path) -> None:
    with pytest.raises(Refused, match="holds no certificate"):
        Rest(replace(order, ca=key))


def test_nobody_there_says_where_newer_releases_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    error = refusal(Order(f"127.0.0.1:{port}", password=SECRET))
    assert isinstance(error, Unavailable) and "nothing listens there" in str(error) and "443" in str(error)


def test_a_host_without_an_address_is_refused() -> None:
    error = refusal(Order("osm.invalid", password=SECRET))
    assert isinstance(error, Refused) and "no such host" in str(error)


def test_no_tls_is_said_to_be_none() -> None:
    with somebody(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        error = refusal(Order(f"127.0.0.1:{port}", password=SECRET))
    assert isinstance(error, Refused) and "no TLS there" in str(error)


def test_silence_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "READ", 0.2)
    with somebody(None) as port:
        error = refusal(Order(f"http://127.0.0.1:{port}", password=SECRET))
    assert isinstance(error, Silent) and "firewall" in str(error)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n<html>login</html>", Unauthorised),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nConnection: close\r\n\r\n", Refused),
        (b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nnot found", Refused),
        (b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\n", Unavailable),
        (b'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{"message": "change_password"}', Unauthorised),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Unavailable),
        (b"", Unavailable),
    ],
)
def test_somebody_else_is_not_taken_for_osm(answer: bytes, kind: type[QkdbusError]) -> None:
    with somebody(answer) as port:
        assert isinstance(refusal(Order(f"http://127.0.0.1:{port}", password=SECRET)), kind)


def test_a_token_that_osm_forgets_is_asked_for_again(nbi: FakeNbi, order: Order) -> None:
    with closing(Rest(order, clock=nbi.osm.clock)) as port:
        port.greet()
        nbi.tokens.clear()
        assert port.vims() and len(nbi.issued) == 2


def test_whoever_leaves_logs_out(nbi: FakeNbi, order: Order) -> None:
    with closing(Rest(order)) as port:
        port.greet()
        assert len(nbi.tokens) == 1
    assert nbi.tokens == {}


def test_without_osmclient_it_is_rest(order: Order) -> None:
    assert isinstance(choose.choose(replace(order, ca=None), print, _where_absent("auto")), Rest)
    with pytest.raises(Refused, match="it is not installed"):
        choose.choose(replace(order, ca=None), print, _where_absent("osmclient"))


def test_with_osmclient_it_is_that_and_its_blindness_is_said(order: Order, standin: None) -> None:
    said: list[str] = []
    assert isinstance(choose.choose(replace(order, ca=None), said.append), OsmClient)
    assert "does not check OSM's certificate" in said[0]
    assert isinstance(choose.choose(replace(order, ca=None), print, "rest"), Rest)


def test_a_ca_file_is_not_given_to_somebody_blind(order: Order, standin: None) -> None:
    said: list[str] = []
    assert isinstance(choose.choose(order, said.append), Rest)
    assert "cannot check OSM's certificate" in said[0]
    with pytest.raises(Refused, match="a CA file is given"):
        choose.choose(order, print, "osmclient")


def test_a_broken_osmclient_is_passed_over(order: Order, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "osmclient").mkdir()
    (tmp_path / "osmclient/__init__.py").write_text("import osm_im_that_is_not_there")
    monkeypatch.syspath_prepend(str(tmp_path))
    said: list[str] = []
    assert isinstance(choose.choose(replace(order, ca=None), said.append), Rest)
    assert "osm_im_that_is_not_there" in said[0]


def test_an_osmclient_that_hangs_is_ended(standin: None) -> None:
    with somebody(None) as port, closing(OsmClient(Order(f"http://127.0.0.1:{port}"), patience=1.0)) as client:
        with pytest.raises(Silent, match="no answer from OSM in 1 s"):
            client.greet()
        assert client._child._process is None


def test_an_osmclient_that_dies_is_said_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "osmclient").mkdir()
    (tmp_path / "osmclient/__init__.py").write_text("import os; os._exit(3)")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(Failed, match="died"):
        child.Child().ask({"probe": True}, 30.0)


def test_an_osmclient_that_finds_nobody_says_so(standin: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with (
        closing(OsmClient(Order(f"127.0.0.1:{port}", password=SECRET))) as client,
        pytest.raises(Unavailable, match="Connection refused") as raised,
    ):
        client.greet()
    assert SECRET not in str(raised.value)


@pytest.fixture
def standin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(STANDINS))


def _where_absent(way: Way) -> Way:
    if importlib.util.find_spec("osmclient"):
        pytest.skip("osmclient is installed here")
    return way
