"""What may be ordered, and what is refused before anybody is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qkdbus.errors import Refused
from qkdbus_deploy.osm.order import Order


@pytest.mark.parametrize(
    ("hostname", "url"),
    [
        ("osm.example", "https://osm.example:9999/osm"),
        ("10.1.2.3:443", "https://10.1.2.3:443/osm"),
        ("[fd00::5]:9999", "https://[fd00::5]:9999/osm"),
        ("https://nbi.osm.example", "https://nbi.osm.example:443/osm"),
        ("https://osm.example:8443/nbi/", "https://osm.example:8443/nbi"),
        ("http://127.0.0.1:80/osm", "http://127.0.0.1:80/osm"),
    ],
)
def test_a_hostname_becomes_the_place_it_means(hostname: str, url: str) -> None:
    assert str(Order(hostname).place) == url


@pytest.mark.parametrize(
    "hostname", ["", "ftp://osm", "osm:0", "osm:70000", "osm:port", "two words", "-osm", "osm/x y@"]
)
def test_what_is_no_hostname_is_refused(hostname: str) -> None:
    with pytest.raises(Refused, match="OSM's hostname"):
        Order(hostname)


def test_a_password_in_the_hostname_is_refused_and_not_repeated() -> None:
    with pytest.raises(Refused) as raised:
        Order("https://admin:s3cret@osm.example")
    assert "s3cret" not in str(raised.value)


def test_a_password_does_not_show() -> None:
    assert "s3cret" not in repr(Order("osm", password="s3cret"))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"hostname": "http://osm.example"}, "in clear"),
        ({"ca": Path("/dev/null"), "insecure": True}, "choose one"),
        ({"ca": Path("/nowhere/ca.pem")}, "is no file"),
        ({"cpus": 0}, "CPUs must be more than 0"),
        ({"memory_gb": -1.0}, "memory must be more than 0"),
        ({"timeout": 0.0}, "more than 0 s"),
        ({"image": ""}, "needs an image"),
    ],
)
def test_what_makes_no_sense_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(Refused, match=words):
        Order(**{"hostname": "osm.example", **changed})


def test_plain_http_can_be_had_by_asking_for_it() -> None:
    assert Order("http://osm.example", insecure=True).place.port == 80


def test_a_key_comes_with_its_private_half_where_that_is(key: Path, tmp_path: Path) -> None:
    found = Order("osm", ssh_key=key).key()
    assert found.public.startswith("ssh-ed25519 ") and found.private == key.with_suffix("")
    alone = tmp_path / "alone.pub"
    alone.write_text(key.read_text())
    assert Order("osm", ssh_key=alone).key().private is None
    assert Order("osm", ssh_key=alone, private_key=key.with_suffix("")).key().private == key.with_suffix("")
    with pytest.raises(Refused, match="no such file"):
        Order("osm", ssh_key=alone, private_key=tmp_path / "none").key()


def test_a_private_key_is_refused_and_not_repeated(key: Path) -> None:
    with pytest.raises(Refused, match=r"is a private key, which stays here; give the public one, id\.pub") as raised:
        Order("osm", ssh_key=key.with_suffix("")).key()
    assert key.with_suffix("").read_text().splitlines()[1] not in str(raised.value)


def test_what_is_no_public_key_is_refused(key: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.pub"
    for text in ("", "hello\n", key.read_text() * 2, key.read_text()[:40], "ssh-rsa " + key.read_text().split()[1]):
        file.write_text(text)
        with pytest.raises(Refused, match="not one public key"):
            Order("osm", ssh_key=file).key()
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Refused, match="it is no text"):
        Order("osm", ssh_key=file).key()


def test_a_missing_key_is_refused_with_the_way_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="ssh-keygen"):
        Order("osm", ssh_key=tmp_path / "none.pub").key()
    with pytest.raises(Refused, match="need a public key"):
        Order("osm").key()


def test_a_node_goes_where_it_is_sent_or_else_with_the_others() -> None:
    order = Order("osm", vim_account="here", vim_accounts={"bob": "there"})
    assert (order.vim_of("alice"), order.vim_of("bob")) == ("here", "there")
    with pytest.raises(Refused, match="no VIM account for alice"):
        Order("osm").vim_of("alice")
