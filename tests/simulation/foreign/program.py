"""A simulated program that speaks Kafka's protocol: its connections, and who leads what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

from tests.simulation.foreign.connection import Connection, Then, Tongue
from tests.simulation.process import SimulatedProcess
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.fields import NO_UUID, Struct
from transport.gateway.kafka.messages.metadata import (
    MetadataPartition,
    MetadataRequest,
    MetadataRequestTopic,
    MetadataResponse,
)
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode

LOOK_MS = 250
"""How often it looks for what does not come."""
REFRESH_MS = (20, 250)
"""Before metadata are asked for."""
NOT_YET = (
    ErrorCode.NONE,
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    ErrorCode.LEADER_NOT_AVAILABLE,
    ErrorCode.BROKER_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT,
    ErrorCode.NOT_CONTROLLER,
    ErrorCode.INVALID_REPLICATION_FACTOR,
)
"""What may be said of a topic that is being made, or cannot be made at the moment."""


class Leader(NamedTuple):
    """Who leads a partition, as far as is known here."""

    endpoint: str
    epoch: int
    """−1 where the version that is spoken tells none."""


class ForeignProgram:
    """A client of one topic; what it does is a subclass's, in ``pump``."""

    def __init__(self, topic: str, bootstrap: Sequence[str], tongue: Tongue) -> None:
        self.topic = topic
        self.topic_id = NO_UUID
        self.process: SimulatedProcess
        self.timers = Timers()
        self.leaders: dict[int, Leader] = {}
        self.brokers: dict[int, str] = {}
        """Endpoints by broker id."""
        self._bootstrap = tuple(bootstrap)
        self._tongue = tongue
        self._connections: dict[tuple[str, str], Connection] = {}
        """By endpoint and purpose."""
        self._refreshing = False

    # The loop's calls

    def start(self, ports: Ports, now: Now) -> None:
        self.process = cast("SimulatedProcess", ports)
        self.refresh(now)
        self._look_later(now)

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None: ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> None: ...

    def on_gap(self, gap_ms: int, now: Now) -> None: ...

    def end_turn(self, now: Now) -> None:
        self.timers.fire(now)
        self.pump(now)

    def next_deadline_ms(self) -> int | None:
        return self.timers.next_deadline_ms()

    def stop(self, now: Now) -> None:
        self.process.exit(0)

    def die(self) -> None:
        """End at once, whatever it is doing; its kernel ends its connections."""
        for connection in self._connections.values():
            connection.abandon()
        self.process.kill()

    def pump(self, now: Now) -> None:
        """Send all that may be sent now; called at the end of each turn."""
        raise NotImplementedError

    # What subclasses use

    def anybody(self) -> str:
        """Return the endpoint of some broker."""
        return self.process.random.choice(self._bootstrap)

    def connection(self, endpoint: str, now: Now, purpose: str = "") -> Connection:
        """Return the connection to a broker; it may have to be made."""
        known = self._connections.get((endpoint, purpose))
        if known is None:
            known = Connection(self.process, endpoint, self._tongue, self._forget, now)
            self._connections[endpoint, purpose] = known
        return known

    def ask(
        self, endpoint: str, key: ApiKey, body: Struct, then: Then, now: Now, purpose: str = ""
    ) -> None:
        """Ask a broker; what has another purpose goes by another connection, and waits for nothing."""
        self.connection(endpoint, now, purpose).ask(key, body, then, now)

    def later(self, bounds_ms: tuple[int, int], now: Now) -> int:
        """Have a turn after a while, and return when that is."""
        due_ms = now.mono_ms + self.process.random.randint(*bounds_ms)
        self.timers.at(due_ms, _nothing)
        return due_ms

    def refresh(self, now: Now) -> None:
        """Ask anew who leads what."""
        if not self._refreshing:
            self._refreshing = True
            pause_ms = self.process.random.randint(*REFRESH_MS)
            self.timers.after(now, pause_ms, self._ask_metadata)

    # Metadata

    def _ask_metadata(self, now: Now) -> None:
        topics = (MetadataRequestTopic(name=self.topic),)
        body = MetadataRequest(topics=topics, allow_auto_topic_creation=True)
        self.ask(self.anybody(), ApiKey.METADATA, body, self._told, now)

    def _told(self, response: MetadataResponse | None, now: Now) -> None:
        self._refreshing = False
        if response is None or not response.topics:
            self.refresh(now)
            return
        [topic] = response.topics
        assert topic.error_code in NOT_YET, f"Metadata told {topic.error_code} of {topic.name}"
        self.brokers = {one.node_id: f"tcp://{one.host}:{one.port}" for one in response.brokers}
        self.topic_id = topic.topic_id
        known = [self._learn(one) for one in topic.partitions]
        if topic.error_code or not all(known):
            self.refresh(now)

    def _learn(self, told: MetadataPartition) -> bool:
        """Take over who leads a partition; False: that is to be asked again."""
        known = self.leaders.get(told.partition_index)
        endpoint = self.brokers.get(told.leader_id)
        if endpoint is None:
            return False
        if known is None or told.leader_epoch >= known.epoch:
            self.leaders[told.partition_index] = Leader(endpoint, told.leader_epoch)
            return True
        return False  # an image of before

    # Connections

    def _look_later(self, now: Now) -> None:
        self.timers.after(now, LOOK_MS, self._look)

    def _look(self, now: Now) -> None:
        for connection in list(self._connections.values()):
            if connection.is_stuck(now):
                connection.close(now)
        self._look_later(now)

    def _forget(self, connection: Connection, now: Now) -> None:
        for place, known in list(self._connections.items()):
            if known is connection:
                del self._connections[place]
        self.refresh(now)


def _nothing(_now: Now) -> None:
    """Only the turn was wanted."""
