"""LIST_PARTITION_REASSIGNMENTS: what is on its way, as this broker has applied it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.reassignments import (
    ListReassignmentsRequest,
    ListReassignmentsResponse,
    OngoingReassignment,
)


class ReassignmentApi:
    """Answers from the image."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            ListReassignmentsRequest: self._on_request
        }

    def _on_request(self, request: Request, _now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, ListReassignmentsRequest), "by the dispatch table"
        wanted = None if body.topics is None else frozenset(body.topics)
        found = sorted(self._ongoing(wanted), key=lambda one: (one.topic, one.partition))
        self._context.reply(request, ListReassignmentsResponse(ErrorCode.NONE, tuple(found)))

    def _ongoing(self, wanted: frozenset[str] | None) -> Iterator[OngoingReassignment]:
        image = self._context.image
        for topic in image.topics.values():
            if wanted is not None and topic.name not in wanted:
                continue
            for number, record in image.partitions[topic.topic_id].items():
                if record.adding or record.removing:
                    yield OngoingReassignment(
                        topic.name, number, record.replicas, record.adding, record.removing
                    )
