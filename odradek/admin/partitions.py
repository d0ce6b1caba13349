"""Reassignments, elections and drains as an admin client asks for them.

It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of
from odradek.errors import OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages import reassignments as wire

AT_ONCE = 500
"""Partitions in one request; more go one request after the other."""


class OngoingReassignment(NamedTuple):
    """A partition on its way: ``replicas`` are all it has now, old and new."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


Ongoing = dict[TopicPartition, OngoingReassignment]
OnDone = Callable[[OdradekError | None, Now], None]
OnOngoing = Callable[[Ongoing | OdradekError, Now], None]
Outcomes = dict[TopicPartition, OdradekError | None]
OnOutcomes = Callable[[Outcomes | OdradekError, Now], None]


class PartitionAdmin:
    """The part of an admin client that is about where replicas are and who leads."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def reassign(
        self,
        targets: Mapping[TopicPartition, Sequence[int] | None],
        timeout_ms: int,
        on_done: OnOutcomes,
        now: Now,
    ) -> None:
        """Begin reassignments (None: cancel); tells what became of each, not when it has ended."""
        parts = [
            wire.Reassignment(
                key.topic,
                key.partition,
                None if nodes is None else tuple(NodeId(node) for node in nodes),
            )
            for key, nodes in targets.items()
        ]
        deadline_ms = now.mono_ms + timeout_ms
        outcomes: Outcomes = {}

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.AlterReassignmentsResponse) or error_of(body):
                on_done(failure_of(body), now)
                return
            outcomes.update(_outcomes(body.partitions))
            ask(now)

        def ask(now: Now) -> None:
            if len(outcomes) >= len(parts):
                on_done(outcomes, now)
                return
            left_ms = max(1, deadline_ms - now.mono_ms)
            some = tuple(parts[len(outcomes) : len(outcomes) + AT_ONCE])
            request = wire.AlterReassignmentsRequest(some, left_ms)
            self._program.errands.ask(request, told, now, timeout_ms=left_ms)

        ask(now)

    def ongoing(
        self, topics: Sequence[str] | None, timeout_ms: int, on_done: OnOngoing, now: Now
    ) -> None:
        """Tell which reassignments are under way."""

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.ListReassignmentsResponse) or error_of(body):
                on_done(failure_of(body), now)
                return
            found = {
                TopicPartition(one.topic, one.partition): OngoingReassignment(
                    one.replicas, one.adding, one.removing
                )
                for one in body.partitions
            }
            on_done(found, now)

        request = wire.ListReassignmentsRequest(None if topics is None else tuple(topics))
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def elect(
        self,
        partitions: Sequence[TopicPartition] | None,
        timeout_ms: int,
        on_done: OnOutcomes,
        now: Now,
        *,
        unclean: bool = False,
    ) -> None:
        """Elect preferred (or unclean) leaders; tells what became of each partition."""

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.ElectLeadersResponse) or error_of(body):
                on_done(failure_of(body), now)
            else:
                on_done(_outcomes(body.partitions), now)

        kind = wire.ELECT_UNCLEAN if unclean else wire.ELECT_PREFERRED
        named = (
            None if partitions is None else tuple((key.topic, key.partition) for key in partitions)
        )
        request = wire.ElectLeadersRequest(kind, named, timeout_ms)
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def drain(
        self, broker_id: int, timeout_ms: int, on_done: OnDone, now: Now, *, draining: bool = True
    ) -> None:
        """Let a broker lead nothing and get nothing new; or let it again."""
        request = wire.DrainBrokerRequest(NodeId(broker_id), draining, timeout_ms)
        self._ask(request, timeout_ms, on_done, now)

    def unregister(self, broker_id: int, timeout_ms: int, on_done: OnDone, now: Now) -> None:
        """Forget a broker that is stopped and has no replicas."""
        request = wire.UnregisterBrokerRequest(NodeId(broker_id), timeout_ms)
        self._ask(request, timeout_ms, on_done, now)

    def _ask(self, request: Message, timeout_ms: int, on_done: OnDone, now: Now) -> None:
        def told(body: Any, now: Now) -> None:
            code = error_of(body)
            if code == ErrorCode.NONE:
                on_done(None, now)
            else:
                text = getattr(body, "text", "") or meaning(code).text
                on_done(error_for(code, text), now)

        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)


def _outcomes(told: Sequence[wire.PartitionOutcome]) -> Outcomes:
    found: Outcomes = {}
    for one in told:
        name = f"{one.topic}-{one.partition}"
        error = None
        if one.error != ErrorCode.NONE:
            error = error_for(one.error, f"{name}: {one.text or meaning(one.error).text}")
        found[TopicPartition(one.topic, one.partition)] = error
    return found
