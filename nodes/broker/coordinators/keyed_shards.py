"""The internal topics, by what they keep: made on first use, and who leads which of their shards.

Owns the way from a key (a group, a transactional id) to the shard that answers for it.  A key's
partition is its CRC over the number of partitions, which therefore never changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.context import BrokerContext, Request
from nodes.broker.coordinators.shards import MakeCore, OnOrder, OnReply, Shards, carry_out_nothing
from nodes.broker.partitions.replica import Replica
from nodes.core.controller.partitions import is_complete
from transport.kernel import Now, earliest
from transport.wire.checksum import crc32c
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, PartitionKey
from transport.wire.messages import Message, Refusal
from transport.wire.messages.coordinators import (
    FindCoordinatorRequest,
    FindCoordinatorResponse,
    FoundCoordinator,
)
from transport.wire.messages.topics import CreateTopicsRequest, CreateTopicsResponse, NewTopic

KEYS_MAX = 1_000
WAITING_MAX = 1_000
"""Requests that may wait for a topic to be made; further ones are told to come again."""

Watch = Callable[[str, Callable[[Replica, Now], None]], None]


class _Kept(NamedTuple):
    """One internal topic."""

    new: NewTopic
    shards: Shards
    waiting: list[Request]
    """They wait for the topic to be made: a bounded time."""


class KeyedShards:
    """Answers FindCoordinator, and hands questions about a key to its shard."""

    def __init__(
        self,
        context: BrokerContext,
        channel: ControllerChannel,
        metadata: Metadata,
        watch: Watch,
    ) -> None:
        self._context = context
        self._channel = channel
        self._metadata = metadata
        self._watch = watch
        self._kept: dict[int, _Kept] = {}
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            FindCoordinatorRequest: self._on_find
        }

    def keep(
        self,
        key_type: int,
        new: NewTopic,
        make_core: MakeCore,
        on_order: OnOrder = carry_out_nothing,
    ) -> Shards:
        """Keep what belongs to keys of this type in an internal topic; return its shards here."""
        shards = Shards(self._context, new.name, make_core, on_order)
        self._kept[key_type] = _Kept(new, shards, [])
        self._watch(new.name, shards.on_moved)
        return shards

    # Keys

    def ask(self, key_type: int, key: str, body: Message, on_reply: OnReply, now: Now) -> None:
        """Ask the shard of a key; see :meth:`nodes.broker.coordinators.shards.Shards.ask`."""
        kept = self._kept[key_type]
        place = self._place(kept, key)
        if place is None:
            text = f"{kept.new.name} is not there yet; find the coordinator first"
            on_reply(Refusal(ErrorCode.NOT_COORDINATOR, text), now)
        else:
            kept.shards.ask(place.partition, body, on_reply, now)

    def place(self, key_type: int, key: str) -> PartitionKey | None:
        """Return the partition that keeps a key; None: the topic has not been made yet."""
        return self._place(self._kept[key_type], key)

    def leader_of(self, key_type: int, key: str) -> NodeId | None:
        """Return the broker that leads a key's shard; None: there is none at present."""
        place = self._place(self._kept[key_type], key)
        record = None if place is None else self._context.image.partition(place)
        return None if record is None or record.leader < 0 else record.leader

    def _place(self, kept: _Kept, key: str) -> PartitionKey | None:
        image = self._context.image
        topic = image.topic(kept.new.name)
        if topic is None or not is_complete(image, topic):
            return None
        return PartitionKey(topic.topic_id, crc32c(key.encode()) % topic.partition_count)

    # FindCoordinator

    def _on_find(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, FindCoordinatorRequest), "by the dispatch table"
        kept = self._kept.get(body.key_type)
        if kept is None or not 1 <= len(body.keys) <= KEYS_MAX:
            known = ", ".join(map(str, sorted(self._kept)))
            text = f"key_type must be one of {known}, with 1 to {KEYS_MAX} keys"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
        elif self._place(kept, "") is not None:
            self._answer(request, body)
        elif len(kept.waiting) >= WAITING_MAX:
            text = f"too many wait for {kept.new.name}"
            self._context.reply(request, Refusal(ErrorCode.OVERLOADED, text))
        else:
            kept.waiting.append(request)
            if len(kept.waiting) == 1:
                self._make(kept, now)

    def _answer(self, request: Request, body: FindCoordinatorRequest) -> None:
        found: list[FoundCoordinator] = []
        for key in body.keys:
            leader = self.leader_of(body.key_type, key)
            if leader is None:
                error = ErrorCode.COORDINATOR_NOT_AVAILABLE
                found.append(FoundCoordinator(key, error, text=meaning(error).text))
            else:
                found.append(FoundCoordinator(key, ErrorCode.NONE, leader))
        self._context.reply(request, FindCoordinatorResponse(ErrorCode.NONE, tuple(found)))

    def _make(self, kept: _Kept, now: Now) -> None:
        timeout_ms = self._context.config.broker.request_timeout_ms
        due_ms = now.mono_ms + timeout_ms

        def on_applied(_applied: bool, _now: Now) -> None:
            waiting = kept.waiting[:]
            kept.waiting.clear()
            for request in waiting:
                body = request.envelope.body
                assert isinstance(body, FindCoordinatorRequest), "by the dispatch table"
                self._answer(request, body)

        def on_answer(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            if isinstance(answer, CreateTopicsResponse):
                self._metadata.when_applied(answer.version, on_applied, due_ms, now)
            else:
                on_applied(False, now)

        request = CreateTopicsRequest((kept.new,), timeout_ms, clamp=True)
        self._channel.ask_until(request, on_answer, due_ms, now)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Let every shard go on."""
        for kept in self._kept.values():
            kept.shards.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the first shard wants a turn."""
        return earliest(*[kept.shards.next_deadline_ms() for kept in self._kept.values()])

    def on_gap(self, gap_ms: int) -> None:
        """Judge others later by what this loop was away."""
        for kept in self._kept.values():
            kept.shards.on_gap(gap_ms)

    def check(self) -> None:
        """Assert the invariants of every shard."""
        for kept in self._kept.values():
            kept.shards.check()
