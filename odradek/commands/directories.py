"""``odradek broker move``: replicas to another log directory of their broker, with progress.

Owns what the command takes and prints; the broker does the work, and goes on if the command ends.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from odradek.admin.client import AdminClient, ConfigResource, ConfigResourceType, LogDirDescription
from odradek.commands.arguments import positive, whole
from odradek.commands.counting import counted
from odradek.commands.partition import partition_of
from odradek.commands.progress import bar
from odradek.errors import OdradekError
from transport.wire.ids import TopicPartition

LOOK_PAUSE_S = 0.2
RATE = "replica.alter.log.dirs.io.max.bytes.per.second"

Places = dict[TopicPartition, str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what ``move`` takes."""
    parser.add_argument("id", type=whole, metavar="ID")
    parser.add_argument("partitions", nargs="+", type=partition_of, metavar="TOPIC-N")
    parser.add_argument(
        "--to",
        metavar="DIR",
        help="one of its log directories, as `odradek broker describe` has it",
    )
    parser.add_argument("--cancel", action="store_true", help="leave them where they are")
    parser.add_argument("--no-wait", action="store_true", help="return when it has begun")
    parser.add_argument(
        "--throttle", type=positive, metavar="BYTES", help="copy at most so many bytes a second"
    )


def move(given: argparse.Namespace, admin: AdminClient) -> None:
    """Move replicas, or leave them where they are."""
    if given.cancel == (given.to is not None):
        raise ValueError("give either --to DIR, one of the broker's log directories, or --cancel")
    partitions: list[TopicPartition] = list(dict.fromkeys(given.partitions))
    before = _places(admin.describe_log_dirs(given.id))
    if given.cancel:
        admin.alter_replica_log_dirs(given.id, {key: before.get(key, "") for key in partitions})
        _tell(given, partitions, before, before)
        return
    with _throttled(given, admin):
        admin.alter_replica_log_dirs(given.id, dict.fromkeys(partitions, given.to))
        if not given.no_wait:
            _wait(admin, given.id, partitions, given.to)
    after = before if given.no_wait else dict.fromkeys(partitions, given.to)
    _tell(given, partitions, before, after)


def _places(directories: Sequence[LogDirDescription]) -> Places:
    return {key: directory.path for directory in directories for key in directory.logs}


def _tell(
    given: argparse.Namespace, partitions: Sequence[TopicPartition], before: Places, after: Places
) -> None:
    if given.json:
        rows = [
            {"topic": key.topic, "partition": key.partition, "from": before[key], "to": after[key]}
            for key in partitions
        ]
        print(json.dumps(rows))
    elif given.cancel:
        print(counted(len(partitions), "replica stays where it is", "replicas stay where they are"))
    elif given.no_wait:
        print(f"begun; see `odradek broker describe {given.id}`")
    else:
        print(f"{counted(len(partitions), 'replica is', 'replicas are')} in {given.to}")


@contextmanager
def _throttled(given: argparse.Namespace, admin: AdminClient) -> Iterator[None]:
    """Bound what the broker copies, until it is done; without waiting it stays bounded."""

    def alter(rate: int | None) -> None:
        resource = ConfigResource(ConfigResourceType.BROKER, str(given.id), {RATE: rate})
        admin.alter_configs([resource])

    if given.throttle is None:
        yield
        return
    alter(given.throttle)
    try:
        yield
    finally:
        if not given.no_wait:
            alter(None)


def _wait(admin: AdminClient, broker: int, partitions: Sequence[TopicPartition], to: str) -> None:
    """Wait until all are there; on a terminal with a bar. OdradekError: a move was given up."""
    with bar("moved", in_bytes=True) as show:
        while True:
            directories = {one.path: one for one in admin.describe_log_dirs(broker)}
            there = directories[to]
            total = _size_bytes(directories, partitions)
            left = [key for key in partitions if key not in there.logs]
            copied = sum(
                there.future_logs[key].size_bytes for key in left if key in there.future_logs
            )
            done = sum(there.logs[key] for key in partitions if key in there.logs) + copied
            show(min(done, total), total)
            if not left:
                return
            stopped = [key for key in left if key not in there.future_logs]
            if stopped:
                raise OdradekError(
                    f"{stopped[0].topic}-{stopped[0].partition} is not on its way to {to} any more; "
                    f"`odradek logs broker-{broker}` says why"
                )
            time.sleep(LOOK_PAUSE_S)


def _size_bytes(
    directories: Mapping[str, LogDirDescription], partitions: Sequence[TopicPartition]
) -> int:
    sizes = {key: size for one in directories.values() for key, size in one.logs.items()}
    return sum(sizes.get(key, 0) for key in partitions)
