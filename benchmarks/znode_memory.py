"""What many znodes weigh in one coordinator's process, and what applying and saving them costs.

The state machine as a server runs it (entries decoded from the log, watches, history), without the
log and the network.

python -m benchmarks.znode_memory [--znodes 100000] [--size-bytes 100]
"""

from __future__ import annotations

import argparse
import gc
import sys
import time

import psutil

from benchmarks.machine import describe
from nodes.config import CoordinatorConfig
from nodes.coordinator.server import CoordinatorServer
from nodes.core.znode.core import ZnodeCore
from nodes.core.znode.history import History
from transport.wire.ids import RequestId, SessionId
from transport.wire.messages.coordination import (
    Create,
    OpenedSession,
    ProposedWrite,
    SessionOperation,
    decode_write,
    encode_write,
)

SESSION = SessionId(1)
FOLDER_ZNODES = 1_000
"""Znodes in one folder."""


def entry(number: int, path: str, data: bytes) -> bytes:
    """Return the log entry of a create, the ``number``-th write of the session."""
    operation = SessionOperation(RequestId(number), Create(path, data))
    return encode_write(ProposedWrite(SESSION, 1_700_000_000_000, RequestId(number), (operation,)))


def grow(core: ZnodeCore, history: History, znodes: int, size_bytes: int) -> float:
    """Apply so many creates; return the seconds that took."""
    opened = OpenedSession(40_000, b"x" * 16, None, b"n" * 16)
    core.apply(ProposedWrite(SESSION, 0, open=opened))
    spent_s = 0.0
    number = 0
    for made in range(znodes):
        folder = f"/folder-{made // FOLDER_ZNODES:04d}"
        paths = [folder] if made % FOLDER_ZNODES == 0 else []
        for path in [*paths, f"{folder}/znode-{made:08d}"]:
            number += 1
            data = entry(number, path, b"%0*d" % (size_bytes, made))
            began = time.perf_counter()
            history.add(core.apply(decode_write(data)).changes)
            spent_s += time.perf_counter() - began
    return spent_s


def resident_mb() -> float:
    """Return what this process holds in memory."""
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 1e6


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--znodes", type=int, default=100_000)
    parser.add_argument("--size-bytes", type=int, default=100)
    given = parser.parse_args()
    config = CoordinatorConfig()
    core = ZnodeCore()
    history = History(config.history_changes_max, config.history_bytes_max)
    empty_mb = resident_mb()
    spent_s = grow(core, history, given.znodes, given.size_bytes)
    full_mb = resident_mb()
    began = time.perf_counter()
    data = core.to_snapshot()
    saved_s = time.perf_counter() - began
    began = time.perf_counter()
    ZnodeCore().restore(data)
    restored_s = time.perf_counter() - began
    sys.stdout.write(
        f"{describe()}\n"
        f"{given.znodes} znodes of {given.size_bytes} bytes: {full_mb:.0f} MB resident "
        f"({empty_mb:.0f} MB before, with all of {CoordinatorServer.__name__} imported)\n"
        f"applied: {given.znodes / spent_s:.0f} creates/s\n"
        f"snapshot: {len(data) / 1e6:.1f} MB in {saved_s:.2f} s, read in {restored_s:.2f} s\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
