"""Each planted fault is caught by the check that is about it; and by that check for that reason."""

from __future__ import annotations

from typing import Any

import pytest

from qkdbus.conformance import waiting

SILENCE = ("no answer", "did not come about")
PLANTED = [
    ("keysync", ["keysync_twice.py"], "no-bits-are-used-twice", "bits of another"),
    ("keysync", ["keysync_differs.py"], "chunks-are-equal-at-both-ends", "has two"),
    ("keysync", ["keysync_forgets.py"], "agreed-chunks-survive-kill-9", "fewer"),
    ("keysync", ["keysync_overfills.py"], "a-slow-reader-bounds-the-stream", ""),
    ("keymanager", ["keymanager_newest.py"], "keys-come-in-order", "[7, 6, 5"),
    ("keymanager", ["keymanager_forgets.py"], "delivered-keys-stay-delivered", "again at Alice"),
    ("keymanager", ["keymanager_open_to_all.py"], "applications-are-kept-apart", "OK"),
    ("dispatcher", ["dispatcher_loses.py"], "the-job-of-a-dead-worker-is-answered", "no answer"),
    ("dispatcher", ["dispatcher_blind.py"], "a-dead-worker-gets-no-job", "did not come about"),
    ("qbackend", ["qbackend_differs.py"], "both-ends-give-the-same-block", "different bits"),
    ("qbackend", ["qbackend_repeats.py"], "every-exchange-is-new", "bits of another"),
    ("qbackend", ["qbackend_deaf.py"], "an-eavesdropper-is-noticed", "none;"),
    ("emulator", ["emulator_uncorrelated.py"], "outcomes-are-correlated-as-they-must-be", "differ"),
    ("dispatcher", ["bus.py", "dies"], "malformed-frames-do-no-harm", "exit code 3"),
    ("dispatcher", ["bus.py", "forgets"], "a-repeated-call-gets-the-same-answer", "another answer"),
    ("dispatcher", ["bus.py", "obliging"], "an-unknown-method-is-refused", "OK"),
    ("dispatcher", ["bus.py", "short-numbers"], "answers-carry-the-number", "no answer"),
    ("dispatcher", ["bus.py", "any-version"], "another-version-is-not-served", "as if the version were right"),
    ("dispatcher", ["bus.py", "tells"], "describe-keeps-secrets", "a secret of node.json"),
    ("dispatcher", ["bus.py", "open-files"], "its-files-are-private", "state/notes is open"),
]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("layer", "faulty", "check", "came"), PLANTED, ids=[" ".join(each[1]) for each in PLANTED])
async def test_a_planted_fault_is_caught(
    conform: Any, layer: str, faulty: list[str], check: str, came: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if came in SILENCE:
        monkeypatch.setattr(waiting, "WITHIN", 15.0)  # so that nobody waits for long for what never comes
    results = await conform(layer, *faulty, only=[check])
    assert set(results) == {check}, results
    assert results[check].verdict == "broken", results
    assert came in results[check].came
