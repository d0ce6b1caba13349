"""Real processes of two versions side by side: one node after the other is upgraded under load."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest

from odradek import Consumer
from tests.integration.writer import Writer

ROOT = Path(__file__).parents[2]
BASELINE = "e5cfe9e628ce"
"""The last commit before kinds of records were numbered: any later one must be able to follow it."""
NODES = tuple(f"{role}-{number}" for number in (1, 2, 3) for role in ("coordinator", "broker"))
COMMAND_MAX_S = 60
PARTITIONS = 3


class Installation:
    """A data directory, and the code that its processes are started from: old at first, then new."""

    def __init__(self, folder: Path, old: bytes) -> None:
        self._data_dir = folder / "data"
        self._code = folder / "code"
        with tarfile.open(fileobj=BytesIO(old)) as archive:
            archive.extractall(folder / "old", filter="data")
        self._code.symlink_to(folder / "old")

    def upgrade(self) -> None:
        """Replace the code, as ``pip install --upgrade`` does; what runs goes on with the old one."""
        self._code.unlink()
        self._code.symlink_to(ROOT)

    def run(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "supervisor", *words, "--data-dir", str(self._data_dir)],
            env={**os.environ, "PYTHONPATH": str(self._code)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_MAX_S,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    @property
    def bootstrap(self) -> str:
        (line,) = (line for line in self.run("status").splitlines() if line.startswith("broker-1 "))
        return line.split()[-1]


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", BASELINE], capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip(f"the history up to {BASELINE} is not here")
    found = Installation(tmp_path, packed.stdout)
    found.run("start", "--detach")
    try:
        yield found
    finally:
        found.run("stop")


@pytest.mark.timeout(180)
def test_a_cluster_is_upgraded_node_by_node_under_load(installation: Installation) -> None:
    words = ("--partitions", str(PARTITIONS), "--replication-factor", "3")
    installation.run("topic", "create", "t", *words)
    bootstrap = installation.bootstrap
    load = Writer(bootstrap, "t")
    load.more(10)
    installation.upgrade()
    for name in NODES:
        installation.run("restart", name)
        load.more(10)
    acked = load.end()
    with Consumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        consumer.assign([("t", number) for number in range(PARTITIONS)])
        found: list[int] = []
        while len(found) < len(acked):
            found += [
                int(record.value or b"")
                for records in consumer.poll(timeout_ms=10_000).values()
                for record in records
            ]
    assert sorted(found) == acked
