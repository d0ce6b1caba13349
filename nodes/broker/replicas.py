"""The partitions of a broker: which replicas it hosts, and the parts that serve them.

Follows the image (``apply``), opens and removes logs, and composes produce, fetch, offsets,
fetchers, ISR changes and upkeep, which never meet but here.  Decides nothing about a partition:
that is the partition core's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from nodes.broker.api.log_dirs import LogDirsApi, LogSizes
from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.peers import Peers
from nodes.broker.context import BrokerContext, Request
from nodes.broker.logs.directories import LogDirectory
from nodes.broker.partitions.assignments import LOG_COST, Assignments, Change
from nodes.broker.partitions.cleaner import LogCleaner
from nodes.broker.partitions.failed_replicas import FailedReplicas
from nodes.broker.partitions.fetchers import Fetchers
from nodes.broker.partitions.isr_changes import IsrChanges
from nodes.broker.partitions.log_moves import LogMoves
from nodes.broker.partitions.log_shelf import LogShelf
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.broker.partitions.retention import RetentionRounds
from nodes.broker.partitions.topic_settings import SettingsOfTopics
from nodes.broker.partitions.upkeep import Upkeep
from nodes.broker.records.deletion import Deletions
from nodes.broker.records.fetch import Fetches, Movement
from nodes.broker.records.listings import Listings
from nodes.broker.records.offsets import Offsets
from nodes.broker.records.produce import Produces, Verify
from nodes.broker.wakeups import Wakeups
from nodes.core.partition.events import Gap
from nodes.storage.disk import StorageError
from transport.driver.ports import LinkId
from transport.kernel import TICK, Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, PartitionKey, TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.deletion import DeleteRecordsRequest
from transport.wire.messages.fetch import (
    FetchRequest,
    ListOffsetsRequest,
    OffsetForLeaderEpochRequest,
)
from transport.wire.messages.log_directories import LogSize
from transport.wire.messages.metadata import PartitionChange, PartitionRecord
from transport.wire.messages.produce import ProduceRequest
from transport.wire.messages.topics import DescribeTopicsRequest
from transport.wire.messages.transactions import DescribeProducersRequest

Handler = Callable[[Request, Now], None]
OnMoved = Callable[[Replica, Now], None]


class Replicas:
    """Hosts this broker's replicas."""

    def __init__(self, context: BrokerContext, peers: Peers, channel: ControllerChannel) -> None:
        self._context = context
        self._topics: dict[TopicId, dict[int, Replica]] = {}
        self._led: set[Replica] = set()
        self._assignments = Assignments()
        self._settings = SettingsOfTopics(context)
        self._moved: dict[Replica, None] = {}
        self._has_failed = False
        self._watchers: dict[str, OnMoved] = {}
        self._wakeups = Wakeups[Replica]()
        self._upkeep = Upkeep(context, self._all)
        self._shelf = LogShelf(context, self._upkeep, self._directory_failed)
        self._retention = RetentionRounds(context, self._all)
        self._cleaner = LogCleaner(context, self._all)
        self._moves = LogMoves(context, self._cleaner, self._directory_failed)
        self._fetchers = Fetchers(context, peers)
        self._isr_changes = IsrChanges(context, channel)
        self._failed_replicas = FailedReplicas(context, channel, self.find)
        self._produces = Produces(context, self._lookup_to_write)
        self._fetches = Fetches(context, self.lookup)
        self._listings = Listings(context, self.lookup)
        offsets = Offsets(context, self.lookup, self._of_topic)
        self.handlers: dict[type[Message], Handler] = {
            ProduceRequest: self._produces.on_request,
            FetchRequest: self._fetches.on_request,
            ListOffsetsRequest: self._listings.on_request,
            OffsetForLeaderEpochRequest: offsets.on_epoch_ends,
            DescribeTopicsRequest: offsets.on_describe,
            DeleteRecordsRequest: Deletions(context, self.lookup).on_request,
            DescribeProducersRequest: offsets.on_producers,
            **LogDirsApi(context, self.log_sizes, self.lookup, self._moves).handlers,
        }

    # The table

    def _all(self) -> Iterator[Replica]:
        for replicas in self._topics.values():
            yield from replicas.values()

    def _of_topic(self, topic_id: TopicId) -> Iterable[Replica]:
        return self._topics.get(topic_id, {}).values()

    def lookup(self, key: PartitionKey) -> Replica | ErrorCode:
        """Return the replica hosted here, or why there is none."""
        replica = self._topics.get(key.topic_id, {}).get(key.partition)
        if replica is not None:
            return replica
        if key.topic_id not in self._context.image.topics:
            return ErrorCode.UNKNOWN_TOPIC_ID
        if self._context.image.partition(key) is None:
            return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if key in self._assignments:
            return ErrorCode.UNKNOWN_LEADER_EPOCH
        return ErrorCode.NOT_LEADER_OR_FOLLOWER

    def _lookup_to_write(self, key: PartitionKey, now: Now) -> Replica | ErrorCode:
        """Look a partition up that somebody writes to: a change of its role is not waited for.

        After a broker's death its partitions' writers are here before their turn comes.
        """
        if self.find(key) is not None and self._assignments.take_one(key):
            self._assign(key, now)
        return self.lookup(key)

    def find(self, key: PartitionKey) -> Replica | None:
        """Return the replica hosted here, for tests and for the parts to come."""
        return self._topics.get(key.topic_id, {}).get(key.partition)

    def watch(self, topic: str, on_moved: OnMoved) -> None:
        """Tell of every change of role, log end or high watermark of a topic's replicas here."""
        self._watchers[topic] = on_moved

    def verify_with(self, verify: Verify) -> None:
        """Ask the coordinators of transactions by this."""
        self._produces.verify = verify

    def leader_count(self) -> int:
        """Return how many partitions this broker leads."""
        return len(self._led)

    def replica_count(self) -> int:
        """Return how many replicas this broker hosts."""
        return sum(map(len, self._topics.values()))

    def log_sizes(self) -> LogSizes:
        """Return what the logs here weigh, by their directories."""
        sizes: dict[LogDirectory, list[LogSize]] = {
            directory: [] for directory in self._context.directories.all
        }
        for replica in self._all():
            size_bytes = 0 if replica.log is None else replica.log.size_bytes
            sizes[replica.directory].append(LogSize(*replica.name, size_bytes, replica.lag))
        for copied, directory, size_bytes, end in self._moves.arrivals():
            lag = 0 if copied.log is None else max(0, copied.log.log_end_offset - end)
            sizes[directory].append(LogSize(*copied.name, size_bytes, lag, is_future=True))
        return sizes

    # The image

    def apply(self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now) -> None:
        """Take over what has changed in the image, at the end of the turn: host, lead, follow, remove.

        Whoever waits for the image to be so new hears of it first.
        """
        self._upkeep.start(now)
        self._shelf.start(now)
        self._retention.start(now)
        self._cleaner.start(now)
        self._moves.start()
        for topic_id in removed:
            self._assignments.add(self._topics.pop(topic_id, {}).values())
        self._assignments.add(changed)

    def _take_over(self, now: Now) -> None:
        """Do as much of what the image asks as this turn has room for."""
        changes = self._assignments.take(self._cost_of)
        if not changes:
            return
        for change in changes:
            if isinstance(change, Replica):
                self._remove(change, ErrorCode.UNKNOWN_TOPIC_ID, now)
            else:
                self._assign(change, now)
        self._note_directories()

    def _note_directories(self) -> bool:
        """Note where logs are, if that has changed; False: the disk refuses."""
        try:
            self._context.directories.note()
        except StorageError as error:
            self._context.report("checkpoints_failed", str(error))
            return False
        return True

    def _cost_of(self, change: Change) -> int:
        if isinstance(change, Replica):
            return LOG_COST
        record = self._context.image.partition(change)
        hosted = record is not None and self._context.id in record.replicas
        return 1 if hosted == (self.find(change) is not None) else LOG_COST

    def _assign(self, key: PartitionKey, now: Now) -> None:
        replica, record = self.find(key), self._context.image.partition(key)
        if record is None:
            return
        if self._context.id not in record.replicas:
            if replica is not None:
                del self._topics[key.topic_id][key.partition]
                self._remove(replica, ErrorCode.NOT_LEADER_OR_FOLLOWER, now)
            return
        record = self._since_our_start(record)
        topic = self._context.image.topics[key.topic_id]
        settings = self._settings.of(topic)
        if replica is None:
            name = TopicPartition(topic.name, key.partition)
            replica = Replica(self._context, self, key, name, record, settings)
            self._topics.setdefault(key.topic_id, {})[key.partition] = replica
            self._shelf.open(replica, now)
        else:
            replica.assign(record, settings, now)
            self._failed_replicas.look_at(replica, now)
            if replica.is_damaged:
                self._on_unusable(replica, now)

    def _since_our_start(self, record: PartitionRecord) -> PartitionRecord:
        """Lead nothing by an image that still speaks of this broker's earlier process.

        That one may have had records which this one has not, under the same leader epoch.
        """
        if record.leader != self._context.id or self._knows_our_start():
            return record
        self._context.count("leaderships_of_the_past")
        return replace(record, leader=NO_NODE)

    def _knows_our_start(self) -> bool:
        """Tell whether the image has this very process registered: it holds all that was before."""
        me = self._context.image.brokers.get(self._context.id)
        return me is not None and me.incarnation == self._context.config.incarnation

    def _remove(self, replica: Replica, error: ErrorCode, now: Now) -> None:
        replica.retire(error, now)
        self._fetchers.drop(replica)
        self._shelf.remove(replica)

    def _on_unusable(self, replica: Replica, now: Now) -> None:
        """A damaged log of a follower is put aside, and fetched again from its leader.

        Only once nobody counts on it any more: whoever elected the empty one would lose everything.
        """
        record, me = replica.record, self._context.id
        if record.leader in (NO_NODE, me) or me in (*record.isr, *record.elr):
            return
        if self.find(replica.key) is not replica:
            return
        self._fetchers.drop(replica)
        anew = Replica(
            self._context, self, replica.key, replica.name, replica.record, replica.settings
        )
        self._topics[replica.key.topic_id][replica.key.partition] = anew
        self._shelf.replace(replica, anew, now)

    # What replicas tell

    def on_propose(self, replica: Replica, change: PartitionChange) -> None:
        """As ReplicaHost."""
        self._isr_changes.add(replica, change)

    def on_cut(self, replica: Replica) -> None:
        """As ReplicaHost."""
        self._upkeep.note_cut(replica)
        self._moves.on_cut(replica)

    def may_append(self) -> bool:
        """As ReplicaHost."""
        return self._upkeep.settle() and self._note_directories()

    def on_begun_later(self, replica: Replica) -> None:
        """As ReplicaHost."""
        self._upkeep.log_starts.changed()

    def on_directory_failed(self, replica: Replica, error: StorageError) -> None:
        """As ReplicaHost."""
        self._directory_failed(replica.directory, error)

    def _directory_failed(self, directory: LogDirectory, error: StorageError) -> None:
        if directory.is_online:
            self._has_failed = True
            text = f"log directory {directory.path} is offline: {error}"
            self._context.report("log_directories_failed", text)
            self._context.directories.fail(directory, error)

    def _fail_directories(self, now: Now) -> None:
        """Take what was in a failed directory offline as a whole.

        Raises StorageError when no directory is left: that ends the broker.
        """
        self._has_failed = False
        self._context.directories.raise_if_none_works()
        for replica in list(self._all()):
            directory = replica.directory
            usable = replica.state in (ReplicaState.ONLINE, ReplicaState.OPENING)
            if usable and not directory.is_online:
                replica.fail(StorageError(f"{directory.path} is offline"), now)

    def on_moved(self, replica: Replica) -> None:
        """As ReplicaHost."""
        self._moved[replica] = None

    # Turns

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Nothing comes over links but answers, which find their way by their numbers."""
        return False

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """A way to a leader opened: poll at once. False: none of those followed."""
        return self._fetchers.on_link(link, up)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """Judge followers and producers later by what this loop was away; elsewhere nobody waits."""
        waiting = dict.fromkeys([*self._wakeups.waiting(), *self._isr_changes.concerned()])
        for replica in waiting:
            replica.step(Gap(gap_ms), now)

    def end_turn(self, now: Now) -> None:
        """Do what is due, poll leaders, answer fetches, propose ISR changes."""
        self._take_over(now)
        self._assignments.begin_turn()
        self._produces.end_turn(now)
        self._listings.end_turn(now)
        for replica in self._wakeups.due(now.mono_ms):
            replica.step(TICK, now)
        if self._has_failed:
            self._fail_directories(now)
        moved = self._take_moved(now) if self._moved else {}
        movements = [movement for replica in moved if (movement := self._movement(replica))]
        self._fetchers.end_turn(now)
        self._fetches.end_turn(movements, now)
        for movement in movements:
            watcher = self._watchers.get(movement.replica.name.topic)
            if watcher is not None:
                watcher(movement.replica, now)
        for replica in [*moved, *self._moved]:
            deadline_ms = None if replica.core is None else replica.core.next_deadline_ms()
            self._wakeups.set(replica, deadline_ms)
        self._upkeep.log_starts.end_turn(now)
        self._failed_replicas.end_turn(now)
        self._isr_changes.end_turn(now)

    @property
    def has_moved(self) -> bool:
        """Replicas have moved since the end of the turn."""
        return bool(self._moved) or self._has_failed

    def _take_moved(self, now: Now) -> dict[Replica, None]:
        """Return what may have moved in this turn, once what has failed among it is seen to."""
        for replica in [one for one in self._moved if one.state is ReplicaState.OFFLINE]:
            self._failed_replicas.look_at(replica, now)
            if replica.is_damaged:
                self._on_unusable(replica, now)
        moved, self._moved = self._moved, {}
        self._upkeep.moved(moved)
        return moved

    def _movement(self, replica: Replica) -> Movement | None:
        """Compare a replica with what it was when its readers were last told."""
        seen, is_now = replica.seen, replica.look()
        if seen == is_now:
            return None
        replica.seen = is_now
        role = (seen.leader, seen.leader_epoch) != (is_now.leader, is_now.leader_epoch)
        starts = seen.log_start_offset != is_now.log_start_offset
        if is_now.leader == self._context.id:
            self._led.add(replica)
        else:
            self._led.discard(replica)
        if role or starts or seen.durable_offset != is_now.durable_offset:
            self._fetchers.assign(replica)
        return Movement(
            replica,
            starts or seen.log_end_offset != is_now.log_end_offset,
            seen.high_watermark != is_now.high_watermark
            or seen.last_stable_offset != is_now.last_stable_offset,
            role,
            seen.partition_epoch != is_now.partition_epoch,
        )

    def next_deadline_ms(self) -> int | None:
        """Return when a replica, a fetch or a poll is due."""
        if self._moved or self._assignments:
            return 0
        return earliest(
            self._wakeups.next_deadline_ms(),
            self._produces.next_deadline_ms(),
            self._listings.next_deadline_ms(),
            self._fetches.next_deadline_ms(),
            self._fetchers.next_deadline_ms(),
        )

    def stop(self, now: Now) -> None:
        """Sync, note and close everything; blocks until it is done."""
        for replica in self._assignments.gone():
            replica.close()
        for replica in self._all():
            self._fetchers.drop(replica)
        self._upkeep.stop(opened_all=self._knows_our_start() and not self._assignments)

    def check(self) -> None:
        """Assert the invariants of every replica and of the tables."""
        for replica in self._all():
            replica.check()
        if not self._moved and not self._assignments:
            leading = {replica for replica in self._all() if replica.is_leader}
            assert leading == self._led, "what is led here is counted"
            self._upkeep.check()
        self._fetches.check()
        self._listings.check()
        self._fetchers.check()
