"""Opening, replacing and removing the logs of replicas, with the disk pool for what may take long.

Owns which folders are being opened, and which names of removed logs may still come back.  A folder is
opened by one at a time; a log that does not exist yet is opened at once, so that a new topic waits for
nobody.  But where there are several directories, one whose name was just taken off another log waits
until that is on the disk: a loss of power would bring the other one back, perhaps in another directory,
and which one counts is not known by their names.
"""

from __future__ import annotations

from nodes.broker.context import BrokerContext
from nodes.broker.logs.directories import LogDirectory, OnDirectoryFailed, partition_in
from nodes.broker.logs.folders import (
    DAMAGED,
    OpenedLog,
    OpeningPlan,
    begin_log,
    leftovers,
    open_log,
    set_aside,
)
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.broker.partitions.upkeep import Upkeep
from nodes.runtime.ownership import META_FILE
from nodes.storage.disk import Damaged, StorageError
from nodes.storage.log_files import (
    DELETED_SUFFIX,
    FUTURE_SUFFIX,
    METADATA_NAME,
    decode_metadata,
)
from transport.kernel import Now
from transport.wire.ids import NO_METADATA, PartitionKey, TopicId, TopicPartition

STRAYS_AFTER_MS = 60_000
"""By then the image is whole: a folder of a topic that it does not know belongs to nobody."""
KEPT = DAMAGED, FUTURE_SUFFIX
"""Folders that others remove: people, and the move that has made it."""


