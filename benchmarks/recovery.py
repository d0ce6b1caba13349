"""How long a broker that was killed needs to open its logs: ``python -m benchmarks.recovery``.

Writes partitions as a broker does, leaves them as SIGKILL would (nothing closed, no index written),
and opens them as the next process on the same machine does: sizes are trusted, and batch headers are
read, from which producers and leader epochs are known.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from nodes.broker.log_folders import OpeningPlan, log_settings, open_log
from nodes.config import LogConfig
from nodes.storage.disk import RealDisk
from nodes.storage.partition_log import PartitionLog
from transport.wire.ids import LeaderEpoch, Offset, PartitionKey, TopicId, TopicPartition
from transport.wire.records import BatchBuilder, read_header, stamp

TOPIC = TopicId(bytes(16))
RECORD_BYTES = 1_000


def write(disk: RealDisk, name: TopicPartition, size_bytes: int, batch_bytes: int) -> None:
    """Fill one partition's log, and leave it open."""
    log = PartitionLog.open(
        disk,
        f"logs/{name}",
        log_settings(LogConfig()),
        recovery_point=Offset(0),
        clean=True,
        topic_id=TOPIC,
    )
    builder = BatchBuilder()
    while builder.append(None, b"v" * RECORD_BYTES, (), 1, batch_bytes):
        pass
    batch = builder.build()
    header = read_header(batch)
    while log.size_bytes < size_bytes:
        place = log.log_end_offset, LeaderEpoch(0)
        stamped = header._replace(base_offset=place[0], leader_epoch=place[1])
        log.append(stamp(*place, batch), stamped, 1)
    log.release()


def main() -> int:
    """Write, open, print; exit status 0."""
    parser = argparse.ArgumentParser(description="Time the opening of logs after a SIGKILL.")
    parser.add_argument("--size-gb", type=float, default=10.0, metavar="G", help="in all")
    parser.add_argument("--partitions", type=int, default=10, metavar="N")
    parser.add_argument("--batch-kb", type=int, default=64, metavar="K", help="of each batch")
    parser.add_argument("--dir", type=Path, help="where to write (default: a temporary folder)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.dir) as folder:
        disk = RealDisk(Path(folder))
        names = [TopicPartition("t", number) for number in range(given.partitions)]
        for name in names:
            write(disk, name, int(given.size_gb * 1e9 / len(names)), given.batch_kb * 1024)
        began = time.monotonic()
        for name in names:
            nothing = Offset(0)
            plan = OpeningPlan(
                PartitionKey(TOPIC, name.partition),
                f"logs/{name}",
                LogConfig(),
                nothing,
                nothing,
                nothing,
                nothing,
                True,
            )
            open_log(disk, plan).log.close()
        took_s = time.monotonic() - began
    sys.stdout.write(
        f"{given.size_gb:g} GB in {len(names)} partitions, batches of {given.batch_kb} KB: "
        f"opened in {took_s:.2f} s\n{describe()}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
