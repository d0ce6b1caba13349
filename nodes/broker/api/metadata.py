"""METADATA of clients: what this broker has applied; and topics made on first use.

A request that names topics which do not exist, and may make them, waits for their creation: a
bounded time, after which it is answered with what there is.  So many are made at once and no more;
those that are left over are unknown until they are asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nodes.broker.api.administration import SUBJECTS_MAX
from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.context import BrokerContext, Request
from nodes.core.controller.names import is_internal, topic_name_complaint
from nodes.core.controller.partitions import is_complete
from transport.driver.timers import Timer
from transport.kernel import Now
from transport.wire.codec import Buffer
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_METADATA
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import (
    BrokerInfo,
    MetadataRequest,
    MetadataResponse,
    PartitionInfo,
    TopicInfo,
    TopicRecord,
)
from transport.wire.messages.topics import CreateTopicsRequest, CreateTopicsResponse, NewTopic

NAMES_MAX = 10_000
MAKING_MAX = SUBJECTS_MAX
"""Topics in the making at once; a request for more is refused by the controller."""
WAITING_MAX = 1_000
"""Requests that may wait for topics to be made; further ones are answered at once."""


_PUT_OFF = f"not made yet: {MAKING_MAX} topics at once are made on first use; ask for it again"


@dataclass(slots=True)
class _Waiting:
    """A request that waits for topics in the making."""

    request: Request
    missing: set[str]
    put_off: frozenset[str]
    """Those for which there was no room among those in the making."""
    timer: Timer | None = field(default=None)


class MetadataApi:
    """Answers from the image."""

    def __init__(
        self, context: BrokerContext, channel: ControllerChannel, metadata: Metadata
    ) -> None:
        self._context = context
        self._channel = channel
        self._metadata = metadata
        self._making: dict[str, None] = {}
        self._waiting: list[_Waiting] = []
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            MetadataRequest: self._on_request
        }

    def _on_request(self, request: Request, now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, MetadataRequest)
        if body.topics is not None and len(body.topics) > NAMES_MAX:
            text = f"{len(body.topics)} topics at once; ask for at most {NAMES_MAX}, or for all"
            self._context.reply(request, Refusal(ErrorCode.INVALID_REQUEST, text))
        elif self._context.image.position == NO_METADATA:
            answer = MetadataResponse(ErrorCode.BROKER_NOT_AVAILABLE)
            self._context.reply(request, answer)
        else:
            missing = self._to_make(body)
            if missing and len(self._waiting) < WAITING_MAX:
                self._wait(request, missing, now)
            else:
                self._answer(request)

    # Answers

    def _answer(self, request: Request, put_off: frozenset[str] = frozenset()) -> None:
        body = request.envelope.body
        assert isinstance(body, MetadataRequest)
        image = self._context.image
        names: Iterable[str] = sorted(
            name for name in image.topic_ids if body.include_internal or not is_internal(name)
        )
        if body.topics is not None:
            names = dict.fromkeys(body.topics)
        brokers = tuple(
            BrokerInfo(
                broker.id,
                broker.name,
                broker.clients,
                broker.events,
                broker.rack,
                broker.draining,
            )
            for broker in image.live_brokers()
        )
        answer = MetadataResponse(
            ErrorCode.NONE,
            self._context.config.cluster_id,
            self._channel.controller,
            image.position.controller_epoch,
            image.position.version,
            brokers,
            tuple(self._topic(name, put_off) for name in names),
        )
        self._context.reply(request, answer)

    def _topic(self, name: str, put_off: frozenset[str]) -> TopicInfo:
        image = self._context.image
        topic = image.topic(name)
        if topic is None:
            illegal = topic_name_complaint(name) is not None
            error = ErrorCode.INVALID_TOPIC if illegal else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            return TopicInfo(error, name, text=_PUT_OFF if name in put_off else "")
        if not is_complete(image, topic):
            return TopicInfo(ErrorCode.LEADER_NOT_AVAILABLE, name, topic.topic_id)
        return self._described(topic)

    def _described(self, topic: TopicRecord) -> TopicInfo:
        partitions = self._context.image.partitions[topic.topic_id]
        infos = tuple(
            PartitionInfo(number, record.leader, record.leader_epoch, record.replicas, record.isr)
            for number, record in sorted(partitions.items())
            if number < topic.partition_count  # those of an unfinished addition are not shown
        )
        return TopicInfo(ErrorCode.NONE, topic.name, topic.topic_id, infos, topic.configs)

    # Topics made on first use

    def _to_make(self, body: MetadataRequest) -> list[str]:
        if not (body.allow_auto_topic_creation and self._context.config.broker.auto_create_topics):
            return []
        known = self._context.image.topic_ids
        unknown = [name for name in dict.fromkeys(body.topics or ()) if name not in known]
        return [
            name for name in unknown if topic_name_complaint(name) is None and not is_internal(name)
        ]

    def _wait(self, request: Request, missing: list[str], now: Now) -> None:
        patience_ms = request.due_ms(now, self._context.config.broker.request_timeout_ms)
        patience_ms -= now.mono_ms
        due_ms = now.mono_ms + patience_ms * 3 // 4  # an answer at the last moment comes too late
        new = [name for name in missing if name not in self._making]
        room = max(0, MAKING_MAX - len(self._making))
        put_off = frozenset(new[room:])
        waiting = _Waiting(request, set(missing) - put_off, put_off)
        if not waiting.missing:
            self._answer(request, put_off)
            return
        self._waiting.append(waiting)
        waiting.timer = self._context.timers.at(due_ms, lambda _now: self._end(waiting))
        if new[:room]:
            self._make(new[:room], now)

    def _make(self, names: list[str], now: Now) -> None:
        self._making.update(dict.fromkeys(names))
        timeout_ms = self._context.config.broker.request_timeout_ms
        due_ms = now.mono_ms + timeout_ms
        topics = tuple(NewTopic(name) for name in names)
        request = CreateTopicsRequest(topics, timeout_ms, clamp=True)

        def on_answer(answer: Message, _payload: tuple[Buffer, ...], now: Now) -> None:
            if isinstance(answer, CreateTopicsResponse):
                self._metadata.when_applied(
                    answer.version, lambda _applied, _now: self._made(names), due_ms, now
                )
            else:
                self._made(names)

        self._channel.ask_until(request, on_answer, due_ms, now)

    def _made(self, names: list[str]) -> None:
        """These exist now, or could not be made: either way nobody waits for them any longer."""
        for name in names:
            self._making.pop(name, None)
        for waiting in list(self._waiting):
            waiting.missing.difference_update(names)
            if not waiting.missing:
                self._end(waiting)

    def _end(self, waiting: _Waiting) -> None:
        if waiting.timer is not None:
            waiting.timer.cancel()
        self._waiting.remove(waiting)
        self._answer(waiting.request, waiting.put_off)
