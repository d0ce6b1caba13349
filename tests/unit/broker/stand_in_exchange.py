"""An exchange whose requests go to a fleet of brokers instead of the dispatch of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from tests.unit.broker.partition_fleet import PartitionFleet
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.fields import Struct
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import TopicId
from transport.wire.messages import Message

WALL_MS = 1_700_000_000_000


class StandInExchange:
    """What a translator needs, at one broker of a fleet."""

    def __init__(self, fleet: PartitionFleet, number: int, body: Struct, version: int) -> None:
        self.context = fleet.server(number).context
        self.body, self.version = body, version
        self.answers: list[Any] = []
        self.now = Now(0, WALL_MS)
        self.connection = SimpleNamespace(listener=SimpleNamespace(doorkeeper=None), proof=None)
        self._fleet, self._number = fleet, number

    def ask(self, body: Message, then: Callable[[Any, Any], None]) -> None:
        then(self._fleet.ask(self._number, body), ())

    def may(self, *_what: object) -> bool:
        return True

    def unknown(self, _name: str) -> ErrorCode:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION

    def answer(self, response: Struct) -> None:
        self.answers.append(response)

    def topic_id(self, name: str) -> TopicId:
        return self.context.image.topic_ids.get(name, TopicId(b""))

    def code(self, error: int) -> int:
        return foreign_code(error)

    def topic_ids(self, topics: Iterable[Any]) -> list[TopicId]:
        return [self.topic_id(topic.name) for topic in topics]

    def topic_name(self, topic_id: TopicId) -> str | None:
        topic = self.context.image.topics.get(topic_id)
        return None if topic is None else topic.name


def answered(
    fleet: PartitionFleet,
    translator: Callable[[Exchange], None],
    body: Struct,
    *,
    version: int = 99,
    number: int = 1,
) -> Any:
    """Return what a translator answers to a foreign request."""
    exchange = StandInExchange(fleet, number, body, version)
    translator(exchange)  # type: ignore[arg-type]
    (answer,) = exchange.answers
    return answer
