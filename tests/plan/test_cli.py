"""The command's root, `init`, `validate` and `plan`, as a user meets them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from qkdbus.errors import BadFile, Failed, Refused, Silent, Unavailable
from qkdbus.network.addresses import allocate
from qkdbus.network.load import load
from qkdbus_deploy.certs import gather
from qkdbus_deploy.cli import COMMANDS, main
from qkdbus_deploy.plan import Place, Target, plan

EXAMPLES = Path(__file__).parents[2] / "examples"
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `qkdbus` in an empty folder that is also its home."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QKDBUS_HOME", str(tmp_path / "home"))
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words], prog_name="qkdbus")


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Put a sub-command in the place of `bench` that ends with an exception."""

    def raises(error: BaseException) -> None:
        @click.command()
        def command() -> None:
            raise error

        module = types.ModuleType("qkdbus_deploy.cli.bench")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "qkdbus_deploy.cli.bench", module)

    return raises


def test_help_lists_every_command_and_imports_none(run: Run) -> None:
    said = run("--help")
    assert said.exit_code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in said.output] == []
    code = "import sys; from qkdbus_deploy.cli import main; main(['--help'], standalone_mode=False); "
    code += "print(sorted({'zmq', 'pydantic', 'yaml', 'google', 'supervisor', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1] == "[]"


def test_validate_does_not_wait_for_what_it_does_not_need() -> None:
    code = "import sys; from qkdbus_deploy.cli import main; main(['validate', sys.argv[1]], standalone_mode=False); "
    code += "print(sorted({'zmq', 'google', 'supervisor', 'numpy'} & set(sys.modules)))"
    words = [sys.executable, "-c", code, str(EXAMPLES / "three-sites.yaml")]
    assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadFile("city.yaml:3: so"), 2),
        (Refused("so"), 2),
        (Failed("so"), 1),
        (Silent("so"), 1),
        (Unavailable("so"), 1),
        (ValueError("so"), 1),
        (OSError(13, "so", "file"), 1),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException, code: int, run: Run, command_that: Callable[[BaseException], None]
) -> None:
    command_that(error)
    said = run("bench")
    assert said.exit_code == code
    assert said.stdout == ""
    [line] = said.stderr.splitlines()
    assert line.startswith("qkdbus: ")
    assert "so" in line or code == 130


def test_debug_shows_the_traceback(run: Run, command_that: Callable[[BaseException], None]) -> None:
    command_that(Failed("so"))
    assert isinstance(run("--debug", "bench").exception, Failed)


@pytest.mark.parametrize("words", [["nosuch"], ["validate"], ["plan", "a", "b", "c"], ["init", "--nosuch"], ["--home"]])
def test_a_wrong_command_line_is_exit_two_without_a_traceback(words: list[str], run: Run) -> None:
    said = run(*words)
    assert said.exit_code == 2
    assert "Traceback" not in said.output
    assert "Error: " in said.stderr


def test_init_writes_a_file_that_validates_and_is_the_example(run: Run, tmp_path: Path) -> None:
    assert run("init").exit_code == 0
    written = tmp_path / "three-sites.yaml"
    assert written.read_bytes() == (EXAMPLES / "three-sites.yaml").read_bytes()
    assert run("validate", written).exit_code == 0


def test_what_init_comments_out_is_the_default(tmp_path: Path) -> None:
    text = (EXAMPLES / "three-sites.yaml").read_text()
    first = text.index("# How keys are formed, on every link")
    shown = [line for line in text[first:].splitlines() if "mylab" not in line]
    live = "\n".join(_uncommented(line) for line in shown).replace("    noise: {x: 0.02}", "    noise: {}")
    file = tmp_path / "three-sites.yaml"
    file.write_text(text[:first] + live)
    said, default = load(file), load(EXAMPLES / "three-sites.yaml")
    for field in ("link_defaults", "buffers", "security", "durability", "log_level"):
        assert getattr(said, field) == getattr(default, field), field
        assert field in said.model_fields_set
    empty = {"protocol", "engine", "security"}  # what they are when left out depends on other fields
    assert said.link_defaults.model_fields_set | empty == set(type(said.link_defaults).model_fields)
    assert said.buffers.model_fields_set == set(type(said.buffers).model_fields)


def _uncommented(line: str) -> str:
    """Return a line of the file with the `# ` gone where a field is commented out (prose begins with a capital)."""
    bare = line.removeprefix("# ")
    return bare if line.startswith("# ") and not bare[0].isupper() else ""


