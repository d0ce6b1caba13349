"""The supervisor as a child: what it says of its start is heard once, and its end is certain."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from odradek.testing.supervisor_process import SupervisorProcess

TELLS = """
import os, sys
fd = int(sys.argv[sys.argv.index("--ready-fd") + 1])
os.write(fd, b'{"status": %d, "text": "so it went"}')
os.close(fd)
sys.stdin.read()
"""
MUTE = "import sys; sys.stdin.read()"
DEAF = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("deaf", flush=True)
sys.stdin.read()
"""


def started(program: str, tmp_path: Path) -> SupervisorProcess:
    return SupervisorProcess([sys.executable, "-c", program], tmp_path / "config.toml", tmp_path)


@pytest.mark.parametrize(("status", "failure"), [(0, ""), (2, "so it went")])
def test_its_word_on_the_start_is_taken_once(tmp_path: Path, status: int, failure: str) -> None:
    process = started(TELLS % status, tmp_path)
    assert process.start_failure(60) == failure
    assert process.start_failure(0) == ""
    assert process.stop(60)
    assert process.has_ended


def test_one_that_says_nothing_is_told_from_one_that_has_ended(tmp_path: Path) -> None:
    process = started(MUTE, tmp_path)
    assert process.start_failure(0.05) == "no start within 0.05 s"
    assert process.kill(60)
    ended = started("", tmp_path)
    assert ended.start_failure(60) == "the supervisor ended"
    assert ended.stop(60)


def test_one_that_does_not_end_is_killed(tmp_path: Path) -> None:
    process = started(DEAF, tmp_path)
    log = tmp_path / "supervisor.log"
    while "deaf" not in log.read_text():
        assert not process.has_ended
    assert not process.stop(0.05)
    assert process.kill(60)
    assert process.has_ended
