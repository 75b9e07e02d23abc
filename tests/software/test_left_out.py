"""Which files of a distribution a host gets."""

from __future__ import annotations

import pytest

from qkdbus_deploy.software.left_out import goes


@pytest.mark.parametrize(
    "path",
    [
        "twisted/spread/pb.py",
        "numpy/testing/__init__.py",  # networkx imports it
        "numpy.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so",
        "scipy/linalg/_flapack.cpython-311-x86_64-linux-gnu.so",
        "click-8.5.1.dist-info/METADATA",
        "mylab-1.dist-info/entry_points.txt",
        "typing_extensions.py",
    ],
)
def test_what_runs_goes(path: str) -> None:
    assert goes(path, ["simulaqron"])


@pytest.mark.parametrize(
    "path",
    [
        "../../../bin/twist",
        "numpy/core/include/numpy/ndarraytypes.h",
        "numpy/core/lib/libnpymath.a",
        "numpy/random/_generator.pyi",
        "networkx/classes/tests/test_graph.py",
        "twisted/test/test_pb.py",
        "twisted/conch/ssh/keys.py",
        "scipy/stats/_stats_py.py",
        "click-8.5.1.dist-info/RECORD",
        "click/__pycache__/core.cpython-311.pyc",
        "dataclasses.py",  # a backport, which would hide the real one
    ],
)
def test_what_does_not_run_stays(path: str) -> None:
    assert not goes(path, ["simulaqron"])


def test_an_engine_that_uses_much_of_scipy_gets_all_of_it() -> None:
    assert goes("scipy/integrate/_ode.py", ["simulaqron", "qutip"])
    assert not goes("scipy/integrate/tests/test_quad.py", ["simulaqron", "qutip"])
