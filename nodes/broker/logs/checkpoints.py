"""Small files beside the logs: how far each is committed, how far synced, and where it begins.

Text as Kafka's ``replication-offset-checkpoint``: a version, a count, then ``topic partition offset``
per line.  What cannot be read counts as missing: it only costs work, and for a while shows records
again that were deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from nodes.storage.disk import Disk
from transport.wire.ids import Offset, TopicPartition

HIGH_WATERMARKS = "high-watermark-checkpoint"
RECOVERY_POINTS = "recovery-point-checkpoint"
CLEANED = "cleaner-offset-checkpoint"
LOG_STARTS = "log-start-offset-checkpoint"
CLEAN_STOP = "clean-stop"
"""Is there only between an orderly stop and the next start; has the checksums of the indexes that were
written then: nobody waits for a sync of each log's."""
UNKNOWN_SUM = -1
"""No checksum."""
VERSION = "0"


def read_checkpoint(disk: Disk, name: str) -> dict[TopicPartition, Offset]:
    """Return the offsets of a checkpoint file; empty when it is missing or damaged."""
    data = disk.read_file(name)
    if data is None or not data.endswith(b"\n"):
        return {}  # Of what is cut short the last number may look whole.
    try:
        version, count, *lines = data.decode("ascii").splitlines()
        offsets = dict(_read_line(line) for line in lines)
        whole = version == VERSION and int(count) == len(lines) == len(offsets)
    except ValueError:
        return {}
    return offsets if whole else {}


def _read_line(line: str) -> tuple[TopicPartition, Offset]:
    topic, partition, offset = line.split(" ")
    return TopicPartition(topic, int(partition)), Offset(int(offset))


def write_checkpoint(
    disk: Disk, name: str, offsets: Mapping[TopicPartition, int], *, durable: bool
) -> None:
    """Replace a checkpoint file; StorageError when the disk refuses."""
    lines = [f"{topic} {partition} {offset}" for (topic, partition), offset in offsets.items()]
    text = "\n".join([VERSION, str(len(lines)), *sorted(lines), ""])
    disk.write_file(name, text.encode("ascii"), durable=durable)


def still_noted(
    written: Mapping[TopicPartition, Offset], unmet: Collection[TopicPartition]
) -> dict[TopicPartition, Offset]:
    """Return what a checkpoint says of partitions that this process has not met yet."""
    return {name: offset for name, offset in written.items() if name in unmet} if unmet else {}


def take_clean_stop(disk: Disk) -> Mapping[TopicPartition, int] | None:
    """Take the mark of an orderly stop away for good; return the checksums that it has.

    None: the last stop was none.
    """
    is_there = disk.exists(CLEAN_STOP)
    sums = read_checkpoint(disk, CLEAN_STOP)
    if is_there:
        disk.remove(CLEAN_STOP)
    # Also where a process before this one has removed it, and could not sync that.
    disk.sync_folder("")
    return sums if is_there else None


def mark_clean_stop(disk: Disk, sums: Mapping[TopicPartition, int]) -> None:
    """Note that everything is synced and nothing will be written before the next start."""
    write_checkpoint(disk, CLEAN_STOP, sums, durable=True)
