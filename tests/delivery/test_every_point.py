"""The crash points of the agreement, section 7, all of them, and where each is walked.

Beyond these, the explorers kill at any step (test_exploration.py here and in tests/keysync/exploring).
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
KEYSYNC, DELIVERY = "keysync/exploring/test_crash_points.py", "delivery/test_points.py"
KEYMANAGER = "keymanager/test_crashes.py"

# The point, what it lies between, and the tests: file, name; where a list of points is walked, the point is in it.
WALKED: dict[str, tuple[str, list[tuple[str, str]]]] = {
    "A1": ("job row PREPARED | `prepare` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A2": ("`prepare` sent | own block in hand", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A3": ("block in hand | block stored", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A4": (
        "block stored | `formed` received",
        [
            (KEYSYNC, "test_both_ends_settle_after_a_kill"),
            (KEYSYNC, "test_a4_a_block_that_waits_asks_the_follower_once_more"),
        ],
    ),
    "A5": ("`formed` received | decision stored", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A6": ("decision stored | `commit` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A7": ("`commit` sent | `ack` received", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A8": ("`ack` received | acked stored", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A9": ("acked stored | `take` answered", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A10": ("epoch stored | `begin` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A11": ("fid pinned | first `prepare`", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A12": ("OPEN stored | `commit`", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "A13": ("`open` row deleted | CLOSE(a) stored", [(KEYSYNC, "test_a_close_is_derived_from_the_missing_row")]),
    "F1": ("`prepare` received | block in hand", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F2": (
        "block in hand | stored",
        [
            (KEYSYNC, "test_both_ends_settle_after_a_kill"),
            (KEYSYNC, "test_f2_a_block_whose_partner_died_is_given_up_when_asked_again"),
        ],
    ),
    "F3": ("stored | `formed` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F4": ("`formed` sent | `commit` received", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F5": ("`commit` received | applied stored", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F6": ("applied stored | `ack` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F7": ("`drop` received | wiped", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F8": ("`begin` received | epoch stored", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F9": ("epoch + fid stored | `ack` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F10": ("`open` row stored | `open_request` sent", [(KEYSYNC, "test_both_ends_settle_after_a_kill")]),
    "F11": ("`open` row deleted | `close_request` sent", [(KEYSYNC, "test_a_close_is_derived_from_the_missing_row")]),
    "M1": (
        "assoc NEW | `open_stream` sent",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYMANAGER, "test_m1_killed_before_open_stream_was_sent"),
        ],
    ),
    "M2": (
        "keysync stored `open` | keymanager stored OPEN",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYMANAGER, "test_m2_killed_before_the_answer_of_open_stream_was_stored"),
        ],
    ),
    "M3": (
        "`take` answered | key delivered",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYMANAGER, "test_m3_killed_between_take_and_delivery"),
        ],
    ),
    "M4": (
        "cursor stored | answer sent",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (DELIVERY, "test_m4_the_repeated_call_is_given_the_same_key"),
            (KEYMANAGER, "test_m4_killed_after_the_cursor_was_stored"),
            (KEYMANAGER, "test_m4_killed_before_the_cursor_was_stored"),
        ],
    ),
    "M5": (
        "answered | acknowledging `take`",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (DELIVERY, "test_m5_the_last_key_of_a_caller_stays_at_keysync_until_its_next_call"),
            (KEYMANAGER, "test_m5_killed_before_the_acknowledging_take"),
        ],
    ),
    "K1": (
        "`take` received | wiped",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYSYNC, "test_both_ends_settle_after_a_kill"),
        ],
    ),
    "K2": (
        "wiped | answered",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYSYNC, "test_both_ends_settle_after_a_kill"),
        ],
    ),
    "M6": (
        "CLOSING stored | `close_stream`",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYMANAGER, "test_m6_killed_before_close_stream_was_sent"),
        ],
    ),
    "M7": (
        "keysync closed | tombstone stored",
        [
            (DELIVERY, "test_every_key_is_given_once_whoever_is_killed"),
            (KEYMANAGER, "test_m7_killed_before_the_tombstone_was_stored"),
        ],
    ),
    "T1": (
        "keysync expired | keymanager expired",
        [
            (DELIVERY, "test_t1_what_has_expired_is_given_to_nobody_any_more"),
            (KEYSYNC, "test_t1_what_has_expired_at_one_end_is_not_served_there"),
        ],
    ),
    "X1": (
        "state file of A, of F, of a keymanager removed while stopped",
        [
            (KEYSYNC, "test_x1_a_lost_store_begins_a_new_epoch"),
            (DELIVERY, "test_x1_what_a_lost_store_had_opened_is_closed"),
            (KEYMANAGER, "test_x1_what_an_earlier_store_had_opened_is_closed"),
        ],
    ),
    "X2": (
        "state file of A or F put back to an older copy",
        [(KEYSYNC, "test_x2_a_store_put_back_is_noticed")],
    ),
}
LISTED = {"test_both_ends_settle_after_a_kill", "test_every_key_is_given_once_whoever_is_killed"}


def points(file: str) -> set[str]:
    """Return the names in the list POINTS of a file."""
    for node in ast.parse((TESTS / file).read_text()).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "POINTS":
            assert isinstance(node.value, ast.List)
            return {row.elts[0].value for row in node.value.elts}  # type: ignore[attr-defined]
    return set()


def functions_in(file: str) -> set[str]:
    found = ast.walk(ast.parse((TESTS / file).read_text()))
    return {node.name for node in found if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pytest.mark.parametrize("point", WALKED)
def test_a_point_is_walked_where_the_table_says(point: str) -> None:
    for file, name in WALKED[point][1]:
        assert name in functions_in(file)
        assert name not in LISTED or point in points(file)


def test_no_point_is_left_out() -> None:
    """Section 7 has A1-A13, F1-F11, M1-M7, K1, K2, T1, X1, X2; and no list walks one that the table does not know."""
    numbered = {"A": 13, "F": 11, "M": 7, "K": 2, "T": 1, "X": 2}
    assert set(WALKED) == {f"{kind}{n}" for kind, last in numbered.items() for n in range(1, last + 1)}
    assert (points(KEYSYNC) | points(DELIVERY)) <= set(WALKED)
