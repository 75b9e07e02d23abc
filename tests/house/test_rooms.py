"""House rules: who may import whom, no circles, what a layer imports at start, the wire code fresh."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
FOLDERS = {
    "qkdbus": HOUSE / "common/qkdbus",
    "qkdbus_client": HOUSE / "client/qkdbus_client",
    "qkdbus_deploy": HOUSE / "deploy/qkdbus_deploy",
    "qkdbus_keymanager": HOUSE / "services/keymanager/qkdbus_keymanager",
    "qkdbus_keysync": HOUSE / "services/keysync/qkdbus_keysync",
    "qkdbus_dispatcher": HOUSE / "services/dispatcher/qkdbus_dispatcher",
    "qkdbus_qbackend": HOUSE / "services/qbackend/qkdbus_qbackend",
}
# The deployer starts the layers and is the command line over the client; it knows them by name only, but its
# `key`, `demo` and `bench` are programs of the client library.
MAY_ALSO = {"qkdbus_deploy": {"qkdbus_client"}}


def modules(folder: Path, package: str) -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(folder.rglob("*.py")):
        if not file.name.endswith("_pb2.py"):
            parts = [package, *file.relative_to(folder).with_suffix("").parts]
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            yield name, ast.parse(file.read_text())


def imports(name: str, tree: ast.Module, is_package: bool, *, top_only: bool) -> Iterator[str]:
    """Absolute names of the modules that a module imports."""
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    nodes = tree.body if top_only else list(ast.walk(tree))
    for node in nodes:
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = name.split(".") if is_package else name.split(".")[:-1]
            base = base[: len(base) - (node.level - 1)] if node.level else []
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield stem
            yield from (f"{stem}.{alias.name}" for alias in node.names)


def foreign_rooms(package: str, tree_of: dict[str, ast.Module], packages: set[str]) -> list[str]:
    allowed = {package, "qkdbus", *MAY_ALSO.get(package, set())}
    found = []
    for name, tree in tree_of.items():
        for target in imports(name, tree, name in packages, top_only=False):
            root = target.split(".")[0]
            if root in FOLDERS and root not in allowed:
                found.append(f"{name} imports {target}")
    return found


def package_names(folder: Path, package: str) -> set[str]:
    return {".".join([package, *init.parent.relative_to(folder).parts]) for init in folder.rglob("__init__.py")}


@pytest.mark.parametrize("package", FOLDERS)
def test_a_folder_knows_itself_and_the_common_ground(package: str) -> None:
    folder = FOLDERS[package]
    assert foreign_rooms(package, dict(modules(folder, package)), package_names(folder, package)) == []


def test_the_rule_catches_a_leak() -> None:
    leak = {"qkdbus_keysync.leak": ast.parse("from qkdbus_keymanager.store import Store")}
    assert foreign_rooms("qkdbus_keysync", leak, set())


@pytest.mark.parametrize("package", FOLDERS)
def test_imports_make_no_circle(package: str) -> None:
    folder = FOLDERS[package]
    trees, packages = dict(modules(folder, package)), package_names(folder, package)
    graph = {
        name: {
            target
            for target in imports(name, tree, name in packages, top_only=True)
            if target in trees and target != name and not (target in packages and name.startswith(target + "."))
        }
        for name, tree in trees.items()
    }
    assert find_circle(graph) == []


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name in done:
            return []
        for target in sorted(graph.get(name, ())):
            if circle := walk(target, [*path, name]):
                return circle
        done.add(name)
        return []

    for name in sorted(graph):
        if circle := walk(name, []):
            return circle
    return []


def test_the_rule_finds_a_circle() -> None:
    assert find_circle({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("module", "never"),
    [
        ("qkdbus_client", {"pydantic", "click", "yaml", "numpy", "supervisor", "twisted"}),
        ("qkdbus_keymanager.build", {"numpy", "twisted", "supervisor", "click"}),
        ("qkdbus_keysync.build", {"numpy", "twisted", "supervisor", "click"}),
        ("qkdbus_dispatcher.build", {"numpy", "twisted", "supervisor", "click"}),
        ("qkdbus_qbackend.build", {"twisted", "supervisor", "click", "numba"}),
    ],
)
def test_a_service_imports_only_what_it_uses(module: str, never: set[str]) -> None:
    code = f"import sys, {module}; print(*sorted({{m.split('.')[0] for m in sys.modules}} & {never!r}))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == ""


def test_the_wire_code_is_fresh(tmp_path: Path) -> None:
    wire = HOUSE / "common/qkdbus/wire"
    protos = sorted(f"qkdbus/wire/{proto.name}" for proto in wire.glob("*.proto"))
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    subprocess.run([*command, *protos], cwd=HOUSE / "common", check=True)
    for made in (tmp_path / "qkdbus/wire").iterdir():
        assert made.read_text() == (wire / made.name).read_text(), f"{made.name}: run `make wire`"
