"""Every command and every program printed in the README and the docs is run, in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
COMMAND_MAX_S = 60
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
START, STOP = "odradek start --detach", "odradek stop"
FREE_PORTS = r"s/^\(kafka\|zookeeper\)_port = [0-9]*/\1_port = -1/"
"""Those that are printed may be somebody's here: see :func:`as_here`."""
TWO_DIRECTORIES = r"""s/^\[broker\]/[broker]\nlog_dirs = ["logs", "logs-2"]/"""
SHIPPED = {"docs/modes.md": "kraft"}
"""Which config a document is about, where it is not the local one."""
CHANGES = {"docs/operating.md": TWO_DIRECTORIES}
"""And how that one is changed."""
PRINTED = {"kafka": 9092, "zookeeper": 2181}
"""The listeners' first ports, as they are shipped."""
NEEDS_TOPIC = {"docs/operating.md": "odradek topic create greetings --partitions 3"}


@pytest.fixture
def shell(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """An environment in which the docs' commands find a running cluster of their own."""
    with tempfile.TemporaryDirectory(prefix="odradek-docs-") as folder:
        environment = {
            **os.environ,
            "ODRADEK_DATA_DIR": folder,
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        }
        environment.pop("ODRADEK_BOOTSTRAP", None)
        document = request.node.callspec.params["document"]
        shipped = ROOT / "configs" / f"{SHIPPED.get(document, 'local')}.toml"
        changes = f"sed -e '{FREE_PORTS}' -e '{CHANGES.get(document, '')}' {shipped}"
        run(f"{changes} > here.toml && odradek start here.toml --detach", environment)
        try:
            yield environment
        finally:
            run(STOP, environment)


def run(command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        ["/bin/bash", "-c", command],
        cwd=environment["ODRADEK_DATA_DIR"],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_MAX_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"$ {command}\n{done.stdout}{done.stderr}"
    return done.stdout


def blocks(document: str) -> list[tuple[str, str]]:
    """Return (language, text) of each block of a document."""
    return BLOCK.findall((ROOT / document).read_text(encoding="utf-8"))


def as_here(text: str, status: str) -> str:
    """Put the addresses of the listeners that there are in the place of those that are printed."""
    for name, first in PRINTED.items():
        (told,) = re.findall(rf"^{name}: (.*)$", status, flags=re.MULTILINE)
        for number, address in enumerate(told.split(",")):
            text = text.replace(f"127.0.0.1:{first + number}", address)
    return text


def steps(text: str) -> list[tuple[str, str]]:
    """Return (command, output printed below it) of each command in a console block."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command.strip(), output) for command, _, output in (p.partition("\n") for p in parts)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "document",
    [
        "README.md",
        "docs/clients.md",
        "docs/listeners.md",
        "docs/migration.md",
        "docs/modes.md",
        "docs/operating.md",
        "docs/transactions.md",
    ],
)
def test_the_commands_of_a_document_work_as_printed(document: str, shell: dict[str, str]) -> None:
    if document in NEEDS_TOPIC:
        run(NEEDS_TOPIC[document], shell)
    ran, status = 0, run("odradek status", shell)
    for language, printed_text in blocks(document):
        text = as_here(printed_text, status)
        if language == "python":
            run(f"{sys.executable} - <<'PROGRAM'\n{text}PROGRAM\n", shell)
            continue
        for command, output in steps(text):
            if command in (START, STOP) or command.startswith(". "):
                continue  # the fixture's; the environment's
            if command.startswith("make "):
                subprocess.run(
                    ["/usr/bin/env", "make", "-n", command.removeprefix("make ")],
                    cwd=ROOT,
                    check=True,
                    capture_output=True,
                )
                continue
            printed = run(command, shell)
            ran += 1
            if output and "…" not in output:
                assert printed.strip() == output.strip(), f"$ {command}"
    assert ran >= 4


def test_the_tests_that_are_printed_pass(tmp_path: Path) -> None:
    ((_, program),) = [block for block in blocks("docs/testing.md") if block[0] == "python"]
    (tmp_path / "test_printed.py").write_text(program, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "."],
        cwd=tmp_path,
        capture_output=True,
        timeout=COMMAND_MAX_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
