"""Every program and every command printed in docs/coordination.md is run, in order, in one cluster."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from odradek.testing import Cluster

ROOT = Path(__file__).parents[2]
DOCUMENT = ROOT / "docs" / "coordination.md"
BIN = Path(sys.executable).parent
COMMAND_MAX_S = 60
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)

pytestmark = [pytest.mark.odradek(brokers=1, coordinators=3), pytest.mark.timeout(300)]


def run(arguments: list[str], environment: dict[str, str], shown: str) -> str:
    done = subprocess.run(
        arguments,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=COMMAND_MAX_S,
        check=False,
        text=True,
    )
    assert done.returncode == 0, f"{shown}\n{done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr, f"{shown}\n{done.stderr}"
    return done.stdout


def steps(text: str) -> list[tuple[str, str]]:
    """Return (command, output printed below it) of each command in a console block."""
    parts = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command.strip(), output) for command, _, output in (p.partition("\n") for p in parts)]


def test_the_programs_and_commands_of_the_page_do_as_they_say(odradek_cluster: Cluster) -> None:
    environment = {
        **os.environ,
        "ODRADEK_BOOTSTRAP": odradek_cluster.bootstrap,
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "PYTHONWARNINGS": "error",
    }
    programs = commands = 0
    for language, text in BLOCK.findall(DOCUMENT.read_text(encoding="utf-8")):
        if language == "python":
            run([sys.executable, "-c", text], environment, text)
            programs += 1
            continue
        for command, output in steps(text):
            printed = run(["/bin/bash", "-c", command], environment, f"$ {command}")
            commands += 1
            if "…" not in output:
                assert output.strip() in ("", printed.strip()), f"$ {command}"
    assert programs >= 15
    assert commands >= 8
