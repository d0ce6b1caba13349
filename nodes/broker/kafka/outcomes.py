"""The partitions that the handlers are asked about, and the outcomes they give, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import Any

from nodes.broker.kafka.exchange import Exchange, name_of
from transport.wire.errors import meaning
from transport.wire.ids import TopicId
from transport.wire.messages import Refusal


def of_known(
    topics: Iterable[Any], parts: str, ids: Iterable[TopicId]
) -> Iterator[tuple[TopicId, Any]]:
    """Yield what the handlers are asked about: the parts of topics that are known, with their ids."""
    for topic, topic_id in zip(topics, ids, strict=True):
        for part in getattr(topic, parts) if topic_id else ():
            yield topic_id, part


def by_topic(
    exchange: Exchange, topics: Iterable[Any], parts: str, ids: Iterable[TopicId], answer: Any
) -> Iterator[tuple[Any, list[tuple[Any, Any]]]]:
    """Yield every topic of a request with its parts (the field of that name), each with its outcome.

    That of a topic that is not known is a Refusal; so is, or the answer itself, that of every part
    where the answer is about the whole.
    """
    outcomes = iter(getattr(answer, "partitions", ()))
    for topic, topic_id in zip(topics, ids, strict=True):
        there = outcomes if topic_id else repeat(_unknown(exchange, topic))
        yield topic, [(part, next(there, answer)) for part in getattr(topic, parts)]


def _unknown(exchange: Exchange, topic: Any) -> Refusal:
    error = exchange.unknown(name_of(topic))
    return Refusal(error, meaning(error).text)
