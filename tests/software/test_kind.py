"""Kinds of hosts, and the wheels that each can use."""

from __future__ import annotations

import platform
import zipfile
from pathlib import Path

import pytest
from packaging.tags import parse_tag

from qkdbus_deploy.software import wheels
from qkdbus_deploy.software.kind import Kind

DEBIAN = Kind("3.11", "x86_64", "glibc 2.36")


def test_this_machine_is_of_some_kind() -> None:
    here = Kind.here()
    assert here.machine == platform.machine()
    assert here.python == platform.python_version().rpartition(".")[0]
    assert str(DEBIAN) == "Python 3.11 on x86_64 with glibc 2.36"


@pytest.mark.parametrize(
    ("tag", "fits"),
    [
        ("py3-none-any", True),
        ("py2.py3-none-any", True),
        ("py311-none-any", True),
        ("py312-none-any", False),
        ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", True),
        ("cp39-abi3-manylinux_2_34_x86_64", True),
        ("cp312-abi3-manylinux_2_34_x86_64", False),
        ("cp311-cp311-manylinux_2_39_x86_64", False),  # its glibc is older
        ("cp312-cp312-manylinux_2_17_x86_64", False),
        ("cp311-cp311-manylinux2014_aarch64", False),
        ("cp311-cp311-musllinux_1_2_x86_64", False),
    ],
)
def test_wheels_for_a_kind(tag: str, fits: bool) -> None:
    assert (not DEBIAN.tags.isdisjoint(parse_tag(tag))) == fits


def test_musl_has_wheels_of_its_own() -> None:
    alpine = Kind("3.12", "aarch64", "musl 1.2")
    assert not alpine.tags.isdisjoint(parse_tag("cp312-cp312-musllinux_1_2_aarch64"))
    assert alpine.tags.isdisjoint(parse_tag("cp312-cp312-manylinux_2_17_aarch64"))


def test_an_unknown_libc_takes_pure_python_only() -> None:
    assert Kind("3.11", "x86_64", "").platforms == []


def test_a_wheel_gives_what_belongs_into_site_packages(tmp_path: Path) -> None:
    wheel = tmp_path / "mylab-1-py3-none-any.whl"
    info = "mylab-1.dist-info"
    files = {"mylab/__init__.py": "1", "mylab-1.data/platlib/mylab/x.so": "2", "mylab-1.data/scripts/run": "3"}
    record = "".join(f"{name},sha256=x,1\n" for name in (*files, f"{info}/METADATA"))
    with zipfile.ZipFile(wheel, "w") as opened:
        for name, text in {**files, f"{info}/METADATA": "m", f"{info}/RECORD": record}.items():
            opened.writestr(name, text)
    found = {entry.path: entry.form() for entry in wheels.entries(wheel, ())}
    assert found == {"mylab/__init__.py": b"1", "mylab/x.so": b"2", f"{info}/METADATA": b"m"}
    assert wheels.fetch([("mylab", "1")], DEBIAN, tmp_path, lambda _: None) == {"mylab": wheel}
