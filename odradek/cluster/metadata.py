"""A client's view of the cluster: brokers, topics, leaders, and the way to each of them.

Owns the bootstrap (DESCRIBE_NODE, then METADATA), the subscriptions, and what is known of the
topics the client cares about.  Leaders arrive as announced deltas, so a client goes on when a
leader is *elected*; a lost delta shows in the next heartbeat and is repaired by a request.  It must
not know what the client does with topics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import NamedTuple

from odradek.cluster.announcements import Announcements
from odradek.cluster.backoff import Backoff
from odradek.cluster.discovery import Discovery
from odradek.cluster.links import Links
from odradek.cluster.topic_map import TopicMap, TopicView
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import (
    NO_METADATA,
    ClusterId,
    LeaderEpoch,
    MetadataPosition,
    NodeId,
    TopicId,
)
from transport.wire.messages import Message
from transport.wire.messages.cluster import DescribeNodeResponse, Heartbeat
from transport.wire.messages.metadata import (
    BrokerInfo,
    BrokerRecord,
    MetadataDelta,
    MetadataRequest,
    MetadataResponse,
)

METADATA_TIMEOUT_MS = 1_000
"""A broker answers METADATA from memory in a millisecond; one that does not is hung: ask another."""
METADATA_AGE_MAX_MS = 60_000
"""Asked again even when nothing tells of a change, should the events be blocked on their way."""
IDLE_MAX_MS = 300_000
"""What nobody has used for so long is asked about no more: Kafka's ``metadata.max.idle.ms``."""
REFRESH_MIN_MS = 20
REFRESH_MAX_MS = 1_000
NAMES_AT_ONCE = 2_000
"""Topics asked about in one request; who watches more asks one request after the other. Brokers
refuse 10,000 and more."""
NOWHERE_MS = 3_000
"""Without any broker's answer for this long, the seeds are asked again where the cluster is."""
AVOID_MS = 2_000


class Leader(NamedTuple):
    """Where to send a partition's requests now."""

    node: NodeId
    link: LinkId
    epoch: LeaderEpoch
    topic_id: TopicId


