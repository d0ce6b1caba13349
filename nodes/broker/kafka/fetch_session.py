"""What the listener keeps of a consumer's fetch session (KIP-227): its number, and its topics' names.

What it waits for is kept where fetches are answered (``nodes/core/fetch_session``), for this
connection: on another one the number says nothing, and its client begins anew.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages.fetch import FetchRequest, FetchTopic, ForgottenTopic
from transport.wire.ids import PartitionKey, TopicId
from transport.wire.messages import fetch as native

CLOSES_EPOCH = -1
BEGINS_EPOCH = 0
TOPICS_MAX = 10_000
"""That one session has ever named: as many as its client may ask the metadata of."""
_IDS = 0x7FFFFFFF
_KEPT = "fetch session"
FAREWELL = native.FetchRequest(0, 0, 0, ())
"""A fetch without a session ends that of its connection."""


class Session:
    """The one of a connection."""

    def __init__(self, session_id: int, acl_changes: int) -> None:
        self.id = session_id
        self.acl_changes = acl_changes
        """Of the image by which what it holds was judged: its fetches name none of that again."""
        self.names: dict[TopicId, str] = {}
        """As its client knows them, which may be by their ids alone."""
        self._ids: dict[str, TopicId] = {}

    def take(self, topics: Sequence[FetchTopic], ids: Sequence[TopicId]) -> bool:
        """Take over what is named; False: it cannot go on with that, and is to be begun anew."""
        for topic, topic_id in zip(topics, ids, strict=True):
            if not topic_id or self._ids.get(topic.topic, topic_id) != topic_id:
                return False  # Not known; or made anew under the name of another one.
            self.names[topic_id] = topic.topic
            if topic.topic:
                self._ids[topic.topic] = topic_id
        return len(self.names) <= TOPICS_MAX

    def forgotten(self, topics: Sequence[ForgottenTopic]) -> tuple[PartitionKey, ...]:
        """Return what is to be taken out, by the ids that it was named by."""
        return tuple(
            PartitionKey(topic_id, partition)
            for topic in topics
            if (topic_id := self._ids.get(topic.topic, TopicId(topic.topic_id))) in self.names
            for partition in topic.partitions
        )


def session_of(exchange: Exchange) -> Session | None:
    """Return the session that a fetch begins or goes on with; None: it has none, or that is lost."""
    asked: FetchRequest = exchange.body
    kept = exchange.connection.soft_state
    if replica_of(asked) >= 0:
        return None  # What followers have is no stranger's to replace.
    if asked.session_epoch == BEGINS_EPOCH:
        acl_changes = exchange.context.image.acl_changes
        kept[_KEPT] = Session(1 + exchange.connection.stream % _IDS, acl_changes)
        exchange.connection.farewell = FAREWELL
    elif asked.session_epoch == CLOSES_EPOCH:
        kept.pop(_KEPT, None)
    found: Session | None = kept.get(_KEPT)
    if found is None or asked.session_epoch <= BEGINS_EPOCH:
        return found
    if found.acl_changes != exchange.context.image.acl_changes:
        lose(exchange)  # Its client names everything anew, and everything is judged.
        return None
    return found if found.id == asked.session_id else None


def replica_of(asked: FetchRequest) -> int:
    """Return which replica a fetch says it is of; below 0: a consumer."""
    return asked.replica_state.replica_id if asked.replica_state else asked.replica_id


def lose(exchange: Exchange) -> None:
    """Know the connection's session no more."""
    exchange.connection.soft_state.pop(_KEPT, None)
