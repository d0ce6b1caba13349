"""Sizes, names and leftovers: what keeps a tree readable as it grows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
CODE = ("odradek", "nodes", "transport", "supervisor", "benchmarks")
FILE_LINES_MAX = 600
TEST_LINES_MAX = 900
FUNCTION_LINES_MAX = 60
BANNED_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}
OTHER_SUPERVISORS_NAMES = {
    *("process", "events", "states", "options", "dispatchers", "loggers", "poller", "http"),
    *("web", "xmlrpc", "rpcinterface", "datatypes", "childutils", "compat", "templating"),
}
LEFTOVERS = ("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


class Look(NamedTuple):
    """What is looked for in a module's tree, which is taken apart once."""

    long_functions: list[tuple[str, int]]
    says_what_it_is: bool


def look_at(source: str) -> Look:
    tree = ast.parse(source)
    functions = [
        (node.name, (node.end_lineno or 0) - node.lineno + 1)
        for node in statements(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    long_ones = [(name, lines) for name, lines in functions if lines > FUNCTION_LINES_MAX]
    return Look(long_ones, ast.get_docstring(tree) is not None)


@cache
def look(path: Path) -> Look:
    return look_at(path.read_text())


def statements(node: ast.AST) -> Iterator[ast.AST]:
    """Yield all statements in a tree: nothing that is long is in an expression."""
    for name in ("body", "orelse", "finalbody", "handlers", "cases"):
        inner = getattr(node, name, ())
        for statement in inner if isinstance(inner, list) else ():
            yield statement
            yield from statements(statement)


def test_there_is_code_to_look_at() -> None:
    assert len(python_files(*CODE)) > 50
    assert len(python_files("tests")) > 20


@pytest.mark.parametrize(
    ("folders", "lines_max"), [(CODE, FILE_LINES_MAX), (("tests",), TEST_LINES_MAX)]
)
def test_no_file_is_too_long(folders: tuple[str, ...], lines_max: int) -> None:
    lengths = {named(path): len(path.read_text().splitlines()) for path in python_files(*folders)}
    assert {name: lines for name, lines in lengths.items() if lines > lines_max} == {}


def test_no_function_is_too_long() -> None:
    found = {named(path): look(path).long_functions for path in python_files(*CODE, "tests")}
    assert {name: functions for name, functions in found.items() if functions} == {}


def test_a_function_that_is_too_long_would_be_found() -> None:
    body = "\n".join(f"    x{n} = {n}" for n in range(FUNCTION_LINES_MAX))
    found = [("f", FUNCTION_LINES_MAX + 1)]
    assert look_at(f"def f():\n{body}\n").long_functions == found
    for around in (
        "class C:\n{}",
        "try:\n    pass\nexcept ValueError:\n{}",
        "try:\n    pass\nfinally:\n{}",
        "if x:\n    pass\nelse:\n{}",
        "match x:\n    case 1:\n{}",
        "with x:\n    async def g():\n        pass\n{}",
    ):
        depth = "        " if "case" in around else "    "
        inner = "".join(f"{depth}{line}\n" for line in f"def f():\n{body}".splitlines())
        assert look_at(around.format(inner)).long_functions == found, around


def test_files_are_named_by_their_noun() -> None:
    names = [named(path) for path in python_files(*CODE, "tests") if path.stem in BANNED_NAMES]
    assert names == []


def test_the_supervisors_modules_are_not_named_as_another_distributions() -> None:
    names = {path.stem for path in python_files("supervisor")}
    assert names & OTHER_SUPERVISORS_NAMES == set()


def test_nothing_is_left_for_later() -> None:
    found = [
        f"{named(path)}:{number}"
        for path in python_files(*CODE, "tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if any(word in line for word in LEFTOVERS)
    ]
    assert found == []


def test_every_module_says_what_it_is() -> None:
    silent = [named(path) for path in python_files(*CODE) if not look(path).says_what_it_is]
    assert silent == []


def test_the_top_level_holds_what_people_expect_and_no_more() -> None:
    expected = {
        *("benchmarks", "configs", "docs", "nodes", "odradek", "supervisor", "tests", "transport"),
        *("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "pyproject.toml"),
    }
    passing = {"dist", "build", "data", "__pycache__"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}
    assert expected - found == set()
    assert found - expected - passing == set()
