"""A member under the classic protocol, as Kafka's clients have it: rounds of join and sync.

With ``cooperative-sticky`` it reads on while a round is under way; with other strategies it gives
everything up before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from odradek.cluster.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from odradek.consumer.classic_protocol import COOPERATIVE, divide
from tests.simulation.foreign.group_reader import LOST, PAUSE_MS, GroupReader, Identity
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.groups import (
    HeartbeatRequest,
    JoinGroupRequest,
    JoinGroupRequestProtocol,
    JoinGroupResponse,
    LeaveGroupRequest,
    MemberIdentity,
    SyncGroupRequest,
    SyncGroupRequestAssignment,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberId, TopicPartition

PROTOCOL_TYPE = "consumer"
BEATS_PER_SESSION = 3
NO_GENERATION = -1


class ClassicMember:
    """The membership of one reader."""

    def __init__(self, reader: GroupReader) -> None:
        self._reader = reader
        terms = self._terms = reader.terms
        self._nobody = Identity("", NO_GENERATION, terms.instance_id)
        self.who = self._nobody
        self.heard_ms = 0
        self._eager = terms.strategy != COOPERATIVE
        self._stable = False
        self._asking = False
        self._due_ms = 0
        self._sent_ms = 0
        self._claimed: frozenset[int] = frozenset()
        """What it owned as it joined: the round gives none of it to anybody else."""

    def pump(self, now: Now) -> None:
        """Join, or send a heartbeat, when it is time."""
        if self._stable and now.mono_ms >= self.heard_ms + self._terms.session_timeout_ms:
            self._lose(now)
        if self._asking or now.mono_ms < self._due_ms:
            return
        if self._stable:
            self._beat(now)
        else:
            self._join(now)

    def leave(self, then: Callable[[Now], None], now: Now) -> None:
        """A static member only stops: its session keeps its place."""
        if self._terms.instance_id is not None or not self.who.member_id:
            then(now)
            return
        member_id = self.who.member_id
        members = (MemberIdentity(member_id=member_id),)
        body = LeaveGroupRequest(
            group_id=self._terms.group_id, member_id=member_id, members=members
        )
        leave = ApiKey.LEAVE_GROUP
        self._reader.coordinator.ask(leave, body, lambda _response, now: then(now), now)

    # Rounds

    def _ask(self, key: ApiKey, body: Any, then: Callable[[Any, Now], None], now: Now) -> None:
        self._asking = True
        self._sent_ms = now.mono_ms

        def answered(response: Any, now: Now) -> None:
            self._asking = False
            if self._reader.ends:
                return
            if response is None:
                self._later(now)
            else:
                then(response, now)

        self._reader.coordinator.ask(key, body, answered, now)

    def _later(self, now: Now) -> None:
        self._due_ms = self._reader.later(PAUSE_MS, now)

    def _again(self, now: Now) -> None:
        self._stable = False
        self._due_ms = now.mono_ms

    def _lose(self, now: Now) -> None:
        self.who = self._nobody
        self._reader.lose()
        self._stable = False
        self._later(now)

    def _refused(self, error: int, now: Now) -> None:
        if error == ErrorCode.FENCED_INSTANCE_ID:
            self._reader.fenced()
        elif error == ErrorCode.REBALANCE_IN_PROGRESS:
            self._again(now)
        elif error in LOST:
            self._lose(now)
        else:
            assert self._reader.coordinator.is_not_yet(error), f"a member was told {error}"
            self._later(now)

    def _join(self, now: Now) -> None:
        terms, reader = self._terms, self._reader
        if self._eager:
            reader.own((), now)
        self._claimed = reader.owned
        metadata = encode_subscription(
            Subscription(frozenset({reader.topic}), self._keys(self._claimed))
        )
        protocol = JoinGroupRequestProtocol(name=terms.strategy, metadata=metadata)
        body = JoinGroupRequest(
            group_id=terms.group_id,
            session_timeout_ms=terms.session_timeout_ms,
            rebalance_timeout_ms=terms.rebalance_timeout_ms,
            member_id=self.who.member_id,
            group_instance_id=terms.instance_id,
            protocol_type=PROTOCOL_TYPE,
            protocols=(protocol,),
        )
        self._ask(ApiKey.JOIN_GROUP, body, self._joined, now)

    def _joined(self, response: JoinGroupResponse, now: Now) -> None:
        error = response.error_code
        if error == ErrorCode.MEMBER_ID_REQUIRED:
            self.who = self.who._replace(member_id=response.member_id)
            return
        if error:
            self._refused(error, now)
            return
        self.who = self.who._replace(member_id=response.member_id, epoch=response.generation_id)
        self.heard_ms = now.mono_ms
        leads = response.leader == response.member_id and not response.skip_assignment
        body = SyncGroupRequest(
            group_id=self._terms.group_id,
            generation_id=response.generation_id,
            member_id=response.member_id,
            group_instance_id=self._terms.instance_id,
            protocol_type=PROTOCOL_TYPE,
            protocol_name=self._terms.strategy,
            assignments=self._divide(response) if leads else (),
        )
        self._ask(ApiKey.SYNC_GROUP, body, self._synced, now)

    def _divide(self, joined: JoinGroupResponse) -> tuple[SyncGroupRequestAssignment, ...]:
        members = {
            MemberId(one.member_id): decode_subscription(one.metadata) for one in joined.members
        }
        counts = {self._reader.topic: len(self._reader.all_partitions)}
        return tuple(
            SyncGroupRequestAssignment(member_id=member_id, assignment=encode_assignment(part))
            for member_id, part in divide(self._terms.strategy, members, counts).items()
        )

    def _synced(self, response: Any, now: Now) -> None:
        if response.error_code:
            self._refused(response.error_code, now)
            return
        if now.mono_ms >= self._sent_ms + self._terms.session_timeout_ms:
            self._again(now)  # What was so long under way may be another one's by now.
            return
        self._stable = True
        self.heard_ms = now.mono_ms
        self._due_ms = now.mono_ms + self._terms.session_timeout_ms // BEATS_PER_SESSION
        given = {key.partition for key in decode_assignment(response.assignment)}
        self._reader.own(given, now)
        self._reader.tell()
        if self._claimed - given:
            self._again(now)  # The round that gives away what is free now.

    def _beat(self, now: Now) -> None:
        body = HeartbeatRequest(
            group_id=self._terms.group_id,
            generation_id=self.who.epoch,
            member_id=self.who.member_id,
            group_instance_id=self._terms.instance_id,
        )
        sent_ms = now.mono_ms

        def beaten(response: Any, now: Now) -> None:
            if response.error_code:
                self._refused(response.error_code, now)
                return
            self.heard_ms = max(self.heard_ms, sent_ms)
            self._due_ms = sent_ms + self._terms.session_timeout_ms // BEATS_PER_SESSION
            self._reader.timers.at(self._due_ms, _nothing)

        self._ask(ApiKey.HEARTBEAT, body, beaten, now)

    def _keys(self, partitions: Iterable[int]) -> frozenset[TopicPartition]:
        return frozenset(TopicPartition(self._reader.topic, number) for number in partitions)


def _nothing(_now: Now) -> None:
    """Only the turn was wanted."""
