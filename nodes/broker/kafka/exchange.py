"""One foreign request on its way: what was asked, what the broker's handlers are asked, the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from nodes.broker.context import BrokerContext
from nodes.broker.kafka.raw_tokens import RawToken
from nodes.core.acls import Demand
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.frames import Asked, RequestHeader
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, TopicId
from transport.wire.messages import Message
from transport.wire.messages.acls import AclOperation, ResourceType
from transport.wire.messages.metadata import BrokerRecord

if TYPE_CHECKING:
    from nodes.broker.kafka.connection import Connection

NO_TOPIC_ID = TopicId(b"")
UNKNOWN_TOPIC = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
_IDS_FROM = {int(ApiKey.PRODUCE): 13, int(ApiKey.FETCH): 13}
"""The first versions that know topics by their ids, of the APIs that tell of partitions."""


def name_of(topic: Any) -> str:
    """Return the name by which a request is about a topic; empty where it has its id alone."""
    name: str = topic.topic if hasattr(topic, "topic") else topic.name
    return name


def _id_of(topic: Any) -> bytes:
    return getattr(topic, "topic_id", NO_TOPIC_ID)


class Place(NamedTuple):
    """Where a broker listens for Kafka's clients."""

    host: str
    port: int
    rack: str


class Exchange:
    """Given to the translator of a request, which has it answered exactly once."""

    __slots__ = (
        "_asked",
        "body",
        "connection",
        "context",
        "frame",
        "is_done",
        "kept_bytes",
        "now",
        "passed_bytes",
        "since_ns",
        "size_bytes",
    )

    def __init__(
        self,
        connection: Connection,
        asked: Asked | RawToken,
        now: Now,
        since_ns: int = 0,
        size_bytes: int = 0,
    ) -> None:
        self._asked = asked
        self.connection = connection
        self.context: BrokerContext = connection.listener.context
        """To turn names into ids and back. Nothing is decided by it."""
        self.body: Any = asked.body
        self.now = now
        """When the request began."""
        self.since_ns = since_ns
        """When it came, by the clock of the listener's times."""
        self.size_bytes = size_bytes
        """Of its frame."""
        self.kept_bytes = size_bytes
        """What is in memory of it until the answer, for which it may wait for minutes: what of the frame is
        kept, and what it was made into."""
        self.passed_bytes = 0
        """Of the answer: records, which are neither copied nor looked into."""
        self.frame: Sequence[Buffer] | None = None
        self.is_done = False

    @property
    def header(self) -> RequestHeader:
        """The API, its version, and who asks."""
        return self._asked.header

    @property
    def version(self) -> int:
        """Of the request, and of its answer."""
        return self._asked.header.api_version

    # What the handlers are asked

    def ask(
        self,
        body: Message,
        then: Callable[[Any, tuple[Buffer, ...]], None],
        payload: tuple[Buffer, ...] = (),
    ) -> None:
        """Hand a request to the handlers, as a client of ours would.

        ``then`` is called once, after this has returned, with the answer or a Refusal, and its payload;
        not at all if the client goes before that.
        """
        self.connection.ask(body, then, payload)

    def ask_all(self, bodies: Sequence[Message], then: Callable[[list[Any]], None]) -> None:
        """Hand over several; ``then`` gets their answers, in order."""
        answers: list[Any] = [None] * len(bodies)
        left = len(bodies)
        if not bodies:
            then([])

        def taking(place: int) -> Callable[[Any, tuple[Buffer, ...]], None]:
            def take(answer: Any, _payload: tuple[Buffer, ...]) -> None:
                nonlocal left
                answers[place] = answer
                left -= 1
                if not left:
                    then(answers)

            return take

        for place, body in enumerate(bodies):
            self.ask(body, taking(place))

    def have_the_turn(self) -> None:
        """Let no other request of Kafka's clients begin in this turn: this one may take long."""
        self.connection.listener.room = 0

    # The answer

    def answer(self, response: Struct) -> None:
        """Answer, once those before it are answered."""
        assert not self.is_done, "a request is answered once"
        self.frame = self._asked.answer(response)
        self.is_done = True
        self.connection.answered()

    def answer_nothing(self) -> None:
        """Be done with a request that wants no answer."""
        assert not self.is_done, "a request is answered once"
        self.is_done = True
        self.connection.answered()

    def may(self, operation: AclOperation, resource_type: ResourceType, name: str) -> bool:
        """Tell whether who asks may do that: for what is told beside the handlers' answers."""
        connection = self.connection
        demand = Demand(operation, resource_type, name)
        return connection.listener.allows(connection.origin, demand)

    def code(self, error: int) -> int:
        """Return Kafka's number for one of our codes, as a client knows it that asks in this version."""
        ids_from = _IDS_FROM.get(self.header.api_key)
        if error == ErrorCode.UNKNOWN_TOPIC_ID and (ids_from is None or self.version < ids_from):
            error = UNKNOWN_TOPIC
        return foreign_code(error)

    # Names

    def topic_id(self, name: str) -> TopicId:
        """Return a topic's id; empty if there is no such topic."""
        return self.context.image.topic_ids.get(name, NO_TOPIC_ID)

    def topic_ids(self, topics: Iterable[Any]) -> list[TopicId]:
        """Return the id of every topic of a request, which names it or (later versions) has its id.

        Empty for one that is not known by its name: UNKNOWN_TOPIC.
        """
        return [
            self.topic_id(name) if (name := name_of(topic)) else TopicId(_id_of(topic))
            for topic in topics
        ]

    def unknown(self, name: str) -> ErrorCode:
        """Return what is said of a topic that is not there: to who may not know of any of that name
        what would be said if it were."""
        told = not name or self.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name)
        return UNKNOWN_TOPIC if told else ErrorCode.TOPIC_AUTHORIZATION_FAILED

    def topic_name(self, topic_id: bytes) -> str | None:
        """Return a topic's name; None if there is no such topic."""
        topic = self.context.image.topics.get(TopicId(topic_id))
        return None if topic is None else topic.name

    def place_of(self, node: int) -> Place | None:
        """Return where a live broker listens for this protocol; None: it does not."""
        broker = self.context.image.brokers.get(NodeId(node))
        return None if broker is None or not broker.alive else place_of(broker)


def place_of(broker: BrokerRecord) -> Place | None:
    """Return where a broker listens for this protocol, or did when it was there; None: it does not."""
    if not broker.kafka:
        return None
    host, _, port = broker.kafka.removeprefix("tcp://").rpartition(":")
    return Place(host.strip("[]"), int(port), broker.rack)
