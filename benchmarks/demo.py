"""The demo on real input: the standard library through a cluster that loses a leader half way.

Every line of every ``.py`` file of the Python that runs this goes, keyed by its path, into a topic
of 12 partitions × 3 replicas with ``acks=all``.  In the middle a broker that leads partitions is
killed with SIGKILL.  Then everything is read back, every file is built again, and SHA-256 is
compared file by file.  The exit status is 0 only if every file is identical.

    python -m benchmarks.demo
"""

from __future__ import annotations

import argparse
import hashlib
import signal
import sys
import sysconfig
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from odradek import AdminClient, Consumer, NewTopic, Producer, TopicPartition
from odradek.testing import Cluster

TOPIC = "stdlib"
PROBE_TOPIC = "probe"
PARTITIONS = 12
REPLICAS = 3
CHUNK_LINES = 5_000
READ_TIMEOUT_S = 120.0


@dataclass
class SourceFile:
    """One file on its way: what it is, and what has come back of it."""

    path: str
    digest: str
    lines: int
    rebuilt: hashlib._Hash = field(default_factory=hashlib.sha256)
    lines_back: int = 0

    @property
    def identical(self) -> bool:
        """True when what came back is the file, byte for byte."""
        return self.rebuilt.hexdigest() == self.digest


@dataclass
class Outcome:
    """The figures of the table."""

    files: dict[str, SourceFile] = field(default_factory=dict)
    records: int = 0
    in_s: float = 0.0
    out_s: float = 0.0
    victim: str = ""
    leaderless_ms: float = -1.0

    @property
    def losses(self) -> int:
        """Lines that were acked and did not come back."""
        return sum(max(0, one.lines - one.lines_back) for one in self.files.values())

    @property
    def duplicates(self) -> int:
        """Lines that came back more often than they were sent."""
        return sum(max(0, one.lines_back - one.lines) for one in self.files.values())

    @property
    def identical(self) -> int:
        """Files that are the same, byte for byte."""
        return sum(one.identical for one in self.files.values())


def source_files() -> Iterator[tuple[str, bytes]]:
    """Yield (relative path, content) of every ``.py`` file of this Python's standard library."""
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        relative = path.relative_to(root)
        if relative.parts[0] not in ("site-packages", "dist-packages"):
            yield relative.as_posix(), path.read_bytes()


def split_lines(content: bytes) -> list[bytes]:
    """Return the lines with their ends: joined they are ``content`` again."""
    parts = content.split(b"\n")
    lines = [part + b"\n" for part in parts[:-1]]
    return [*lines, parts[-1]] if parts[-1] else lines


class LeaderKill:
    """Kills the leader of the probe topic, and times how long its partition takes no write."""

    def __init__(self, cluster: Cluster, outcome: Outcome) -> None:
        self._cluster = cluster
        self._outcome = outcome
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Kill now; the timing goes on beside the load."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the partition has a leader again."""
        self._thread.join(READ_TIMEOUT_S)

    def _run(self) -> None:
        with Producer(bootstrap_servers=self._cluster.bootstrap, acks="all") as probe:
            probe.send(PROBE_TOPIC, value=b"before").result(READ_TIMEOUT_S)
            self._outcome.victim = self._cluster.kill_leader(PROBE_TOPIC, 0)
            killed = time.perf_counter()
            probe.send(PROBE_TOPIC, value=b"after").result(READ_TIMEOUT_S)
            self._outcome.leaderless_ms = (time.perf_counter() - killed) * 1000


def send_everything(cluster: Cluster, outcome: Outcome, progress: Progress) -> None:
    """Stream every line in; kill a leader half way."""
    sources = list(source_files())
    total = sum(len(split_lines(content)) for _, content in sources)
    task = progress.add_task("in ", total=total)
    kill = LeaderKill(cluster, outcome)
    began = time.perf_counter()
    with Producer(bootstrap_servers=cluster.bootstrap, acks="all") as producer:
        for path, content in sources:
            lines = split_lines(content)
            digest = hashlib.sha256(content).hexdigest()
            outcome.files[path] = SourceFile(path, digest, len(lines))
            _send_file(producer, path, lines)
            before, outcome.records = outcome.records, outcome.records + len(lines)
            if before < total // 2 <= outcome.records:
                kill.start()
            progress.update(task, completed=outcome.records)
        producer.flush()
    outcome.in_s = time.perf_counter() - began
    kill.join()


def _send_file(producer: Producer, path: str, lines: list[bytes]) -> None:
    key = path.encode()
    for first in range(0, len(lines), CHUNK_LINES):
        chunk = [(key, line) for line in lines[first : first + CHUNK_LINES]]
        producer.send_many(TOPIC, chunk).add_done_callback(_stop_on_failure)


def _stop_on_failure(done: object) -> None:
    error = done.exception()  # type: ignore[attr-defined]
    if error is not None:
        sys.stderr.write(f"a batch was not written: {error}\n")


def read_everything(cluster: Cluster, outcome: Outcome, progress: Progress) -> None:
    """Read every record back and build the files again."""
    task: TaskID = progress.add_task("out", total=outcome.records)
    began = time.perf_counter()
    deadline = began + READ_TIMEOUT_S
    with Consumer(
        TOPIC, bootstrap_servers=cluster.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        ends = consumer.end_offsets([TopicPartition(TOPIC, one) for one in range(PARTITIONS)])
        wanted = sum(ends.values())
        read = 0
        while read < wanted:
            if time.perf_counter() > deadline:
                break
            for records in consumer.poll(timeout_ms=500, max_records=100_000).values():
                for record in records:
                    source = outcome.files[record.key.decode()]
                    source.rebuilt.update(record.value)
                    source.lines_back += 1
                read += len(records)
            progress.update(task, completed=read)
    outcome.out_s = time.perf_counter() - began


def show(outcome: Outcome, console: Console) -> None:
    """Print the closing table."""
    table = Table(title="the standard library, through a cluster that lost a leader")
    table.add_column("what")
    table.add_column("figure", justify="right")
    rows = [
        ("files identical", f"{outcome.identical:,} of {len(outcome.files):,}"),
        ("records", f"{outcome.records:,}"),
        ("records/s in", f"{outcome.records / outcome.in_s:,.0f}"),
        ("records/s out", f"{outcome.records / outcome.out_s:,.0f}"),
        ("killed with SIGKILL", outcome.victim),
        ("time without a leader", f"{outcome.leaderless_ms:,.0f} ms"),
        ("duplicates", f"{outcome.duplicates:,}"),
        ("losses", f"{outcome.losses:,}"),
    ]
    for row in rows:
        table.add_row(*row)
    console.print(table)


def main() -> int:
    """Run the demo; 0 if every file came back identical."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--mode", choices=("zookeeper", "kraft"), default="zookeeper")
    mode = parser.parse_args().mode
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console()
    outcome = Outcome()
    with (
        Cluster.start(brokers=3, coordinators=3, mode=mode) as cluster,
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
        ) as progress,
    ):
        with AdminClient(bootstrap_servers=cluster.bootstrap) as admin:
            topics = [NewTopic(TOPIC, PARTITIONS, REPLICAS), NewTopic(PROBE_TOPIC, 1, REPLICAS)]
            admin.create_topics(topics)
        send_everything(cluster, outcome, progress)
        read_everything(cluster, outcome, progress)
    show(outcome, console)
    return 0 if outcome.identical == len(outcome.files) and not outcome.duplicates else 1


if __name__ == "__main__":
    sys.exit(main())
