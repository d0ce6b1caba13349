"""Reassignments, elections and drains as an admin client asks for them.

It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from odradek.admin import pieces
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of
from odradek.errors import OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NodeId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages import reassignments as wire


class OngoingReassignment(NamedTuple):
    """A partition on its way: ``replicas`` are all it has now, old and new."""

    replicas: tuple[int, ...]
    adding: tuple[int, ...]
    removing: tuple[int, ...]


Ongoing = dict[TopicPartition, OngoingReassignment]
OnDone = Callable[[OdradekError | None, Now], None]
OnOngoing = Callable[[Ongoing | OdradekError, Now], None]
Outcomes = pieces.Outcomes[TopicPartition]
OnOutcomes = pieces.OnOutcomes[TopicPartition]


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
        deadline_ms = now.mono_ms + timeout_ms

        def ask(some: Sequence[TopicPartition], on_told: OnOutcomes, now: Now) -> None:
            def told(body: Message, now: Now) -> None:
                if not isinstance(body, wire.AlterReassignmentsResponse) or error_of(body):
                    on_told(failure_of(body), now)
                else:
                    on_told(_outcomes(body.partitions), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            parts = tuple(_reassignment(key, targets[key]) for key in some)
            request = wire.AlterReassignmentsRequest(parts, left_ms)
            self._program.errands.ask(request, told, now, timeout_ms=left_ms)

        if not targets:
            on_done({}, now)
        else:
            pieces.decide_in_pieces(list(targets), ask, on_done, now)

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
        deadline_ms = now.mono_ms + timeout_ms
        kind = wire.ELECT_UNCLEAN if unclean else wire.ELECT_PREFERRED

        def ask(some: Sequence[TopicPartition] | None, on_told: OnOutcomes, now: Now) -> None:
            def told(body: Message, now: Now) -> None:
                if not isinstance(body, wire.ElectLeadersResponse) or error_of(body):
                    on_told(failure_of(body), now)
                else:
                    on_told(_outcomes(body.partitions), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            named = None if some is None else tuple((key.topic, key.partition) for key in some)
            request = wire.ElectLeadersRequest(kind, named, left_ms)
            self._program.errands.ask(request, told, now, timeout_ms=left_ms)

        if partitions is None:
            ask(None, on_done, now)
        else:
            pieces.decide_in_pieces(partitions, ask, on_done, now)

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


def _reassignment(key: TopicPartition, nodes: Sequence[int] | None) -> wire.Reassignment:
    replicas = None if nodes is None else tuple(NodeId(node) for node in nodes)
    return wire.Reassignment(key.topic, key.partition, replicas)


def _outcomes(told: Sequence[wire.PartitionOutcome]) -> Outcomes:
    found: Outcomes = {}
    for one in told:
        name = f"{one.topic}-{one.partition}"
        error = None
        if one.error != ErrorCode.NONE:
            error = error_for(one.error, f"{name}: {one.text or meaning(one.error).text}")
        found[TopicPartition(one.topic, one.partition)] = error
    return found