def test_init_does_not_overwrite_unless_told(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("precious")
    said = run("init", file)
    assert said.exit_code == 2
    assert "is there already; name another file, or overwrite it with --force" in said.stderr
    assert file.read_text() == "precious"
    assert run("init", file, "--force").exit_code == 0
    assert load(file).name == "mine"


@pytest.mark.parametrize(("file", "words"), [("no/such.yaml", "there is no folder no"), (".", "directory")])
def test_init_says_why_it_cannot_write(file: str, words: str, run: Run) -> None:
    said = run("init", file, "--force")
    assert said.exit_code == 2
    assert words in said.stderr


def test_validate_tells_what_the_file_describes(run: Run) -> None:
    said = run("validate", EXAMPLES / "paper-figure-6.yaml")
    assert said.exit_code == 0
    assert "paper-figure-6: 3 nodes, 2 links" in said.stdout
    assert "Bob - Charlie  e91-same-bases" in said.stdout
    assert "note: `e91` in a `qmts_version` file means `e91-same-bases`" in said.stderr


def test_validate_answers_in_json(run: Run) -> None:
    found = json.loads(run("validate", EXAMPLES / "ring-8.yaml", "--json").stdout)
    assert [len(found["nodes"]), len(found["links"]), found["notices"]] == [8, 8, []]
    assert found["links"][0] | {"between": ["Anna", "Bert"], "protocol": "bbm92"} == found["links"][0]


def test_validate_tells_what_the_formulas_give_for_photonic_links(run: Run) -> None:
    said = run("validate", EXAMPLES / "photonic.yaml").stdout
    [line] = [line for line in said.splitlines() if "yuan-2018" in line and "Alice - Bob" in line]
    assert re.search(r"5  real time  3\.03%  6\.\d+ Mb/s  +4\.\d+ Mb/s", line)
    assert re.search("Not published of yuan-2018: .*assumed: intensities.*; fitted: efficiency", said)


def test_validate_answers_for_photonic_links_in_json(run: Run) -> None:
    links = json.loads(run("validate", EXAMPLES / "photonic.yaml", "--json").stdout)["links"]
    first, _, last = (link["theory"] for link in links)
    assert first["preset"] == "yuan-2018" and first["loss_db"] == 5 and first["speed"] == 1
    assert 0 < first["finite_hz"] < first["secret_hz"] < first["sifted_hz"] < first["setup"]["rate_hz"]
    assert first["assumed"]["efficiency"] == "fitted" and "s" not in first
    assert last["s"] == pytest.approx(2.716, abs=0.01)
    plain = json.loads(run("validate", EXAMPLES / "ring-8.yaml", "--json").stdout)["links"]
    assert all(link["theory"] is None for link in plain)


def test_validate_lists_the_presets_with_sources_and_what_is_assumed(run: Run) -> None:
    said = run("validate", "--presets").stdout
    assert "Gobby, Yuan, Shields, Appl. Phys. Lett. 84, 3762 (2004)" in said
    listed = json.loads(run("validate", "--presets", "--json").stdout)
    assert len(listed) == 8
    for preset in listed:
        assert preset["name"] in said and preset["source"] in said
        assert preset["secret_hz"] > 0 and preset["assumed"] and preset["reported"]


@pytest.mark.parametrize("command", ["validate", "plan"])
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_broken_file_is_exit_two_with_its_line(command: str, json_flag: list[str], run: Run, tmp_path: Path) -> None:
    (tmp_path / "city.yaml").write_text("nodes:\n  - node_name: A\n    colour: red\n")
    said = run(command, "city.yaml", *json_flag)
    assert (said.exit_code, said.stdout) == (2, "")
    assert said.stderr.startswith("qkdbus: city.yaml:3:5: nodes[0].colour: no such field")
    assert run(command, "nowhere.yaml", *json_flag).exit_code == 2


def test_plan_shows_programs_ports_roles_and_files(run: Run, tmp_path: Path) -> None:
    said = run("plan", EXAMPLES / "three-sites.yaml").stdout
    assert "programs  keymanager, keysync, dispatcher, qbackend_0, emulator" in said
    assert "applications 20000, keymanager 20001, keysync 20002, qbackend 20003, emulator 20004" in said
    assert "link      Alice: follower, e91-same-bases over simulaqron" in said
    assert str(tmp_path / "home" / "three-sites" / "client.json") in said


def test_plan_touches_nothing_and_says_the_same_again(run: Run, tmp_path: Path) -> None:
    first = run("plan", EXAMPLES / "three-sites.yaml", "--json").stdout
    assert run("plan", EXAMPLES / "three-sites.yaml", "--json").stdout == first
    assert list(tmp_path.iterdir()) == []
    assert [node["name"] for node in json.loads(first)["nodes"]] == ["Alice", "Bob", "Charlie"]


@pytest.mark.parametrize("flag", ["--json", "--files"])
def test_plan_of_a_deployed_network_shows_its_ports_and_no_secret(flag: str, run: Run, tmp_path: Path) -> None:
    network, home = load(EXAMPLES / "three-sites.yaml"), tmp_path / "home"
    certs = gather(network, home / network.name)
    ports = allocate(network, range(25_000, 26_000))
    found = plan(network, ports, certs, Target(Place(home, Path("/run/user/1000/qkdbus"), sys.executable)))
    for folder, files in [(found.directory, found.files), *((one.directory, one.files) for one in found.bundles)]:
        for file in files:
            (folder / file.path).parent.mkdir(parents=True, exist_ok=True)
            (folder / file.path).write_text(file.text)
    said = run("plan", EXAMPLES / "three-sites.yaml", flag)
    assert said.exit_code == 0
    assert "25000" in said.stdout
    assert certs.nodes["Alice"].public in said.stdout
    assert "(secret)" in said.stdout
    secrets = [pair.secret for pair in [*certs.nodes.values(), *certs.users.values()]]
    secrets += [link.secret for link in certs.links.values()]
    assert not [secret for secret in secrets if secret in said.output or json.dumps(secret)[1:-1] in said.output]


def test_home_on_the_command_line_goes_before_the_environment(run: Run, tmp_path: Path) -> None:
    said = run("--home", tmp_path / "elsewhere", "plan", EXAMPLES / "three-sites.yaml").stdout
    assert f"below {tmp_path / 'elsewhere' / 'three-sites'}" in said


INVENTORY = """
all:
  hosts:
    Alice: {ansible_host: 192.0.2.1, ansible_user: root, ansible_ssh_pass: open-sesame}
    Bob: {ansible_host: 192.0.2.2}
    other: {ansible_host: 192.0.2.3}
"""
SITES = """
nodes:
  - {node_name: Alice, neighbour_nodes: [Bob]}
  - {node_name: Bob, neighbour_nodes: [Alice, Charlie]}
  - {node_name: Charlie, neighbour_nodes: [Bob], node_ip: 192.0.2.3}
"""


def test_plan_of_hosts_says_where_nodes_go_and_what_must_be_open(run: Run, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(SITES)
    (tmp_path / "hosts.yaml").write_text(INVENTORY)
    found = json.loads(run("plan", "net.yaml", "hosts.yaml", "--json").stdout)
    nodes = {node["name"]: node for node in found["nodes"]}
    assert {name: (node["machine"], node["host"]) for name, node in nodes.items()} == {
        "Alice": ("Alice", "192.0.2.1"),
        "Bob": ("Bob", "192.0.2.2"),
        "Charlie": ("other", "192.0.2.3"),
    }
    assert found["change"] is None and nodes["Alice"]["python"] is None
    opened = {(one["door"], one["node"], one["source"]) for one in nodes["Bob"]["open"]}
    assert ("applications", "", "") in opened
    assert {("keysync", "Alice", "192.0.2.1"), ("keysync", "Charlie", "192.0.2.3")} <= opened
    assert ("emulator", "Alice", "192.0.2.1") in opened  # the arbiter of a link comes to the other end
    assert ("emulator", "Charlie", "192.0.2.3") not in opened
    said = run("plan", "net.yaml", "hosts.yaml")
    assert "host      other, reached at 192.0.2.3, python to be found there" in said.stdout
    assert re.search(r"Bob +192.0.2.2 +20002 +keysync +Alice \(192.0.2.1\), Charlie \(192.0.2.3\)", said.stdout)
    assert "open-sesame" not in said.output
    assert not (tmp_path / "home").exists()


def test_plan_on_this_machine_has_nothing_to_open(run: Run) -> None:
    assert "nothing has to be open to other machines" in run("plan", EXAMPLES / "three-sites.yaml").stdout


@pytest.mark.parametrize(("name", "words"), [("nowhere.yaml", "nowhere.yaml"), ("nosuch", "no network 'nosuch'")])
def test_the_doctor_is_asked_about_something_that_is_there(name: str, words: str, run: Run) -> None:
    said = run("doctor", name)
    assert said.exit_code == 2 and words in said.stderr and said.stdout == ""