class ClusterView:
    """One per client program. Ask it, and ask it again after ``generation`` has grown."""

    def __init__(
        self,
        seeds: Sequence[str],
        calls: Calls,
        *,
        client_name: str = "",
        auto_create: bool = True,
        in_use: Callable[[int], Collection[str]] = lambda _since_ms: (),
    ) -> None:
        """``in_use`` tells the topics that are used, or were since then: the others are forgotten."""
        self.links = Links()
        self.generation = 0
        """Grows with every change of topics, leaders, brokers, or of who can be sent to."""
        self.position: MetadataPosition = NO_METADATA
        self.controller_id: NodeId = NodeId(-1)
        self.brokers: dict[NodeId, BrokerInfo] = {}
        self.fetched = False
        """A broker has answered METADATA at least once."""
        self._seeds = tuple(seeds)
        self._calls = calls
        self._client_name = client_name
        self._auto_create = auto_create
        self._ports: Ports | None = None
        self._announcements = Announcements(self._on_event)
        self._discovery: Discovery | None = None
        self._newest: MetadataPosition = NO_METADATA
        self._avoided_until_ms: dict[NodeId, int] = {}
        self._backoff = Backoff(REFRESH_MIN_MS, REFRESH_MAX_MS)
        self._due_ms: int | None = None
        self._asking = False
        self._again = False
        self._left: deque[MetadataRequest] = deque()
        """What of a look at all topics is still to be asked."""
        self._newest_told = True
        """All that was told in this look so far is as new as what is announced."""
        self._told_before = False
        """Something was told in this look."""
        self._answered_ms = 0
        self._map = TopicMap()
        self._in_use = in_use
        self._forget_ms = 0

    # Questions

    @property
    def cluster_id(self) -> ClusterId:
        """The cluster's id; empty until a node has said it."""
        return self._calls.cluster_id

    @property
    def topics(self) -> dict[str, TopicView]:
        """The topics that somebody cares about."""
        return self._map.topics

    def tried(self) -> str:
        """Say which addresses were tried and why each failed."""
        if self._discovery is not None:
            return self._discovery.tried()
        return "the cluster was found, but no broker has answered"

    def topic(self, name: str) -> TopicView | None:
        """Return a watched topic if it can be used now."""
        topic = self.topics.get(name)
        return topic if topic is not None and topic.usable else None

    def leader(self, name: str, partition: int, now: Now) -> Leader | None:
        """Return the partition's leader, if there is one that can be sent to now."""
        topic = self.topics.get(name)
        info = topic.partitions.get(partition) if topic is not None else None
        broker = self.brokers.get(info.leader) if info is not None else None
        if topic is None or info is None or broker is None or topic.error != ErrorCode.NONE:
            return None
        link = self.links.open(broker.clients)
        if not self.links.usable(link, now):
            return None
        return Leader(info.leader, link, info.leader_epoch, topic.topic_id)

    def replica(self, name: str, partition: int, node: NodeId, now: Now) -> Leader | None:
        """Return the way to a broker that holds the partition beside its leader, as that is now."""
        leader, broker = self.leader(name, partition, now), self.brokers.get(node)
        if leader is None or broker is None:
            return None
        link = self.links.open(broker.clients)
        return leader._replace(node=node, link=link) if self.links.usable(link, now) else None

    def any_broker(self, now: Now) -> tuple[NodeId, LinkId] | None:
        """Return a broker that will likely answer: one whose beats are heard, else any by chance."""
        assert self._ports is not None
        heard = [node for node in self._announcements.listening_to() if node in self.brokers]
        others = sorted(set(self.brokers) - set(heard))
        self._ports.random.shuffle(others)
        usable = [
            (node, link)
            for node in (*heard, *others)
            if self.links.usable(link := self.links.open(self.brokers[node].clients), now)
        ]
        good = [one for one in usable if self._avoided_until_ms.get(one[0], 0) <= now.mono_ms]
        choice = good or usable
        return choice[0] if choice else None

    # Orders

    def start(self, ports: Ports, now: Now) -> None:
        """Begin to look for the cluster."""
        self._ports = ports
        self.links.attach(ports.wire)
        self._announcements.attach(ports)
        self._answered_ms = now.mono_ms
        self._discover(now)

    def watch(self, name: str, now: Now) -> None:
        """Care about a topic: it is to be used, and made where it is not there, or was deleted."""
        if self._map.watch(name, now.mono_ms):
            self.refresh(now)

    def follow(self, name: str, now: Now) -> None:
        """Care about a topic if it is there: it is not made for that."""
        if self._map.follow(name, now.mono_ms):
            self.refresh(now)

    def avoid(self, node: NodeId, now: Now) -> None:
        """Ask others first for a while: this one did not answer as it should."""
        self._avoided_until_ms[node] = now.mono_ms + AVOID_MS

    def refresh(self, now: Now) -> None:
        """Ask for metadata at once: there is evidence of something newer."""
        if self._asking:
            self._again = True
        else:
            self._due_ms = now.mono_ms

    def refresh_later(self, now: Now) -> None:
        """Ask for metadata after a pause that grows while it does not help."""
        assert self._ports is not None
        soon_ms = now.mono_ms + REFRESH_MAX_MS
        if not self._asking and (self._due_ms is None or self._due_ms > soon_ms):
            self._due_ms = now.mono_ms + self._backoff.next_ms(self._ports.random)

    # Component

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take an event of one of the subscriptions."""
        return self._announcements.on_message(link, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of any link of this client."""
        if self._discovery is not None and self._discovery.on_link(link, up, now):
            return True
        if self._announcements.on_link(link, up, now):
            return True
        if not self.links.on_link(link, up):
            return False
        self.generation += 1
        if not up or not self.fetched:
            self.refresh_later(now)
        return True

    def end_turn(self, now: Now) -> None:
        """Ask what is due."""
        if self._discovery is not None:
            self._discovery.end_turn(now)
        self._announcements.end_turn(now)
        if self.links.end_turn(now):
            self.generation += 1
        if self._due_ms is not None and now.mono_ms >= self._due_ms and not self._asking:
            self._due_ms = None
            self._ask(now)

    def next_deadline_ms(self) -> int | None:
        """Return when this wants a turn."""
        discovery_ms = self._discovery.next_deadline_ms() if self._discovery is not None else None
        return earliest(
            self._due_ms,
            discovery_ms,
            self._announcements.next_deadline_ms(),
            self.links.next_deadline_ms(),
        )

    def delay(self, gap_ms: int) -> None:
        """Add a gap of the loop to the deadlines by which brokers are judged."""
        self._announcements.delay(gap_ms)
        self._answered_ms += gap_ms

    # Bootstrap

    def _discover(self, now: Now) -> None:
        assert self._ports is not None
        if self._discovery is None:
            self._discovery = Discovery(self._seeds, self._found, client_name=self._client_name)
            self._discovery.start(self._ports, self._calls, now)

    def _found(self, described: DescribeNodeResponse, now: Now) -> None:
        self._discovery = None
        self._answered_ms = now.mono_ms
        if described.cluster_id != self._calls.cluster_id:
            self.position = self._newest = NO_METADATA  # another cluster counts from another start
        self._calls.cluster_id = described.cluster_id
        self._take_brokers(
            [
                BrokerInfo(node.id, node.name, node.clients, node.events, node.rack)
                for node in described.nodes
                if "broker" in node.roles
            ],
            now,
        )
        self.refresh(now)

    def _take_brokers(self, brokers: Sequence[BrokerInfo], now: Now) -> None:
        if not brokers:
            return  # none is registered (yet): the addresses known are the best there is
        self.brokers = {broker.id: broker for broker in sorted(brokers, key=lambda one: one.id)}
        self.generation += 1
        for link in self.links.keep_only({broker.clients for broker in self.brokers.values()}):
            self._calls.on_link_down(link, now)
        self._announcements.choose(list(self.brokers.values()), now)

    # Requests

    def _ask(self, now: Now) -> None:
        if self._discovery is not None:
            return  # finding the cluster ends in a refresh
        target = self.any_broker(now)
        if target is None:
            self._nobody(now)
            return
        node, link = target

        def answered(body: Message, _payload: object, now: Now) -> None:
            self._answered(node, body, now)

        if not self._left:
            self._forget(now)
            self._left.extend(self._requests())
            self._newest_told, self._told_before = True, False
        self._asking = self._calls.request(
            link, self._left[0], answered, now, timeout_ms=METADATA_TIMEOUT_MS
        )
        if not self._asking:
            self.links.refused(link, now)
            self._nobody(now)

    def _requests(self) -> Iterator[MetadataRequest]:
        """Give what asks for all topics that are watched; at least one, for the brokers."""
        missed: list[str] = []
        others: list[str] = []
        for name, topic in self.topics.items():
            (missed if self._auto_create and topic.is_missed else others).append(name)
        # Nothing that was deleted, heard of or not, is made again by a look for something else.
        yield from (MetadataRequest(some, True) for some in _pieces(missed))
        yield from (MetadataRequest(some) for some in _pieces(others))
        if not self.topics:
            yield MetadataRequest(())

    def _forget(self, now: Now) -> None:
        """Let go of topics that are not used any more; now and then, as it asks about all."""
        if now.mono_ms >= self._forget_ms:
            self._forget_ms = now.mono_ms + METADATA_AGE_MAX_MS
            since_ms = now.mono_ms - IDLE_MAX_MS
            self._map.forget(since_ms, self._in_use(since_ms))

    def _nobody(self, now: Now) -> None:
        self._left.clear()  # by the time of the next look, what was told may be old
        if now.mono_ms >= self._answered_ms + NOWHERE_MS:
            self._answered_ms = now.mono_ms
            self._discover(now)
        else:
            self.refresh_later(now)

    def _answered(self, node: NodeId, body: Message, now: Now) -> None:
        self._asking = False
        if not isinstance(body, MetadataResponse) or body.error != ErrorCode.NONE:
            self.avoid(node, now)
            self._again = False
            self._nobody(now)
            return
        self.fetched = True
        self._answered_ms = now.mono_ms
        self._due_ms = now.mono_ms + METADATA_AGE_MAX_MS
        self._newest_told = self._apply(body, now) and self._newest_told
        self._left.popleft()
        if self._left:
            self._ask(now)
            return
        complete = self._newest_told and self._map.complete()
        again, self._again = self._again, False
        if again and complete:
            self.refresh(now)
        elif complete:
            self._backoff.reset()
        else:
            self._due_ms = None
            self.refresh_later(now)

    def _apply(self, told: MetadataResponse, now: Now) -> bool:
        """Take an answer; False: there is a newer one to be had, so ask again after a pause."""
        position = MetadataPosition(told.controller_epoch, told.version)
        behind = position < self.position
        if position > self.position and self._told_before:
            self._newest_told = False  # what was told before may have changed since
        self._told_before = True
        if not behind:
            self.position = position
            self.controller_id = told.controller_id
            self._take_brokers(told.brokers, now)
        for info in told.topics:
            self._map.take(info, behind=behind)
        self.generation += 1
        # By the version alone: a beat names the epoch in which its sender reigns, of which no broker can
        # tell anything before that one's first change.
        return not behind and self.position.version >= self._newest.version

    # Events

    def _on_event(self, event: Message, now: Now) -> None:
        if isinstance(event, MetadataDelta):
            self._on_delta(event, now)
        elif isinstance(event, Heartbeat):
            self._notice(MetadataPosition(event.controller_epoch, event.metadata_version), now)

    def _notice(self, position: MetadataPosition, now: Now) -> None:
        if position > self._newest and position > self.position:
            self._newest = position
            self.refresh(now)

    def _on_delta(self, delta: MetadataDelta, now: Now) -> None:
        position = MetadataPosition(delta.controller_epoch, delta.version)
        if position <= self.position:
            return
        told = bool(delta.records)  # else it was withheld, from everybody
        follows = told and self.fetched and delta.version == self.position.version + 1
        for record in delta.records:
            if isinstance(record, BrokerRecord):
                self._on_broker(record, now)
            elif self._map.apply(record):
                self.refresh(now)
        self.generation += 1
        if follows:
            self.position = position
        else:
            self._notice(position, now)  # what was announced stands; what was missed is asked for

    def _on_broker(self, record: BrokerRecord, now: Now) -> None:
        if record.alive:
            info = BrokerInfo(record.id, record.name, record.clients, record.events, record.rack)
            self._take_brokers(
                [*(b for b in self.brokers.values() if b.id != record.id), info], now
            )
        else:
            self._take_brokers([b for b in self.brokers.values() if b.id != record.id], now)


def _pieces(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(0, len(names), NAMES_AT_ONCE):
        yield tuple(names[start : start + NAMES_AT_ONCE])
