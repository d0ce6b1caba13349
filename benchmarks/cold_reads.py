"""What a reader that starts at the beginning of much that is in no page cache costs a producer.

python -m benchmarks.cold_reads [--size-gb 5] [--seconds 20] [--dir DIR]

Three brokers. A topic of that size is written, and its pages are dropped from memory; another topic
with three replicas takes a record every few milliseconds, ``acks=all``, first alone, then while a
consumer in a process of its own reads the large topic from its beginning, and looks at every value.

What is measured is the reader's whole price on this machine: brokers, writer and reader share its
processors, and the reader is as greedy as a program can be. What it has read to the end it reads
again, then out of the page cache; how much it has read is printed, more than all when it came to that.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.steady_writes import PAUSE_S, WAIT_S, latencies_ms, percentile
from odradek import AdminClient, Consumer, NewTopic, Producer
from odradek.testing import Cluster

OLD, LIVE = "old", "live"
VALUE = b"v" * 1_000
CHUNK = 2_000


def fill(cluster: Cluster, size_bytes: int) -> None:
    """Write so many bytes to the large topic."""
    chunk: list[tuple[bytes | None, bytes]] = [(None, VALUE)] * CHUNK
    with Producer(bootstrap_servers=cluster.bootstrap, batch_size=256 * 1024) as producer:
        for _ in range(max(1, size_bytes // (CHUNK * len(VALUE)))):
            last = producer.send_many(OLD, chunk)
        producer.flush()
        last.result(WAIT_S)


def drop_pages(folder: Path) -> None:
    """Have everything below a folder written, and dropped from memory."""
    for path in folder.rglob("*.log"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_all(bootstrap: str) -> int:
    """Read the large topic from its beginning, again and again, and say how much, until ended."""
    read_bytes = 0
    began = time.perf_counter()
    with Consumer(OLD, bootstrap_servers=bootstrap, auto_offset_reset="earliest") as consumer:
        while True:
            batches = consumer.poll(timeout_ms=500, max_records=10_000).values()
            if not batches and read_bytes:
                consumer.seek_to_beginning()
            read_bytes += sum(len(record.value or b"") for batch in batches for record in batch)
            rate = read_bytes / 1e6 / (time.perf_counter() - began)
            sys.stdout.write(f"{read_bytes} {rate:.0f}\n")
            sys.stdout.flush()


def main() -> int:
    """Write, measure alone, measure beside the reader, print both and their ratio."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size-gb", type=float, default=5.0, metavar="G")
    parser.add_argument("--seconds", type=float, default=20.0, metavar="S", help="of each part")
    parser.add_argument("--dir", type=Path, help="where to write (default: a temporary folder)")
    parser.add_argument("--read", metavar="BOOTSTRAP", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        return read_all(given.read)
    with tempfile.TemporaryDirectory(dir=given.dir) as name:
        folder = Path(name)
        settings = {"broker": {"log_dirs": [name]}}
        with Cluster.start(brokers=3, coordinators=3, settings=settings) as cluster:
            with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
                admin.create_topics([NewTopic(OLD, 3, 1), NewTopic(LIVE, 1, 3)])
            fill(cluster, int(given.size_gb * 1e9))
            drop_pages(folder)
            alone = latencies_ms(cluster, LIVE, VALUE, given.seconds)
            drop_pages(folder)
            command = [sys.executable, "-m", "benchmarks.cold_reads", "--read", cluster.bootstrap]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
                beside = latencies_ms(cluster, LIVE, VALUE, given.seconds)
                reader.kill()
                told, _ = reader.communicate()
    read_bytes, rate = told.splitlines()[-1].split() if told else ("0", "0")
    one, other = percentile(alone, 0.99), percentile(beside, 0.99)
    sys.stdout.write(
        f"{describe()}\nproduce, acks=all, 3 replicas, a record every {PAUSE_S * 1000:.0f} ms:\n"
        f"  alone: median {percentile(alone, 0.5):.2f} ms, p99 {one:.2f} ms (n = {len(alone)})\n"
        f"  beside a reader of {given.size_gb:g} GB from the beginning, at {rate} MB/s"
        f" ({int(read_bytes) / 1e9:.2f} GB): median {percentile(beside, 0.5):.2f} ms,"
        f" p99 {other:.2f} ms (n = {len(beside)})\n  ratio of the p99: {other / one:.2f}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
