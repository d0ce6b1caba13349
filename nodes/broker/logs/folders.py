"""The folders of partition logs: opening, setting aside, removing.

Everything here blocks on the disk and knows nothing of roles; what may take long is run in the disk
pool.  A folder is named ``topic-partition`` as Kafka's, and names its topic id inside, so that the
log of a topic that was deleted and made again is never taken for the new one's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from nodes.config import LogConfig
from nodes.core.partition.events import Batch, LogFacts
from nodes.core.partition.producer_snapshot import decode_producers
from nodes.core.partition.producer_state import Producers
from nodes.core.topic_configs import POLICY_COMPACT, POLICY_DELETE
from nodes.storage.compaction import Compaction
from nodes.storage.disk import Damaged, Disk
from nodes.storage.log_files import DELETED_SUFFIX, FUTURE_SUFFIX
from nodes.storage.log_opening import InconsistentTopicId
from nodes.storage.log_settings import LogSettings
from nodes.storage.partition_log import PartitionLog
from nodes.storage.retention import Retention
from transport.wire.codec import Buffer
from transport.wire.control import read_marker
from transport.wire.ids import Offset, PartitionKey
from transport.wire.records import BatchHeader, RecordError

DAMAGED = ".damaged"


class OpenedLog(NamedTuple):
    """A log and all that a core must know of it."""

    log: PartitionLog
    facts: LogFacts
    producers: Producers


class KnownProducers(NamedTuple):
    """Of all batches before an offset; None: there are none, or nothing is written down."""

    end_offset: Offset
    producers: Producers | None


class OpeningPlan(NamedTuple):
    """How to open a log. Offsets are as last written down."""

    key: PartitionKey
    folder: str
    settings: LogConfig
    high_watermark: Offset
    recovery_point: Offset
    log_start_offset: Offset
    cleaned_to: Offset
    clean: bool
    indexes_sum: int | None = None
    """As in ``PartitionLog.open``."""


def open_log(disk: Disk, plan: OpeningPlan) -> OpenedLog:
    """Open the log of a partition, and recover it unless all was closed in order.

    The log of a topic of the same name that is gone is removed.  Raises Damaged for a log damaged
    before its tail, StorageError when the disk refuses.
    """
    try:
        log = _open(disk, plan)
    except InconsistentTopicId:
        disk.remove(set_aside(disk, plan.folder, DELETED_SUFFIX))
        nothing = Offset(0)
        plan = plan._replace(recovery_point=nothing, log_start_offset=nothing, cleaned_to=nothing)
        log = _open(disk, plan)
    log.cleaned_to = min(plan.cleaned_to, log.log_end_offset)
    producers = Producers()
    try:
        if log.segment_count:
            known = known_producers(log)
            producers.rebuild(read_batches(log, known.end_offset), known.producers)
    except Damaged:
        log.close()
        raise
    facts = LogFacts(
        log.log_start_offset,
        log.log_end_offset,
        plan.high_watermark,
        log.recovery_point,
        tuple(log.epochs),
    )
    log.release()
    return OpenedLog(log, facts, producers)


def begin_log(disk: Disk, plan: OpeningPlan) -> OpenedLog:
    """Begin the log of a partition whose folder does not exist; its first record makes that."""
    topic_id = plan.key.topic_id
    log = PartitionLog.begin(disk, plan.folder, log_settings(plan.settings), topic_id)
    return OpenedLog(log, LogFacts(), Producers())


def _open(disk: Disk, plan: OpeningPlan) -> PartitionLog:
    return PartitionLog.open(
        disk,
        plan.folder,
        log_settings(plan.settings),
        recovery_point=plan.recovery_point,
        clean=plan.clean,
        topic_id=plan.key.topic_id,
        log_start_offset=plan.log_start_offset,
        indexes_sum=plan.indexes_sum,
    )


@lru_cache(maxsize=1_000)
def log_settings(config: LogConfig) -> LogSettings:
    """Return what the log itself goes by; one for all partitions of a topic."""
    deletes = POLICY_DELETE in config.cleanup_policy.split(",")
    return LogSettings(
        config.segment_bytes,
        config.segment_ms,
        config.index_interval_bytes,
        config.segment_jitter_ms,
        config.segment_index_bytes,
        config.recent_bytes,
        Retention(config.retention_ms, config.retention_bytes) if deletes else Retention(),
        _compaction(config),
    )


def _compaction(config: LogConfig) -> Compaction | None:
    if POLICY_COMPACT not in config.cleanup_policy.split(","):
        return None
    return Compaction(
        config.cleanable_dirty_ratio_min,
        config.compaction_lag_min_ms,
        config.compaction_lag_max_ms,
        config.delete_retention_ms,
    )


def set_aside(disk: Disk, folder: str, ending: str) -> str:
    """Rename a folder out of the way and return its new name."""
    number = 0
    while disk.exists(f"{folder}.{number}{ending}"):
        number += 1
    aside = f"{folder}.{number}{ending}"
    disk.rename(folder, aside)
    return aside


def known_producers(log: PartitionLog) -> KnownProducers:
    """Return the producers of a log as last written down, and up to where."""
    noted = log.noted_producers()
    producers = None if noted is None else decode_producers(noted[1])
    if noted is None or producers is None:
        return KnownProducers(log.log_start_offset, None)
    return KnownProducers(noted[0], producers)


def read_batches(log: PartitionLog, offset: Offset) -> list[Batch]:
    """Return what the core needs of every batch of a log from an offset on.

    Damaged when one cannot be read, is not within the log, or contradicts the one before: the CRC of
    a batch covers neither its offset nor its leader epoch, and a wrong epoch would keep this replica
    from any role.
    """
    batches: list[Batch] = []
    next_offset, epoch, end = 0, -1, log.log_end_offset
    for header in log.headers_from(offset):
        follows = header.base_offset >= next_offset and header.leader_epoch >= epoch
        if not follows or not log.log_start_offset < header.next_offset <= end:
            raise Damaged(
                f"{log.folder} is damaged: the batch at offset {header.base_offset} of leader epoch"
                f" {header.leader_epoch} follows offset {next_offset - 1} of epoch {epoch}, in a log"
                f" from {log.log_start_offset} to {end}"
            )
        next_offset, epoch = header.next_offset, header.leader_epoch
        batches.append(_batch_in(log, header))
    return batches


def _batch_in(log: PartitionLog, header: BatchHeader) -> Batch:
    if not header.is_control:
        return batch_of(header)
    try:
        return batch_of(header, log.read(header.base_offset, 1, header.next_offset))
    except RecordError as error:
        raise Damaged(f"{log.folder} is damaged at offset {header.base_offset}: {error}") from None


def batch_of(header: BatchHeader, body: Buffer = b"") -> Batch:
    """Return what the core needs of a batch; of a control batch the ``body`` is needed.

    Raises RecordError for a control batch that cannot be read.
    """
    return Batch(
        header.base_offset,
        header.last_offset,
        header.leader_epoch,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.is_transactional,
        read_marker(body) if header.is_control else None,
        header.max_timestamp_ms,
    )


def leftovers(disk: Disk, directory: str) -> list[str]:
    """Return the folders that a process did not live to remove, or to fill."""
    names = disk.list(directory)
    for name in [name for name in names if name.endswith(FUTURE_SUFFIX)]:
        # Another may be filled there before this one is gone.
        names.append(set_aside(disk, f"{directory}/{name}", DELETED_SUFFIX).rpartition("/")[2])
    return [f"{directory}/{name}" for name in names if name.endswith(DELETED_SUFFIX)]
