"""What `qkdbus status` shows of workers, and of jobs that wait for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from qkdbus.errors import Silent
from qkdbus.wire.dispatcher_pb2 import LinkJobs, WorkerInfo, Workers
from qkdbus_deploy import parcel
from qkdbus_deploy.cli import status as module
from qkdbus_deploy.status import NetworkStatus
from qkdbus_deploy.workers import jobs, workers


def network(**nodes: Workers) -> NetworkStatus:
    found = [one for node, said in nodes.items() for one in workers(node, said)]
    return NetworkStatus(
        "net",
        1,
        (),
        (),
        (),
        workers=tuple(found),
        jobs=tuple(one for node, said in nodes.items() for one in jobs(node, said)),
    )


def table(capsys: pytest.CaptureFixture[str], status: NetworkStatus) -> list[str]:
    module._tell_workers(status)
    return [line for line in capsys.readouterr().out.splitlines() if line]


def test_several_workers_are_shown_with_what_they_have_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    said = Workers(
        workers=[
            WorkerInfo(worker=0, state="ready", running=2, reserved=1, capacity=8, done=70, failed=3),
            WorkerInfo(worker=1, state="ready", capacity=8, slow=4, last_choice=True),
            WorkerInfo(worker=2, state="silent", capacity=8, lost=5),
        ],
        links=[LinkJobs(peer="Bob", running=2, waiting=3, priority=7, longest=1.25, done=73, lost=5, seconds=0.5)],
    )
    headings, *rows, jobs_headings, row = table(capsys, network(Alice=said))
    assert headings.split() == [
        "workers",
        "of",
        "no.",
        "state",
        "running",
        "promised",
        "at",
        "most",
        "done",
        "failed",
        "lost",
        "slow",
    ]
    assert rows[0].split() == ["Alice", "0", "ready", "2", "1", "8", "70", "3", "0", "0"]
    assert "asked last" in rows[1]
    assert rows[2].split() == ["Alice", "2", "silent", "0", "0", "8", "0", "0", "5", "0"]
    assert jobs_headings.split()[:4] == ["jobs", "at", "link", "to"]
    assert row.split() == ["Alice", "Bob", "2", "3", "7", "1.2", "s", "73", "5", "0.50"]


def test_nothing_is_shown_where_there_is_nothing_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    said = Workers(workers=[WorkerInfo(state="ready")], links=[LinkJobs(peer="Bob", running=1, done=9)])
    assert table(capsys, network(Alice=said, Bob=said)) == []


def test_jobs_that_wait_are_shown_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    said = Workers(workers=[WorkerInfo(state="ready")], links=[LinkJobs(peer="Bob", waiting=1)])
    assert len(table(capsys, network(Alice=said))) == 2


@pytest.mark.parametrize("said", [None, Silent("nobody"), "nonsense"])
def test_a_dispatcher_that_says_nothing_has_none(said: Any) -> None:
    assert workers("Alice", said) == []
    assert jobs("Alice", said) == []


def test_it_travels_from_a_host_and_one_without_it_is_understood() -> None:
    status = network(Alice=Workers(workers=[WorkerInfo(worker=1, state="ready")], links=[LinkJobs(peer="Bob", done=1)]))
    assert parcel.status(parcel.plain(status)) == status
    plain = json.loads(json.dumps(parcel.plain(status)))
    del plain["workers"], plain["jobs"]
    assert parcel.status(plain).workers == ()
