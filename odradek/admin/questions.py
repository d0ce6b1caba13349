"""Questions of an admin client that not any broker can answer, asked until they are or time is up.

Of the leader of a partition, of the coordinator of a key, of one broker or each.  All of them must be safe
to ask twice.  Owns the retries; it must not know what is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import error_of, failure_of
from odradek.cluster.metadata import Leader
from odradek.errors import ClientTimeoutError, OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicPartition
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse

PAUSE_MS = 20
"""Between two tries: about what an election takes."""

OnAnswer = Callable[[Message, Now], None]
OnAnswers = Callable[[list[Message] | OdradekError, Now], None]
OnLeaderAnswer = Callable[[Message | OdradekError, Now], None]
OnTopics = Callable[[MetadataResponse | OdradekError, Now], None]


class PartitionVerdict(NamedTuple):
    """What an answer says of the partition asked about."""

    error: int
    text: str = ""


class LeaderQuestion(NamedTuple):
    """What is asked of a partition's leader, and how its answers are to be read."""

    partition: TopicPartition
    make: Callable[[Leader, int], Message]
    """The request, for this leader and within so many milliseconds."""
    judge: Callable[[Message], PartitionVerdict]
    """Of an answer that is no refusal."""


class BrokerQuestions:
    """All of one admin client."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def ask_topics(self, timeout_ms: int, on_done: OnTopics, now: Now) -> None:
        """Ask any broker for all topics and brokers, for their names and ids."""

        def told(body: Message, now: Now) -> None:
            good = isinstance(body, MetadataResponse) and body.error == ErrorCode.NONE
            on_done(body if good else failure_of(body), now)  # type: ignore[arg-type]

        self._program.errands.ask(MetadataRequest(None), told, now, timeout_ms=timeout_ms)

    def ask_coordinator(
        self,
        key_type: int,
        key: str,
        body: Message,
        timeout_ms: int,
        on_done: OnAnswer,
        now: Now,
    ) -> None:
        """Ask the coordinator of a group or of a transactional id."""
        program = self._program
        link = CoordinatorLink(
            program.view, program.calls, program.timers, program.errands, key_type, key
        )
        link.attach(program.ports)
        link.ask(body, on_done, now, timeout_ms=timeout_ms)

    # Leaders

    def ask_leader(
        self, question: LeaderQuestion, timeout_ms: int, on_done: OnLeaderAnswer, now: Now
    ) -> None:
        """Ask whoever leads a partition, until one has answered for it."""
        program, key = self._program, question.partition
        give_up_ms = now.mono_ms + timeout_ms
        trouble = "it has no leader that answers"

        def answered(body: Message, _payload: object, now: Now) -> None:
            nonlocal trouble
            if isinstance(body, Refusal):
                code, text = error_of(body), body.text
            else:
                code, text = question.judge(body)
            if code == ErrorCode.NONE:
                on_done(body, now)
                return
            meant = meaning(code)
            trouble = text or meant.text
            if not meant.retriable:
                on_done(error_for(code, f"{key}: {trouble}"), now)
                return
            if meant.refresh_metadata:
                program.view.refresh_later(now)
            program.timers.after(now, PAUSE_MS, ask)

        def ask(now: Now) -> None:
            left_ms = give_up_ms - now.mono_ms
            if left_ms <= 0:
                on_done(self._late(key, trouble), now)
                return
            program.view.follow(key.topic, now)
            leader = program.view.leader(key.topic, key.partition, now)
            if leader is not None:
                request = question.make(leader, left_ms)
                if program.calls.request(leader.link, request, answered, now, timeout_ms=left_ms):
                    return
                program.view.links.refused(leader.link, now)
            program.timers.after(now, PAUSE_MS, ask)

        ask(now)

    def _late(self, key: TopicPartition, trouble: str) -> OdradekError:
        topic = self._program.view.topics.get(key.topic)
        if topic is not None and topic.asked and topic.error != ErrorCode.NONE:
            return error_for(topic.error, f"{key}: no such topic here")
        if topic is not None and (complaint := topic.lacks(key.partition)):
            return error_for(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, complaint)
        return ClientTimeoutError(f"{key}: its leader has not done it in time; {trouble}")

    # Brokers

    def ask_broker(
        self, broker_id: int, body: Message, timeout_ms: int, on_done: OnAnswer, now: Now
    ) -> None:
        """Ask one live broker; ``on_done`` gets its answer, or a Refusal."""
        deadline_ms = now.mono_ms + timeout_ms

        def begin(told: MetadataResponse | OdradekError, now: Now) -> None:
            brokers = [] if isinstance(told, OdradekError) else told.brokers
            endpoint = next((one.clients for one in brokers if one.id == broker_id), "")
            if endpoint:
                self._ask_broker(
                    NodeId(broker_id),
                    endpoint,
                    body,
                    deadline_ms,
                    lambda _, *end: on_done(*end),
                    now,
                )
                return
            text = str(told) if isinstance(told, OdradekError) else "see `odradek broker list`"
            text = f"there is no live broker {broker_id}; {text}"
            on_done(Refusal(ErrorCode.BROKER_ID_NOT_REGISTERED, text), now)

        self.ask_topics(timeout_ms, begin, now)

    def ask_every_broker(
        self, body: Message, timeout_ms: int, on_done: OnAnswers, now: Now
    ) -> None:
        """Ask each live broker; one that does not answer well in time is an error."""
        deadline_ms = now.mono_ms + timeout_ms
        answers: list[Message] = []

        def begin(told: MetadataResponse | OdradekError, now: Now) -> None:
            if isinstance(told, OdradekError):
                on_done(told, now)
                return
            left = {broker.id for broker in told.brokers}

            def one(node: NodeId, answer: Message, now: Now) -> None:
                if node not in left:
                    return
                if isinstance(answer, Refusal):
                    left.clear()
                    on_done(failure_of(answer), now)
                    return
                left.discard(node)
                answers.append(answer)
                if not left:
                    on_done(answers, now)

            for broker in told.brokers:
                self._ask_broker(broker.id, broker.clients, body, deadline_ms, one, now)
            if not told.brokers:
                on_done([], now)

        self.ask_topics(timeout_ms, begin, now)

    def _ask_broker(
        self,
        node: NodeId,
        endpoint: str,
        question: Message,
        deadline_ms: int,
        on_one: Callable[[NodeId, Message, Now], None],
        now: Now,
    ) -> None:
        view, calls, timers = self._program.view, self._program.calls, self._program.timers

        def answered(body: Message, _payload: object, now: Now) -> None:
            code = error_of(body)
            if code != ErrorCode.NONE and meaning(code).retriable and now.mono_ms < deadline_ms:
                timers.after(now, PAUSE_MS, ask)
            elif code != ErrorCode.NONE and not isinstance(body, Refusal):
                on_one(node, Refusal(code, meaning(code).text), now)
            else:
                on_one(node, body, now)

        def ask(now: Now) -> None:
            left_ms = deadline_ms - now.mono_ms
            if left_ms <= 0:
                late = Refusal(ErrorCode.REQUEST_TIMED_OUT, f"broker {node} has not answered")
                on_one(node, late, now)
                return
            link = view.links.open(endpoint)
            if not calls.request(link, question, answered, now, timeout_ms=left_ms):
                timers.after(now, PAUSE_MS, ask)  # a link that is still connecting

        ask(now)
