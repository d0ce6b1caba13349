"""Topics as an administrator makes, changes and deletes them, and waits for them.

Owns the waiting until a new topic can be used; how topics are described is for
``topic_descriptions`` to say.  It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from odradek.admin.pieces import change_in_pieces, gather_in_pieces
from odradek.admin.topic_descriptions import (
    LOOK_PAUSE_MS,
    OnTopics,
    TopicDescriber,
    TopicDescription,
    metadata_told,
)
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import Errand, error_of, failure_of
from odradek.errors import (
    ClientTimeoutError,
    InvalidPartitionsError,
    OdradekError,
    topic_error,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataRequest
from transport.wire.messages.topics import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreateTopicsRequest,
    CreateTopicsResponse,
    DeleteTopicsRequest,
    DeleteTopicsResponse,
    NewPartitions,
    NewTopic,
    TopicOutcome,
)

OnDone = Callable[[OdradekError | None, Now], None]


class TopicAdmin:
    """The part of an admin client that is about topics."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program
        self._describer = TopicDescriber(program)

    def create(
        self,
        topics: Sequence[NewTopic],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
        *,
        validate_only: bool = False,
    ) -> None:
        """Create topics; done when every partition has a leader that answers, and its full ISR."""
        deadline_ms = now.mono_ms + timeout_ms

        def make(some: Sequence[NewTopic], on_made: OnDone, now: Now) -> None:
            self._create(some, deadline_ms, on_made, now, validate_only=validate_only)

        if not validate_only:
            said = "the topics were created" if len(topics) > 1 else "the topic was created"
            on_done = self._once_complete(topics, said, deadline_ms, on_done)
        change_in_pieces(topics, make, on_done, now)

    def _create(
        self,
        topics: Sequence[NewTopic],
        deadline_ms: int,
        on_made: OnDone,
        now: Now,
        *,
        validate_only: bool,
    ) -> None:
        tries: list[Errand] = []

        def created(body: Message, now: Now) -> None:
            answers = body.topics if isinstance(body, CreateTopicsResponse) else None
            # Most likely by our own try whose answer was lost.
            made_before = not validate_only and any(one.doubtful for one in tries)
            done = ErrorCode.TOPIC_ALREADY_EXISTS if made_before else ErrorCode.NONE
            error = _first_error(body, answers, done)
            if error is not None and error.retriable and now.mono_ms < deadline_ms:
                self._program.timers.after(now, LOOK_PAUSE_MS, ask)
            else:
                on_made(error, now)

        def ask(now: Now) -> None:
            left_ms = max(1, deadline_ms - now.mono_ms)
            request = CreateTopicsRequest(tuple(topics), left_ms, validate_only=validate_only)
            tries.append(self._program.errands.ask(request, created, now, timeout_ms=left_ms))

        ask(now)

    def add_partitions(
        self,
        topics: Sequence[NewPartitions],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
        *,
        validate_only: bool = False,
    ) -> None:
        """Add partitions; done when every partition has a leader that answers, and its full ISR."""
        deadline_ms = now.mono_ms + timeout_ms

        def add(some: Sequence[NewPartitions], on_added: OnDone, now: Now) -> None:
            self._add_partitions(some, deadline_ms, on_added, now, validate_only=validate_only)

        if not validate_only:
            said = "the partitions were added"
            on_done = self._once_complete(topics, said, deadline_ms, on_done)
        change_in_pieces(topics, add, on_done, now)

    def _add_partitions(
        self,
        topics: Sequence[NewPartitions],
        deadline_ms: int,
        on_added: OnDone,
        now: Now,
        *,
        validate_only: bool,
    ) -> None:
        counts = {topic.name: topic.count for topic in topics}

        def added(body: Message, now: Now) -> None:
            answers = body.topics if isinstance(body, CreatePartitionsResponse) else None
            error = _first_error(body, answers)
            if isinstance(error, InvalidPartitionsError) and errand.doubtful:
                look(error, now)
            else:
                on_added(error, now)

        def look(error: OdradekError, now: Now) -> None:
            """Perhaps a try of ours whose answer was lost has done it."""

            def looked(told: list[TopicDescription] | OdradekError, now: Now) -> None:
                found = {} if isinstance(told, OdradekError) else _partition_counts(told)
                on_added(None if found == counts else error, now)

            self.describe(list(counts), deadline_ms - now.mono_ms, looked, now)

        left_ms = max(1, deadline_ms - now.mono_ms)
        request = CreatePartitionsRequest(tuple(topics), left_ms, validate_only)
        errand = self._program.errands.ask(request, added, now, timeout_ms=left_ms)

    def delete(self, names: Sequence[str], timeout_ms: int, on_done: OnDone, now: Now) -> None:
        """Delete topics; done when the change is committed."""
        deadline_ms = now.mono_ms + timeout_ms

        def delete(some: Sequence[str], on_deleted: OnDone, now: Now) -> None:
            def deleted(body: Message, now: Now) -> None:
                answers = body.topics if isinstance(body, DeleteTopicsResponse) else None
                # Most likely by our own try whose answer was lost.
                done = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION if errand.doubtful else ErrorCode.NONE
                on_deleted(_first_error(body, answers, done), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = DeleteTopicsRequest(tuple(some), left_ms)
            errand = self._program.errands.ask(request, deleted, now, timeout_ms=left_ms)

        change_in_pieces(list(dict.fromkeys(names)), delete, on_done, now)

    def list_names(
        self,
        timeout_ms: int,
        on_done: Callable[[list[str] | OdradekError, Now], None],
        now: Now,
        *,
        include_internal: bool = False,
    ) -> None:
        """Tell the names of all topics, sorted; with those that the cluster keeps for itself, or not."""

        def told(body: Message, now: Now) -> None:
            metadata = metadata_told(body)
            if isinstance(metadata, OdradekError):
                on_done(metadata, now)
            else:
                on_done(sorted(topic.name for topic in metadata.topics), now)

        request = MetadataRequest(None, include_internal=include_internal)
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def describe(
        self,
        names: Sequence[str] | None,
        timeout_ms: int,
        on_done: OnTopics,
        now: Now,
        *,
        include_internal: bool = False,
    ) -> None:
        """Describe topics (None: all), in the order asked: the metadata, then what leaders say.

        ``include_internal``: of all, also those that the cluster keeps for itself.
        """
        deadline_ms = now.mono_ms + timeout_ms
        if names is None:
            everything = MetadataRequest(None, include_internal=include_internal)
            self._describer.describe(everything, deadline_ms, on_done, now)
            return

        def describe(some: Sequence[str], on_told: OnTopics, now: Now) -> None:
            self._describer.describe(MetadataRequest(tuple(some)), deadline_ms, on_told, now)

        gather_in_pieces(list(dict.fromkeys(names)), describe, on_done, now)

    # Inside

    def _once_complete(
        self,
        topics: Sequence[NewTopic | NewPartitions],
        said: str,
        deadline_ms: int,
        on_done: OnDone,
    ) -> OnDone:
        """Return what takes the end of a change: it looks until every partition is complete.

        ``said``: what is true even where the time runs out meanwhile.
        """
        names = [one.name for one in topics]

        def changed(error: OdradekError | None, now: Now) -> None:
            if error is not None:
                on_done(error, now)
            else:
                look(now)

        def looked(told: list[TopicDescription] | OdradekError, now: Now) -> None:
            trouble = _incomplete(told)
            if trouble is None:
                on_done(None, now)
            elif isinstance(told, OdradekError) and not told.retriable:
                on_done(told, now)
            elif now.mono_ms >= deadline_ms:
                text = f"{said}, but in the time given {trouble}"
                on_done(ClientTimeoutError(text), now)
            else:
                self._program.timers.after(now, LOOK_PAUSE_MS, look)

        def look(now: Now) -> None:
            left_ms = max(1, deadline_ms - now.mono_ms)
            self.describe(names, left_ms, looked, now)

        return changed


def _partition_counts(topics: Sequence[TopicDescription]) -> dict[str, int]:
    return {topic.name: len(topic.partitions) for topic in topics}


def _incomplete(topics: list[TopicDescription] | OdradekError) -> str | None:
    """Say what is missing until every partition can be used; None: nothing."""
    if isinstance(topics, OdradekError):
        return f"it could not be described: {topics}"
    for topic in topics:
        if not topic.partitions:
            return f"{topic.name} had no partitions yet"
        for part in topic.partitions:
            if not part.complete:
                if part.high_watermark < 0:
                    return f"{topic.name}-{part.partition} had no leader that answers"
                return f"{topic.name}-{part.partition} had ISR {part.isr} of {part.replicas}"
    return None


def _first_error(
    body: Message, outcomes: Sequence[TopicOutcome] | None, done: ErrorCode = ErrorCode.NONE
) -> OdradekError | None:
    """Return the error of an answer as a whole, else of its first topic that failed.

    ``done``: an error that says that all was done before.
    """
    if outcomes is None or error_of(body) != ErrorCode.NONE:
        return failure_of(body)
    for outcome in outcomes:
        if outcome.error not in (ErrorCode.NONE, done):
            return topic_error(outcome.name, outcome.error, outcome.text)
    return None