class LogShelf:
    """The folders of logs of this broker."""

    def __init__(
        self, context: BrokerContext, upkeep: Upkeep, on_failed: OnDirectoryFailed
    ) -> None:
        self._context = context
        self._upkeep = upkeep
        self._on_failed = on_failed
        self._busy: set[str] = set()
        self._waiting: dict[str, Replica] = {}
        self._leaving: dict[TopicPartition, Replica | None] = {}
        """Names that logs had whose removal is not on the disk yet, and who wants such a one anew."""
        self._unsettled: dict[LogDirectory, list[TopicPartition]] = {}
        """Those of them that no sync under way is for, by where they were."""
        self._syncing: set[LogDirectory] = set()
        self._started = False

    def start(self, now: Now) -> None:
        """Remove what an earlier process did not live to remove; again does nothing."""
        if self._started:
            return
        self._started = True
        self._context.timers.after(now, STRAYS_AFTER_MS, self._remove_strays)
        for directory in self._context.directories.all:
            if directory.is_online:
                self._remove_leftovers(directory)
        for folder in self._context.directories.twice:
            self._context.report("logs_twice", f"{folder}: another directory has that log too")

    def _remove_leftovers(self, directory: LogDirectory) -> None:
        disk = self._context.disk
        if self._has_several:
            try:
                disk.sync_folder(directory.path)  # What is not there must not come back.
            except StorageError as error:
                self._on_failed(directory, error)
                return
        try:
            for folder in leftovers(disk, directory.path):
                self._discard(folder)
        except StorageError as error:
            self._context.report("folders_not_removed", str(error))

    @property
    def _has_several(self) -> bool:
        return len(self._context.directories.all) > 1

    # Opening

    def open(self, replica: Replica, now: Now) -> None:
        """Open a replica's log: at once where there is none yet, else in the pool."""
        if replica.name in self._leaving:
            self._leaving[replica.name] = replica
            return
        self._upkeep.meet(replica.name)
        replica.directory = directory = self._context.directories.home(replica.name)
        if not directory.is_online:
            replica.fail(StorageError(f"{directory.path} is offline: {directory.failure}"), now)
            return
        if self._must_stay_lost(replica):
            text = f"what was in {directory.path} is lost: bring it back if nobody else was in sync"
            replica.fail(Damaged(text), now)
            return
        folder = directory.folder_of(replica.name)
        if folder in self._busy:
            self._waiting[folder] = replica
            return
        disk, same_boot = self._context.disk, self._context.same_boot
        plan = OpeningPlan(
            replica.key,
            folder,
            replica.settings.log,
            self._upkeep.high_watermark(replica.name),
            self._upkeep.recovery_point(replica.name),
            self._upkeep.log_start_offset(replica.name),
            self._upkeep.cleaned_to(replica.name),
            self._upkeep.was_clean or same_boot,
            None if same_boot else self._upkeep.indexes_sum(replica.name),
        )
        try:
            if not disk.exists(folder):
                self._opened(replica, begin_log(disk, plan), now)
                return
        except StorageError as error:
            self._failed(replica, error, now)
            return
        self._busy.add(folder)

        def done(result: OpenedLog | BaseException, now: Now) -> None:
            self._busy.discard(folder)
            if isinstance(result, OpenedLog):
                self._opened(replica, result, now)
            else:
                self._failed(replica, result, now)
            following = self._waiting.pop(folder, None)
            if following is not None and following.state is ReplicaState.OPENING:
                self.open(following, now)

        self._context.ports.pool.submit(lambda: open_log(disk, plan), done)

    def _must_stay_lost(self, replica: Replica) -> bool:
        """Tell whether an empty log would take the place of one that is counted on."""
        directories, record = self._context.directories, replica.record
        if self._context.id not in (*record.isr, *record.elr):
            directories.begun_anew(replica.name)
        return directories.is_lost(replica.name)

    def _opened(self, replica: Replica, opened: OpenedLog, now: Now) -> None:
        if replica.state is not ReplicaState.OPENING:
            opened.log.close()
            if replica.state is ReplicaState.GONE:
                self.remove(replica)
            return
        if opened.log.cut_bytes:
            self._context.count("torn_tails_cut")
        replica.opened(opened, now)
        upkeep, name, log = self._upkeep, replica.name, opened.log
        if (
            upkeep.high_watermark(name) > log.log_end_offset
            or upkeep.recovery_point(name) > log.recovery_point
            or upkeep.cleaned_to(name) > log.cleaned_to
            or upkeep.log_start_offset(name) > log.log_start_offset
        ):
            # Of an earlier log of this name: it must not be believed of this one after a crash.
            self._upkeep.note_all()

    def _failed(self, replica: Replica, error: BaseException, now: Now) -> None:
        if replica.state is not ReplicaState.OPENING:
            return
        if not isinstance(error, StorageError):
            raise error
        replica.fail(error, now)

    def replace(self, damaged: Replica, anew: Replica, now: Now) -> None:
        """Put a damaged log aside, where people can look at it, and begin an empty one."""
        try:
            folder = damaged.directory.folder_of(damaged.name)
            if self._context.disk.exists(folder):
                set_aside(self._context.disk, folder, DAMAGED)
        except StorageError as error:
            anew.fail(error, now)
            return
        text = f"{damaged.name}: the damaged log is put aside, and fetched anew from the leader"
        self._context.report("logs_fetched_anew", text)
        self.open(anew, now)

    # Removing

    def remove(self, replica: Replica) -> None:
        """Remove the log of a replica that is gone; one that is being opened, right after that."""
        directory = replica.directory
        folder = directory.folder_of(replica.name)
        if self._leaving.get(replica.name) is replica:
            self._leaving[replica.name] = None
            self._context.directories.forget(replica.name)
            return
        if folder in self._busy:
            if self._waiting.get(folder) is replica:
                del self._waiting[folder]
            return
        self._context.directories.forget(replica.name)
        if not directory.is_online:
            return
        try:
            if self._context.disk.exists(folder):
                aside = set_aside(self._context.disk, folder, DELETED_SUFFIX)
                if self._has_several:
                    self._settle(replica.name, directory)
                self._discard(aside)
        except StorageError as error:
            self._context.report("folders_not_removed", str(error))

    def _settle(self, name: TopicPartition, directory: LogDirectory) -> None:
        """Have it on the disk that a log has left its name; whoever wants that waits meanwhile."""
        self._leaving.setdefault(name, None)
        self._unsettled.setdefault(directory, []).append(name)
        if directory not in self._syncing:
            self._sync_names(directory)

    def _sync_names(self, directory: LogDirectory) -> None:
        """One sync at a time, for all that have left by then: thousands may at once."""
        disk, names = self._context.disk, self._unsettled.pop(directory)
        self._syncing.add(directory)

        def done(result: BaseException | None, now: Now) -> None:
            self._syncing.discard(directory)
            if isinstance(result, StorageError):
                self._on_failed(directory, result)
            elif result is not None:
                raise result
            if directory in self._unsettled:
                self._sync_names(directory)
            for name in names:
                following = self._leaving.pop(name, None)
                if following is not None and following.state is ReplicaState.OPENING:
                    self.open(following, now)

        self._context.ports.pool.submit(lambda: disk.sync_folder(directory.path), done)

    def _discard(self, aside: str) -> None:
        disk = self._context.disk

        def done(result: BaseException | None, now: Now) -> None:
            if isinstance(result, BaseException):
                self._context.report("folders_not_removed", f"{aside}: {result}")

        self._context.ports.pool.submit(lambda: disk.remove(aside), done)

    def _remove_strays(self, now: Now) -> None:
        """Topics that were deleted while this broker was away, and partitions that went to others,
        leave folders behind, and notes."""
        image = self._context.image
        if image.position == NO_METADATA:
            self._context.timers.after(now, STRAYS_AFTER_MS, self._remove_strays)
            return
        for name in self._upkeep.unmet():
            topic = image.topic(name.topic)
            if topic is None or not self._is_ours(topic.topic_id, name):
                self._upkeep.meet(name)
        for directory in self._context.directories.all:
            try:
                if directory.is_online:
                    self._remove_strays_in(directory)
            except StorageError as error:
                self._context.report("folders_not_removed", str(error))

    def _remove_strays_in(self, directory: LogDirectory) -> None:
        image, disk = self._context.image, self._context.disk
        for name in disk.list(directory.path):
            folder = f"{directory.path}/{name}"
            topic_id = None
            if name != META_FILE:
                topic_id = decode_metadata(disk.read_file(f"{folder}/{METADATA_NAME}"))
            if topic_id is None or name.endswith(KEPT) or folder in self._busy:
                continue
            partition = partition_in(name)
            if topic_id not in image.topics or (
                partition is not None and not self._is_ours(topic_id, partition)
            ):
                self._context.count("strays_removed")
                aside = set_aside(disk, folder, DELETED_SUFFIX)
                if partition is not None and self._has_several:
                    self._settle(partition, directory)
                self._discard(aside)

    def _is_ours(self, topic_id: TopicId, name: TopicPartition) -> bool:
        """Tell whether this broker is to have a replica of a partition, as far as anybody knows."""
        record = self._context.image.partition(PartitionKey(topic_id, name.partition))
        return record is None or self._context.id in record.replicas
