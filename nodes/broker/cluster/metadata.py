"""The image of this broker: kept up with the controller's, and told on to its clients.

The one place that changes ``context.image``.  Deltas come by PUB and are applied in the order of
their versions; what was missed is noticed by a gap or by the number in a heartbeat, and fetched
from the controller, one fetch at a time.  Each applied delta goes to the replicas, then to clients.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import NamedTuple, Protocol

from msgspec.structs import replace

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.context import BrokerContext, Request
from nodes.core.controller.formats import formats_in, too_old
from nodes.core.controller.image import ClusterImage
from nodes.settings import ConfigError
from transport.kernel import Now, earliest
from transport.wire.codec import Buffer, Envelope, Kind
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    NO_METADATA,
    NO_NODE,
    MetadataPosition,
    MetadataVersion,
    PartitionKey,
    TopicId,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import Heartbeat
from transport.wire.messages.configs import KIND_BROKER
from transport.wire.messages.metadata import (
    EVENT_DELTA,
    EVENT_METADATA,
    AclRecord,
    BrokerRecord,
    ConfigRecord,
    FetchImageRequest,
    FetchImageResponse,
    MetadataDelta,
    MetadataRecord,
    PartitionRecord,
    RemoveTopicRecord,
    TopicRecord,
    UserRecord,
)
from transport.wire.messages.users import ScramCredential

HISTORY_DELTAS = 1_000
HISTORY_RECORDS = 20_000
"""Deltas kept for those who missed some; beyond either bound the oldest go."""
WAITING_MAX = 10_000
JUDGED = (TopicRecord, ConfigRecord, AclRecord)
"""What is not published where clients are judged: whoever is let in hears all events."""
SECRET = (UserRecord,)
"""What is published nowhere."""

OnApplied = Callable[[bool, Now], None]
"""True: this broker's image is at the version waited for. False: not within the time."""


class ImageFollower(Protocol):
    """Whoever acts on changes of the image: the replicas."""

    def apply(self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now) -> None:
        """The image has these changes now."""
        ...


class _Nobody:
    def apply(
        self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now
    ) -> None: ...


class _Waiting(NamedTuple):
    version: MetadataVersion
    due_ms: int
    on_applied: OnApplied


