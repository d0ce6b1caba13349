"""Real processes: a coordinator with a damaged log says what to do, and one command does it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from odradek import CoordinationClient
from odradek.testing import Cluster, wait_until

VICTIM = "coordinator-2"


def note(cluster: Cluster) -> str:
    return next(node.note for node in cluster.status().nodes if node.name == VICTIM)


def damage(data: Path) -> None:
    """Change a byte of the first record of the newest segment."""
    segment = max((data / "raft").iterdir())
    content = bytearray(segment.read_bytes())
    content[20] ^= 0xFF
    segment.write_bytes(content)


def test_a_damaged_log_is_refused_and_filled_anew_by_one_command(odradek_cluster: Cluster) -> None:
    data = odradek_cluster.data_dir / "nodes" / VICTIM / "data"
    with CoordinationClient(hosts=odradek_cluster.hosts) as client:
        client.create("/kept", b"value")
        damage(data)
        odradek_cluster.kill(VICTIM)
        wait_until(
            lambda: "odradek ensemble rebuild" in note(odradek_cluster), "it says what to do"
        )
        command = [sys.executable, "-P", "-m", "supervisor", "ensemble", "rebuild", VICTIM]
        done = subprocess.run(
            [*command, "--data-dir", str(odradek_cluster.data_dir)],
            capture_output=True,
            check=False,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        odradek_cluster.wait_ready()
        assert (data / "replaced-1-raft").is_dir()
        assert client.get("/kept")[0] == b"value"
        # It counts again: with one of the others gone, writes go on.
        odradek_cluster.freeze("coordinator-1")
        client.set("/kept", b"later")
        odradek_cluster.thaw("coordinator-1")
