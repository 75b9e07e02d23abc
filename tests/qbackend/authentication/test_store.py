"""The pools on the disk: what is spent never comes back; both ends come to have the same."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from qkdbus.errors import BadFile, Refused
from qkdbus.presharing import LinkSecret, file_name
from qkdbus_qbackend.authkeys import FORGET_AFTER, LEVEL, LOW, MOST_IDS, WIPE_EVERY, AuthKeys, Entry
from qkdbus_qbackend.failure import NoKey


def new(number: int) -> Entry:
    return Entry(number.to_bytes(8, "big"), os.urandom(16))


def drained(keys: AuthKeys) -> list[Entry]:
    """Spend everything that is left."""
    return list(iter(lambda: keys.spend(keys.ids()), None))


def test_a_pool_begins_with_the_pads_that_were_shared_before(node: Any) -> None:
    keys = node.keys()
    assert keys.point == int.from_bytes(bytes.fromhex(node.shared.secret)[:8], "little")
    assert [entry.pad for entry in drained(keys)] == list(node.shared.pads)
    assert b"".join(node.shared.pads).hex() == node.shared.secret[16:]


def test_both_ends_give_an_entry_the_same_id(make_node: Callable[[str], Any]) -> None:
    assert make_node("one").keys().ids() == make_node("other").keys().ids()


def test_what_is_spent_is_gone_at_once_and_for_ever(node: Any) -> None:
    keys = node.keys()
    first = keys.ids()[0]
    entry = keys.spend([first])
    assert entry is not None and entry.id == first
    for again in (keys, node.keys()):
        assert first not in again.ids()
        assert again.spend([first]) is None


def test_the_oldest_entry_that_both_have_is_spent(node: Any) -> None:
    keys = node.keys()
    ids = keys.ids()
    entry = keys.spend([b"unknown!", ids[9], ids[4]])
    assert entry is not None and entry.id == ids[4]
    assert keys.spend([]) is None


def test_a_link_without_a_secret_is_refused_with_a_remedy(node: Any) -> None:
    node.secret.unlink()
    with pytest.raises(Refused, match=r"link-Bob\.psk.*`qkdbus deploy` makes one"):
        node.keys()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "00", "secret": "00"}', '{"name": 1, "secret": "zz"}'])
def test_a_secret_that_cannot_be_read_is_named(text: str, node: Any) -> None:
    node.secret.write_text(text)
    with pytest.raises(BadFile, match=r"link-Bob\.psk"):
        node.keys()


def test_a_store_that_was_lost_is_not_expanded_again(node: Any) -> None:
    """Its pads were used already: a second tag under one of them would give the hash point away."""
    node.keys()
    for file in node.path.parent.iterdir():
        file.unlink()
    with pytest.raises(Refused, match=r"remove certs/link-Bob\.psk"):
        node.keys()


def test_a_new_secret_replaces_all_that_came_of_the_old_one(node: Any) -> None:
    keys = node.keys()
    keys.settle([new(1)], keys.ids())
    other = LinkSecret.new()
    node.secret.write_text(other.text)
    assert [entry.pad for entry in drained(node.keys())] == list(other.pads)


def test_links_have_pools_of_their_own(node: Any) -> None:
    other = LinkSecret.new()
    (node.certs / file_name("Carol")).write_text(other.text)
    store = node.store()
    bob, carol = store.link("Bob"), store.link("Carol")
    drained(bob)
    assert [entry.pad for entry in drained(carol)] == list(other.pads)


def test_an_entry_is_added_once(node: Any) -> None:
    keys, entry = node.keys(), new(1)
    keys.settle([entry, new(2)], [])
    keys.settle([entry], [])
    assert keys.spend([entry.id]) == entry
    assert len(drained(keys)) == LEVEL + 1


def test_an_entry_that_the_other_end_is_without_is_dropped_after_a_minute(node: Any) -> None:
    keys = node.keys()
    lost, *there = keys.ids()
    keys.settle([], there)
    node.now += FORGET_AFTER - 1
    keys.settle([], there)
    assert lost in keys.ids()
    node.now += 1
    keys.settle([], there)
    assert keys.ids() == there


def test_an_entry_that_turns_up_at_the_other_end_after_all_is_kept(node: Any) -> None:
    keys = node.keys()
    late, *there = keys.ids()
    for known in (there, [late, *there], there):
        keys.settle([], known)
        node.now += FORGET_AFTER - 1
    assert late in keys.ids()


def test_nothing_is_concluded_from_a_list_that_may_have_been_cut(node: Any) -> None:
    keys = node.keys()
    for _ in range(2):
        keys.settle([], [number.to_bytes(8, "big") for number in range(MOST_IDS)])
        node.now += FORGET_AFTER
    assert len(keys.ids()) == LEVEL


@pytest.mark.parametrize(("left", "due"), [(LEVEL + 5, 0), (LEVEL, 0), (LEVEL - 1, 1), (LOW, 1), (LOW - 1, 2), (0, 2)])
def test_a_block_gives_what_the_pool_lacks(left: int, due: int, node: Any) -> None:
    assert node.keys().due(left) == due


def test_the_files_are_the_owners_alone(node: Any) -> None:
    node.keys().spend(node.keys().ids())
    made = [*node.path.parent.iterdir(), node.certs / "link-Bob.used"]
    assert len(made) == 4
    assert {oct(file.stat().st_mode & 0o777) for file in made} == {"0o600"}


def test_spent_pads_are_wiped_from_the_disk(node: Any) -> None:
    keys = node.keys()
    assert node.shared.pads[0] in node.raw()
    for _ in range(WIPE_EVERY):
        keys.spend(keys.ids())
    assert node.shared.pads[0] not in node.raw()
    assert node.shared.pads[-1] in node.raw()


def test_no_repr_shows_a_secret(node: Any) -> None:
    keys = node.keys()
    shown = f"{keys!r} {keys.spend(keys.ids())!r} {node.shared!r}"
    assert (
        str(keys.point) not in shown
        and node.shared.pads[0].hex() not in shown
        and repr(node.shared.pads[0]) not in shown
    )


def test_a_damaged_file_ends_an_exchange_not_the_worker(node: Any) -> None:
    node.path.parent.mkdir()
    node.path.write_bytes(b"nonsense" * 1000)
    with pytest.raises(NoKey, match="authentication keys: "):
        node.keys()