class Metadata:
    """Applies, fetches, publishes, and keeps the last deltas for those who missed them."""

    def __init__(
        self,
        context: BrokerContext,
        channel: ControllerChannel,
        follower: ImageFollower,
        *,
        from_log: bool = False,
    ) -> None:
        """``from_log``: a member of the quorum takes the image from its log, and from nowhere else."""
        self._context = context
        self._from_log = from_log
        self.is_current = context.config.mode == "zookeeper"
        """What the cluster is now is known: the follower acts on it from then on.  In mode ``kraft``
        a start begins with an image of the past."""
        self._channel = channel
        self._follower = follower
        self.on_brokers: Callable[[Iterable[BrokerRecord], Now], None] = _nobody
        """Told of brokers before anybody acts on partitions that these have."""
        self.in_log: Callable[[], Iterable[MetadataDelta]] = tuple
        """What a member of the quorum finds in its log; elsewhere nothing."""
        self._history: deque[MetadataDelta] = deque()
        self._history_records = 0
        self._fetching = False
        self._fetch_ms: int | None = None
        """When to fetch; None: nothing is known to be missing."""
        self._newest_heard = MetadataVersion(0)
        self._waiting: list[_Waiting] = []

    @property
    def image(self) -> ClusterImage:
        """What this broker has applied."""
        return self._context.image

    @property
    def is_known(self) -> bool:
        """Tell whether the image is one of the cluster's present, however old by now."""
        return self.is_current and self.image.position != NO_METADATA

    # Changes

    def on_delta(self, delta: MetadataDelta, now: Now) -> None:
        """Take a delta that another broker, as controller, has published."""
        if self._from_log or delta.version <= self.image.position.version:
            return
        self._hear(delta.version)
        if not delta.records:
            self._want(now.mono_ms)  # withheld: the controller tells it to brokers that ask
        elif self._follows(delta):
            self._apply(delta, now)
        else:
            self._context.count("metadata_gaps")
            self._want(now.mono_ms)

    def on_beat(self, beat: Heartbeat, now: Now) -> None:
        """Notice by a heartbeat what was missed; anybody's, but the controller's at once."""
        if beat.is_controller and self._is_news(beat):
            self._channel.learn(beat.node_id, beat.controller_epoch, now)
            self._want(now.mono_ms)
        if beat.metadata_version > self.image.position.version:
            self._hear(beat.metadata_version)
            patience_ms = 0 if beat.is_controller else self._retry_ms()
            self._want(now.mono_ms + patience_ms)

    def _is_news(self, beat: Heartbeat) -> bool:
        """Tell whether a beat knows the controller better than we: without our session we know
        only what we last saw in the tree; in mode ``kraft`` beats are how brokers know it.

        Of an earlier epoch it is no news, even while nobody is known: beats may be late.  That the
        image is of its epoch already does not say who it is.
        """
        epoch, known = beat.controller_epoch, self._channel.epoch
        if epoch < self.image.position.controller_epoch:
            return False
        return epoch > known or (epoch == known and self._channel.controller == NO_NODE)

    def on_controller(self, now: Now) -> None:
        """Somebody else may be the controller now: what it has committed may be news."""
        self._want(now.mono_ms)

    def take(self, delta: MetadataDelta, now: Now) -> None:
        """Take the delta that this broker's own controller has committed, and spread it."""
        if delta.version <= self.image.position.version:
            return  # a later controller, which has it from the store, was quicker to tell
        assert self._follows(delta), (delta.version, self.image.position)
        self._publish(EVENT_DELTA, delta)
        self._apply(delta, now)

    def follow(self, delta: MetadataDelta, now: Now) -> None:
        """Take a delta from the log of the quorum, committed by a controller elsewhere."""
        self._apply(delta, now)

    def became_current(self, now: Now) -> None:
        """The image is that of the cluster's present: let the follower act on it, all at once."""
        if not self.is_current:
            self.is_current = True
            self._tell_follower(self._hosted(), (), now)

    def stop(self) -> None:
        """Tell the follower nothing any more: it has closed."""
        self._follower = _Nobody()

    def install(
        self, position: MetadataPosition, records: Iterable[MetadataRecord], now: Now
    ) -> None:
        """Replace the image by a newer one, known as a whole."""
        old, old_configs = dict(self.image.partitions), self._all_configs()
        self.image.load(position, records)
        self.on_brokers(self.image.brokers.values(), now)
        self._history.clear()
        self._history_records = 0
        changed = [
            PartitionKey(topic_id, number)
            for topic_id, partitions in self.image.partitions.items()
            for number, record in partitions.items()
            if old.get(topic_id, {}).get(number) != record
        ]
        if self._all_configs() != old_configs:
            changed = list(dict.fromkeys([*changed, *self._hosted()]))
        removed = [topic_id for topic_id in old if topic_id not in self.image.partitions]
        self._tell_follower(changed, removed, now)
        self._applied(now)

    def _follows(self, delta: MetadataDelta) -> bool:
        position = self.image.position
        in_order = delta.controller_epoch >= position.controller_epoch
        return delta.version == position.version + 1 and in_order

    def _apply(self, delta: MetadataDelta, now: Now) -> None:
        changed: dict[PartitionKey, None] = {}
        removed: list[TopicId] = []
        concerned = (KIND_BROKER, ""), (KIND_BROKER, str(self._context.id))
        for record in delta.records:
            if isinstance(record, PartitionRecord):
                changed[PartitionKey(record.topic_id, record.partition)] = None
            elif isinstance(record, RemoveTopicRecord):
                removed.append(record.topic_id)
            elif isinstance(record, TopicRecord):
                known = self.image.partitions.get(record.topic_id, {})
                changed.update((PartitionKey(record.topic_id, number), None) for number in known)
            elif isinstance(record, ConfigRecord) and (record.kind, record.name) in concerned:
                changed.update(dict.fromkeys(self._hosted()))
        self.image.apply(delta)
        brokers = [record for record in delta.records if isinstance(record, BrokerRecord)]
        self.on_brokers(brokers, now)
        self._remember(delta)
        self._tell_follower(list(changed), removed, now)
        self._publish(EVENT_METADATA, delta)
        self._applied(now)

    def _all_configs(self) -> list[dict[str, str]]:
        """Return everything that the settings of the partitions hosted here come from."""
        topics = [topic.configs for topic in self.image.topics.values()]
        return [self.image.broker_configs(self._context.id), *topics]

    def _hosted(self) -> Iterator[PartitionKey]:
        """Yield the partitions with a replica here: this broker's configs are theirs."""
        for topic_id, partitions in self.image.partitions.items():
            for number, record in partitions.items():
                if self._context.id in record.replicas:
                    yield PartitionKey(topic_id, number)

    def _tell_follower(
        self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now
    ) -> None:
        if self.is_current:
            self._follower.apply(changed, removed, now)

    def _publish(self, topic: bytes, delta: MetadataDelta) -> None:
        unheard = (*SECRET, *JUDGED) if self._context.config.authorizer else SECRET
        if any(isinstance(record, unheard) for record in delta.records):
            delta = replace(delta, records=())
        envelope = Envelope(Kind.EVENT, delta, cluster_id=self._context.config.cluster_id)
        self._context.ports.wire.publish(topic, envelope)

    def _applied(self, now: Now) -> None:
        version = self.image.position.version
        if version >= self._newest_heard and self.is_current:
            self._fetch_ms = None
        due = [waiting for waiting in self._waiting if waiting.version <= version]
        if due:
            self._waiting = [waiting for waiting in self._waiting if waiting.version > version]
            for waiting in due:
                waiting.on_applied(True, now)

    def when_applied(
        self, version: MetadataVersion, on_applied: OnApplied, due_ms: int, now: Now
    ) -> None:
        """Call back once the image is at ``version`` or later, or at ``due_ms``."""
        if version <= self.image.position.version:
            on_applied(True, now)
        elif len(self._waiting) >= WAITING_MAX:
            on_applied(False, now)
        else:
            self._hear(version)
            self._want(now.mono_ms + self._retry_ms())
            self._waiting.append(_Waiting(version, due_ms, on_applied))

    # History, for the others

    def _remember(self, delta: MetadataDelta) -> None:
        self._history.append(delta)
        self._history_records += len(delta.records)
        while len(self._history) > HISTORY_DELTAS or self._history_records > HISTORY_RECORDS:
            self._history_records -= len(self._history.popleft().records)

    def answer_image(self, request: Request, now: Now) -> None:
        """Answer a FETCH_IMAGE: the deltas after a version, or everything. For the controller."""
        body = request.envelope.body
        assert isinstance(body, FetchImageRequest)
        needed, version = formats_in(self.image), body.from_version
        if body.formats < needed and not body.own:
            known = self.image.brokers.get(body.broker_id)
            name = f"broker {body.broker_id}" if known is None else known.name
            text = too_old(name, body.formats, needed)
            self._context.report("image_fetches_refused", text)
            self._context.reply(request, Refusal(ErrorCode.UNSUPPORTED_VERSION, text))
            return
        told = self._log_after(version) if body.own and version > 0 else self._image_after(version)
        self._context.reply(request, _without_secrets(told) if body.own else told)

    def _log_after(self, version: MetadataVersion) -> FetchImageResponse:
        """Return the next deltas that are still to be had here, in memory or in the quorum's log: as many
        as are kept in memory, and no more records."""
        epoch, newest = self.image.position
        first = self._history[0].version if self._history else newest + 1
        older = (delta for delta in self.in_log() if delta.version < first)
        found: list[MetadataDelta] = []
        records = 0
        for delta in chain(older, self._history):
            if delta.version > version:
                found.append(delta)
                records += len(delta.records)
            if len(found) >= HISTORY_DELTAS or records >= HISTORY_RECORDS:
                break
        return FetchImageResponse(ErrorCode.NONE, epoch, newest, deltas=tuple(found))

    def _image_after(self, version: MetadataVersion) -> FetchImageResponse:
        epoch, newest = self.image.position
        if version == newest:
            return FetchImageResponse(ErrorCode.NONE, epoch, newest)
        # Whoever has nothing gets the whole: told the history, it would open the logs of topics that
        # are gone, and take those of their later namesakes away for it.
        if version > 0 and self._history and self._history[0].version - 1 <= version < newest:
            deltas = tuple(delta for delta in self._history if delta.version > version)
            return FetchImageResponse(ErrorCode.NONE, epoch, newest, deltas=deltas)
        records = tuple(self.image.records())
        return FetchImageResponse(ErrorCode.NONE, epoch, newest, full=True, records=records)

    # Fetching what was missed

    def _hear(self, version: MetadataVersion) -> None:
        self._newest_heard = max(self._newest_heard, version)

    def _retry_ms(self) -> int:
        return self._context.config.broker.heartbeat_interval_ms

    def _want(self, at_ms: int) -> None:
        if self._from_log:
            return
        self._fetch_ms = at_ms if self._fetch_ms is None else min(self._fetch_ms, at_ms)

    def _fetch(self, now: Now) -> None:
        self._fetch_ms = None
        if self._channel.controller == self._context.id:
            return  # what the controller itself lacks comes from the store
        self._fetching = True
        self._context.count("image_fetches")
        known = self.image.position.version if self.is_current else MetadataVersion(0)
        formats = self._context.formats
        request = FetchImageRequest(self._context.id, known, formats=formats)
        self._channel.ask(request, self._on_image, now)

    def _on_image(self, body: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
        self._fetching = False
        if isinstance(body, Refusal) and body.error == ErrorCode.UNSUPPORTED_VERSION:
            raise ConfigError(body.text)
        if not isinstance(body, FetchImageResponse) or body.error != ErrorCode.NONE:
            self._want(now.mono_ms + self._retry_ms())
            return
        if body.full and body.version > self.image.position.version:
            position = MetadataPosition(body.controller_epoch, body.version)
            self.install(position, body.records, now)
        for delta in body.deltas:
            if self._follows(delta):
                self._apply(delta, now)
        self.became_current(now)
        if self.image.position.version < self._newest_heard:
            self._want(now.mono_ms + self._retry_ms())

    # Time

    def end_turn(self, now: Now) -> None:
        """Fetch if that is due; give up waiting where the time is up."""
        if self._fetch_ms is not None and self._fetch_ms <= now.mono_ms and not self._fetching:
            self._fetch(now)
        if self._waiting:
            self._give_up(now)

    def _give_up(self, now: Now) -> None:
        late = [waiting for waiting in self._waiting if waiting.due_ms <= now.mono_ms]
        if late:
            self._waiting = [waiting for waiting in self._waiting if waiting.due_ms > now.mono_ms]
            for waiting in late:
                waiting.on_applied(False, now)

    def next_deadline_ms(self) -> int | None:
        """Return when to fetch, or when somebody has waited long enough."""
        fetch_ms = None if self._fetching else self._fetch_ms
        return earliest(fetch_ms, *[waiting.due_ms for waiting in self._waiting])

    def check(self) -> None:
        """Assert that the image is sound, and the history a gapless end of it."""
        self.image.check()
        versions = [delta.version for delta in self._history]
        newest = self.image.position.version
        assert versions == list(range(newest - len(versions) + 1, newest + 1))


def _nobody(_brokers: Iterable[BrokerRecord], _now: Now) -> None:
    pass


def _without_secrets(told: FetchImageResponse) -> FetchImageResponse:
    """Return what people may be told of an image, or of deltas."""
    return replace(
        told,
        records=tuple(map(_public, told.records)),
        deltas=tuple(
            replace(delta, records=tuple(map(_public, delta.records))) for delta in told.deltas
        ),
    )


def _public(record: MetadataRecord) -> MetadataRecord:
    if not isinstance(record, UserRecord):
        return record
    told = (
        ScramCredential(one.mechanism, one.iterations, b"", b"", b"") for one in record.credentials
    )
    return UserRecord(record.name, tuple(told))
