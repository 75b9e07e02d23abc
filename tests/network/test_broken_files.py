"""Every broken network file gets its message: file, line, field, what is wrong, what would be right."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from qkdbus.errors import BadFile
from qkdbus.network.load import load

Refusal = Callable[[str | bytes], list[str]]

GOOD = """\
qkdbus_version: 1
config:
  application_interface: etsi-gs-qkd-004
  qkd_protocol: e91-same-bases
nodes:
  - node_name: Alice
    node_ip: 10.0.0.1
    neighbour_nodes: [Bob]
  - node_name: Bob
    node_ip: 10.0.0.2
    neighbour_nodes: [Alice, Charlie]
  - node_name: Charlie
    neighbour_nodes: [Bob]
link_defaults:
  jobs: 2
links:
  - between: [Alice, Bob]
    qber_abort: 0.1
buffers:
  window_bytes: 4096
layers:
  qbackend: {replicas: 2}
security:
  strict_status: true
"""

# what is written in place of what -> line:column, field, and words that the message must have
CASES = {
    "unknown field": ("config:", "confg: 1\nconfig:", "2:1: confg", ["no such field", 'did you mean "config"']),
    "unknown field of a node": ("node_ip: 10.0.0.1", "node_pi: 10.0.0.1", "7:5: nodes[0].node_pi", ['"node_ip"']),
    "unknown field of a link": ("qber_abort: 0.1", "qber: 0.1", "18:5: links[0].qber", ['"qber_abort"']),
    "unknown layer": ("qbackend:", "qbakend:", "22:3: layers.qbakend", ['did you mean "qbackend"']),
    "missing name": ("- node_name: Charlie\n    n", "- n", "12:5: nodes[2]", ["`node_name` is missing"]),
    "missing neighbour": ("[Alice, Charlie]", "[Alice, Charly]", "11:30: nodes[1].neighbour_nodes[1]", ['"Charlie"']),
    "one-sided neighbour": (
        "[Alice, Charlie]",
        "[Alice]",
        "13:23: nodes[2].neighbour_nodes[0]",
        ["Charlie names Bob, and Bob (line 11) does not name Charlie", "add `- Charlie` to the neighbours of Bob"],
    ),
    "own neighbour": ("[Bob]\nlink", "[Bob, Charlie]\nlink", "13:28: nodes[2].neighbour_nodes[1]", ["names itself"]),
    "neighbour twice": ("[Bob]\nlink", "[Bob, Bob]\nlink", "13:28: nodes[2].neighbour_nodes[1]", ["Bob twice"]),
    "neighbours not a list": (
        "neighbour_nodes: [Bob]\nlink",
        "neighbour_nodes: Bob\nlink",
        "13:22: nodes[2].neighbour_nodes",
        ["should be a list", 'the text "Bob"'],
    ),
    "number below its limit": ("jobs: 2", "jobs: 0", "15:9: link_defaults.jobs", ["at least 1", "is 0"]),
    "number above its limit": ("abort: 0.1", "abort: 0.9", "18:17: links[0].qber_abort", ["at most 0.5", "is 0.9"]),
    "not a whole number": ("jobs: 2", "jobs: 1.5", "15:9: link_defaults.jobs", ["should be a whole number", "1.5"]),
    "not a number": ("jobs: 2", "jobs: many", "15:9: link_defaults.jobs", ["should be a whole number", '"many"']),
    "number in quotes": ("jobs: 2", "jobs: '2'", "15:9: link_defaults.jobs", ["should be a whole number"]),
    "infinite number": ("abort: 0.1", "abort: 1e999", "18:17: links[0].qber_abort", ["should be a number"]),
    "number as a name": ("node_name: Charlie", "node_name: 7", "12:16: nodes[2].node_name", ["should be text"]),
    "true as a number": ("jobs: 2", "jobs: true", "15:9: link_defaults.jobs", ["a whole number, and is true"]),
    "yes for true": ("status: true", "status: yes", "24:18: security.strict_status", ['and is the text "yes"']),
    "a bad name": ("node_name: Alice", 'node_name: "Al ice"', "6:16: nodes[0].node_name", ["cannot be a name"]),
    "a name with a way out": ("node_name: Alice", "node_name: ../x", "6:16: nodes[0].node_name", ["cannot be a name"]),
    "a name like a file": ("qkdbus_version: 1", "name: a.json", "1:7: name", ["looks like the name of a file"]),
    "a bad address": ("10.0.0.2", "10.0.0.256", "10:14: nodes[1].node_ip", ["neither an IP address nor a host name"]),
    "an unknown interface": ("004", "014", "3:26: config.application_interface", ['"etsi-gs-qkd-004"']),
    "an unknown protocol": ("e91-same-bases", "bbm91", "4:17: config.qkd_protocol", ['"bbm92"']),
    "another version": ("version: 1", "version: 2", "1:17: qkdbus_version", ["reads version 1", "this is 2"]),
    "two versions": ("config:", "qmts_version: 1\nconfig:", "2:1: qmts_version", ["`qkdbus_version` as well"]),
    "link between strangers": ("[Alice, Bob]", "[Alice, Charlie]", "17:14: links[0].between", ["are not neighbours"]),
    "link to nobody": ("[Alice, Bob]", "[Alice, Rob]", "17:22: links[0].between[1]", ['no node "Rob"', '"Bob"']),
    "link to itself": ("[Alice, Bob]", "[Alice, Alice]", "17:14: links[0].between", ["two ends"]),
    "link with one end": ("[Alice, Bob]", "[Alice]", "17:14: links[0].between", ["should name two nodes"]),
    "link with three ends": ("[Alice, Bob]", "[Alice, Bob, Charlie]", "17:14: links[0].between", ["has 3"]),
    "link without ends": ("between: [Alice, Bob]\n    q", "q", "17:5: links[0]", ["`between` is missing"]),
    "link twice": ("buffers:", "  - between: [Bob, Alice]\nbuffers:", "19:14: links[1].between", ["line 17 already"]),
    "too small a window": ("4096", "64\n  default_chunk_bytes: 33", "20:17: buffers.window_bytes", ["66 or more"]),
    "too much noise": ("jobs: 2", "noise: {x: 0.6, z: 0.5}", "15:10: link_defaults.noise", ["at most 1 together"]),
    "block for a value": ("jobs: 2", "jobs: {a: 1}", "15:9: link_defaults.jobs", ["and is a block of fields"]),
    "value for a block": ("\n  strict_status: true", " on", "23:11: security", ["a block of fields", 'text "on"']),
    "capacity elsewhere": ("qbackend: {replicas", "keysync: {capacity", "22:23: layers.keysync.capacity", ["qbackend"]),
    "replicas of another layer": ("qbackend:", "keysync:", "22:23: layers.keysync.replicas", ["only qbackend"]),
    "a command cut short": ("replicas: 2", "run: \"a 'b\"", "22:19: layers.qbackend.run", ["cannot be read"]),
    "a command of two lines": ("replicas: 2", 'run: "a\\nb"', "22:19: layers.qbackend.run", ["one line"]),
    "a command with a comment": ("replicas: 2", "run: \"a 'b ;c'\"", "22:19: layers.qbackend.run", ["into a script"]),
    "field twice": ("security:", "buffers: {}\nsecurity:", "19:1: buffers", ["written again in line 23"]),
    "a tag": ("jobs: 2", "jobs: !!python/object/apply:os.system [ls]", "15:9: link_defaults.jobs", ["leave it out"]),
    "a merge of no block": ("jobs: 2", "<<: 2", "15:7: link_defaults.<<", ["brings a block of fields in"]),
}  # fmt: skip


def test_the_file_that_the_cases_break_is_good(write: Callable[[str], Path]) -> None:
    assert load(write(GOOD)).names == ("Alice", "Bob", "Charlie")


@pytest.mark.parametrize("case", CASES)
def test_a_fault_is_named_with_its_line_field_and_remedy(case: str, refusal: Refusal) -> None:
    before, after, place, words = CASES[case]
    assert before in GOOD
    said = refusal(GOOD.replace(before, after, 1))
    assert said[0].startswith(f"city.yaml:{place}: ")
    assert len(said) == 1
    for word in words:
        assert word in said[0]


def test_a_name_used_twice_names_both_lines(refusal: Refusal) -> None:
    said = refusal(GOOD.replace("node_name: Charlie", "node_name: Bob"))
    assert 'city.yaml:12:16: nodes[2].node_name: "Bob" is the name of a node in line 9 already; rename one' in said


def test_names_that_differ_in_case_only_are_refused(refusal: Refusal) -> None:
    said = refusal(GOOD.replace("Charlie", "bob"))
    assert said == [
        'city.yaml:12:16: nodes[2].node_name: "bob" and "Bob" (line 9) differ only in case, '
        "and each names a folder; rename one"
    ]


@pytest.mark.parametrize("name", ["client.json", "Clients", "node.YAML"])
def test_a_node_cannot_take_the_place_of_what_stands_beside_its_folder(name: str, refusal: Refusal) -> None:
    [said] = refusal(f"nodes:\n  - node_name: {name}\n")
    assert said.startswith(f'city.yaml:2:16: nodes[0].node_name: "{name}" ')
    assert "choose another" in said


def test_all_problems_are_told_at_once_in_the_order_of_the_file(refusal: Refusal) -> None:
    text = GOOD.replace("jobs: 2", "jobs: 0").replace("[Alice, Charlie]", "[Alice]").replace("config:", "confg:")
    said = refusal(text)
    assert [line.split(":")[1] for line in said] == ["2", "13", "15"]


def test_no_more_than_twenty_problems_are_listed(refusal: Refusal) -> None:
    said = refusal(GOOD + "".join(f"field_{number}: 1\n" for number in range(30)))
    assert len(said) == 21
    assert said[-1] == "... and 10 more"


WHOLE = {
    "empty": (b"", "city.yaml:1: the file is empty; `qkdbus init FILE` writes one"),
    "comments only": (b"# nothing\n", "city.yaml:1: the file is empty"),
    "not YAML": (b"nodes: [\nname: 1\n", "city.yaml:3:1: not YAML: "),
    "never closed": (b"nodes: [a\n", "city.yaml:2:1: not YAML: "),
    "tabs": (b"nodes:\n\t- node_name: A\n", "city.yaml:2:1: not YAML: "),
    "a list": (b"# a\n- b\n", "city.yaml:2: a network file is a block of fields"),
    "a text": (b"hello", "city.yaml:1: a network file is a block of fields"),
    "no nodes": (b"name: x\n", "city.yaml:1:1: `nodes` is missing"),
    "an empty list of nodes": (b"name: x\nnodes: []\n", "city.yaml:2:8: nodes: should have at least 1 entry"),
    "two documents": (b"name: x\n---\nname: y\n", "city.yaml:2:1: not YAML: expected a single document"),
    "Latin-1": ("name: x\nnodes: é".encode("latin-1"), "city.yaml:2: not text in UTF-8"),
    "binary": (bytes(range(256)), "city.yaml:2: not text in UTF-8"),
    "a NUL": (b"name: x\nnodes: \0", "city.yaml:2:8: not YAML: "),
    "an unknown alias": (b"name: x\nnodes: *who\n", "city.yaml:2:8: not YAML: "),
    "an alias of itself": (b"nodes: &a [*a]\n", "city.yaml:1:8: nodes: aliases"),
    "deep brackets": (b"nodes: " + b"[" * 300_000, "city.yaml:1: nested more than 32 deep"),
    "deep blocks": (b"\n".join(b" " * n + b"a:" for n in range(60)), "city.yaml:33: nested more than 32 deep"),
    "too many values": (b"nodes: [" + b"1," * 250_000 + b"]", "city.yaml:1: more than 200000 values"),
    "too large": (b"#" * (5 << 20), "city.yaml: larger than 4 MiB"),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_is_no_network_file_at_all_gets_one_line(case: str, refusal: Refusal) -> None:
    octets, begins = WHOLE[case]
    [said] = refusal(octets)
    assert said.startswith(begins)


def test_aliases_that_unfold_to_billions_are_refused_at_once(refusal: Refusal) -> None:
    rows = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    rows += [f"a{n}: &a{n} [" + ", ".join([f"*a{n - 1}"] * 10) + "]" for n in range(1, 12)]
    [said] = refusal("\n".join(rows))
    assert "unfold to far too much" in said


def test_tabs_are_named_as_the_cause(refusal: Refusal) -> None:
    assert refusal("nodes:\n\t- node_name: A\n")[0].endswith("indent with spaces, not with tabs")


def test_a_missing_file_a_folder_and_an_unreadable_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"none\.yaml: there is no such file; `qkdbus init FILE` writes one"):
        load(tmp_path / "none.yaml")
    with pytest.raises(BadFile, match="this is a folder"):
        load(tmp_path)
    (tmp_path / "city.yaml").write_text(GOOD)
    with pytest.raises(BadFile, match="cannot be read: Not a directory"):
        load(tmp_path / "city.yaml" / "x")
    with pytest.raises(BadFile, match="not a file name"):
        load("a\0b")


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(BadFile, match="larger than 4 MiB"):
        load("/dev/zero")


@pytest.mark.skipif(os.getuid() == 0, reason="root reads every file")
def test_a_file_of_somebody_else_is_refused(write: Callable[[str], Path]) -> None:
    file = write(GOOD)
    file.chmod(0)
    with pytest.raises(BadFile, match="Permission denied"):
        load(file)


def test_what_a_file_holds_cannot_write_to_the_terminal(refusal: Refusal) -> None:
    text = GOOD.replace("[Alice, Charlie]", r'[Alice, Charlie, "\e[2J"]').replace("10.0.0.2", r'"\e[3J"')
    said = refusal(text + '"\\e]0;x": 1\n')
    assert len(said) == 3
    assert all(line.isprintable() for line in said)
