"""The partitions that the handlers are asked about, and the outcomes they give, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from nodes.broker.kafka.exchange import UNKNOWN_TOPIC
from transport.wire.errors import meaning
from transport.wire.ids import TopicId
from transport.wire.messages import Refusal

_UNKNOWN = Refusal(UNKNOWN_TOPIC, meaning(UNKNOWN_TOPIC).text)


def of_known(
    topics: Iterable[Any], parts: str, ids: Iterable[TopicId]
) -> Iterator[tuple[TopicId, Any]]:
    """Yield what the handlers are asked about: the parts of topics that are known, with their ids."""
    for topic, topic_id in zip(topics, ids, strict=True):
        for part in getattr(topic, parts) if topic_id else ():
            yield topic_id, part


def by_topic(
    topics: Iterable[Any], parts: str, ids: Iterable[TopicId], answer: Any
) -> Iterator[tuple[Any, list[tuple[Any, Any]]]]:
    """Yield every topic of a request with its parts (the field of that name), each with its outcome.

    That of a topic that is not known is a Refusal; so is, or the answer itself, that of every part
    where the answer is about the whole.
    """
    outcomes = iter(getattr(answer, "partitions", ()))
    for topic, topic_id in zip(topics, ids, strict=True):
        yield (
            topic,
            [
                (part, next(outcomes, answer) if topic_id else _UNKNOWN)
                for part in getattr(topic, parts)
            ],
        )
