"""A member of a group whose coordinator divides (KIP-848), as Kafka's clients have it.

A heartbeat is due every interval, and at once when something was let go.  It says what has changed;
everything, when the answer to the last one was lost.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.foreign.group_reader import LOST, PAUSE_MS, GroupReader, Identity
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.consumer_groups import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    HeartbeatTopicPartitions,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode

JOIN_EPOCH = 0
LEAVE_EPOCH = -1
LEAVE_FOR_NOW_EPOCH = -2
HUNG_UP_SHARE = 0.15
"""Of the heartbeats: those whose answers are lost, with their connections."""


class ConsumerMember:
    """The membership of one reader."""

    def __init__(self, reader: GroupReader, member_id: str) -> None:
        self._reader = reader
        self._terms = reader.terms
        self.who = Identity(member_id, JOIN_EPOCH, reader.terms.instance_id)
        self.heard_ms = 0
        self._topic_id = b""
        self._asking = False
        self._due_ms = 0
        self._told: frozenset[int] | None = None
        """What the coordinator has been told that it owns; None: it is told everything anew."""

    def pump(self, now: Now) -> None:
        """Send a heartbeat when it is due."""
        is_member = self.who.epoch > 0
        if is_member and now.mono_ms >= self.heard_ms + self._terms.session_timeout_ms:
            self._lose(now)
        if not self._asking and now.mono_ms >= self._due_ms:
            self._beat(now)

    def leave(self, then: Callable[[Now], None], now: Now) -> None:
        """A static member leaves for now, and keeps its place for a session."""
        static = self._terms.instance_id is not None
        body = ConsumerGroupHeartbeatRequest(
            group_id=self._terms.group_id,
            member_id=self.who.member_id,
            member_epoch=LEAVE_FOR_NOW_EPOCH if static else LEAVE_EPOCH,
            instance_id=self._terms.instance_id,
        )
        beat = ApiKey.CONSUMER_GROUP_HEARTBEAT
        self._reader.coordinator.ask(beat, body, lambda _response, now: then(now), now)

    def _beat(self, now: Now) -> None:
        self._asking = True
        reader, terms = self._reader, self._terms
        joins, owned = self.who.epoch == JOIN_EPOCH, reader.owned
        whole = joins or self._told is None
        topics: tuple[HeartbeatTopicPartitions, ...] | None = None
        if whole or owned != self._told:
            numbers = tuple(sorted(owned))
            row = HeartbeatTopicPartitions(topic_id=self._topic_id, partitions=numbers)
            topics = (row,) if numbers else ()
        body = ConsumerGroupHeartbeatRequest(
            group_id=terms.group_id,
            member_id=self.who.member_id,
            member_epoch=self.who.epoch,
            instance_id=terms.instance_id,
            rebalance_timeout_ms=terms.rebalance_timeout_ms if whole else -1,
            subscribed_topic_names=(reader.topic,) if whole else None,
            topic_partitions=topics,
        )
        sent_ms = now.mono_ms

        def beaten(response: ConsumerGroupHeartbeatResponse | None, now: Now) -> None:
            self._asking = False
            if reader.ends:
                return
            if response is None:
                self._told = None
                self._due_ms = reader.later(PAUSE_MS, now)
            elif response.error_code:
                self._refused(response.error_code, now)
            elif now.mono_ms >= sent_ms + terms.session_timeout_ms:
                self._lose(now)  # What was so long under way may be another one's by now.
            else:
                self._told = owned
                self.heard_ms = sent_ms
                self._take(response, now)

        reader.coordinator.ask(ApiKey.CONSUMER_GROUP_HEARTBEAT, body, beaten, now)
        if reader.process.random.random() < HUNG_UP_SHARE:
            reader.coordinator.hang_up(now)

    def _take(self, response: ConsumerGroupHeartbeatResponse, now: Now) -> None:
        reader = self._reader
        self.who = self.who._replace(epoch=response.member_epoch)
        interval_ms = response.heartbeat_interval_ms
        self._due_ms = reader.later((interval_ms, interval_ms), now)
        if response.assignment is None:
            return
        given: set[int] = set()
        for topic in response.assignment.topic_partitions:
            self._topic_id = topic.topic_id
            given.update(topic.partitions)
        lets_go = bool(reader.owned - given)
        reader.own(given, now)
        reader.tell()
        if lets_go or reader.owned != self._told:
            self._due_ms = now.mono_ms

    def _lose(self, now: Now) -> None:
        self.who = self.who._replace(epoch=JOIN_EPOCH)
        self._told = None
        self._reader.lose()
        self._due_ms = self._reader.later(PAUSE_MS, now)

    def _refused(self, error: int, now: Now) -> None:
        if error == ErrorCode.FENCED_INSTANCE_ID:
            self._reader.fenced()
        elif error in LOST:
            self._lose(now)
        else:
            again = error == ErrorCode.UNRELEASED_INSTANCE_ID
            known = again or self._reader.coordinator.is_not_yet(error)
            assert known, f"a member was told {error}"
            self._told = None
            self._due_ms = self._reader.later(PAUSE_MS, now)
