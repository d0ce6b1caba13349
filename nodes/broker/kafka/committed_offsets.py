"""OffsetFetch: what groups have committed, for some partitions or for all, of as many groups as are named.

Some groups are asked about at a time, and each page by page, so that no turn is long whatever they
have committed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from nodes.broker.kafka.coordination import ASKED_MAX, code_of
from nodes.broker.kafka.exchange import Exchange
from nodes.core.group.offsets import PARTITIONS_MAX
from transport.gateway.kafka.messages.group_offsets import (
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchResponse,
    OffsetFetchResponseGroup,
    OffsetFetchResponsePartition,
    OffsetFetchResponseTopic,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import MemberEpoch, MemberId, TopicId
from transport.wire.messages import group_offsets
from transport.wire.messages.acls import AclOperation, ResourceType

FETCHES_MANY_FROM = 8
GROUPS_AT_ONCE = 20
"""Asked about at a time; of all that they have committed a page is that much smaller."""
OFFSETS_MAX = 50_000
"""In one answer, and what the last groups have beyond: the other groups are to be asked for again, which
clients do that are told that their coordinator is still loading."""
NO_TOPIC = TopicId(b"")


def offset_fetch(exchange: Exchange) -> None:
    """Of one group; since version 8 of any number of them."""
    asked: OffsetFetchRequest = exchange.body
    groups: tuple[OffsetFetchRequestGroup, ...] = asked.groups
    if exchange.version < FETCHES_MANY_FROM:
        groups = (OffsetFetchRequestGroup(group_id=asked.group_id, topics=asked.topics),)
    _Fetching(exchange, groups).begin()


class _Fetching:
    """One request, as far as it is through."""

    def __init__(self, exchange: Exchange, groups: Sequence[OffsetFetchRequestGroup]) -> None:
        self._exchange = exchange
        self._groups = groups
        # Judged once: what was not asked must not be told as what has nothing committed.
        self.forbidden = _forbidden(exchange, groups)
        self.page_max = PARTITIONS_MAX if len(groups) == 1 else PARTITIONS_MAX // GROUPS_AT_ONCE
        self._told: dict[int, OffsetFetchResponseGroup] = {}
        self._begun = self._open = 0
        """Groups that were asked about, and those of them that are not through."""
        self._count = 0

    def begin(self) -> None:
        """Ask about the first groups; each that is through makes room for the next one."""
        if len(self._groups) > ASKED_MAX:
            refused = [_refused(group, ErrorCode.INVALID_REQUEST) for group in self._groups]
            self._told = dict(enumerate(refused))
            self._begun = len(self._groups)
        if self._begun == len(self._groups):
            self._answer()
        while self._open < GROUPS_AT_ONCE and self._begun < len(self._groups):
            self._go_on()

    def on_page(self, offsets: int) -> None:
        """So many offsets more will be told."""
        self._count += offsets

    def on_group(self, place: int, told: OffsetFetchResponseGroup) -> None:
        """A group is through."""
        self._told[place] = told
        self._open -= 1
        self._go_on()

    def _go_on(self) -> None:
        """Ask about the next group; answer if none is left, and all are through."""
        while self._begun < len(self._groups):
            place, group = self._begun, self._groups[self._begun]
            self._begun += 1
            if self._count < OFFSETS_MAX:
                self._open += 1
                _Inquiry(self, self._exchange, place, group).ask()
                return
            self._told[place] = _refused(group, ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        if not self._open:
            self._answer()

    def _answer(self) -> None:
        told = tuple(self._told[place] for place in range(len(self._groups)))
        if self._exchange.version >= FETCHES_MANY_FROM:
            self._exchange.answer(OffsetFetchResponse(groups=told))
            return
        (only,) = told
        self._exchange.answer(OffsetFetchResponse(topics=only.topics, error_code=only.error_code))


class _Inquiry:
    """About one group: page by page."""

    def __init__(
        self,
        fetching: _Fetching,
        exchange: Exchange,
        place: int,
        group: OffsetFetchRequestGroup,
    ) -> None:
        self._fetching = fetching
        self._exchange = exchange
        self._place = place
        self._group = group
        self._left = self._partitions()
        """To be asked about still; of all: empty."""
        self._all: dict[str, list[OffsetFetchResponsePartition]] = {}
        self._found: dict[tuple[TopicId, int], group_offsets.CommittedOffset] = {}

    def _partitions(self) -> tuple[group_offsets.GroupPartition, ...]:
        return tuple(
            group_offsets.GroupPartition(topic_id, partition)
            for topic in self._group.topics or ()
            if (topic_id := self._exchange.topic_id(topic.name))
            and topic.name not in self._fetching.forbidden
            for partition in topic.partition_indexes
        )

    def ask(self) -> None:
        """Begin."""
        group = self._group
        question = group_offsets.OffsetFetchRequest(
            group.group_id,
            None,
            self._exchange.body.require_stable,
            MemberId(group.member_id or ""),
            MemberEpoch(group.member_epoch),
            most=self._fetching.page_max,
        )
        if group.topics is not None:
            question = self._next_of_left(question)
        self._ask(question)

    def _next_of_left(
        self, question: group_offsets.OffsetFetchRequest
    ) -> group_offsets.OffsetFetchRequest:
        asked, self._left = self._left[:PARTITIONS_MAX], self._left[PARTITIONS_MAX:]
        return replace(question, partitions=asked)

    def _ask(self, question: group_offsets.OffsetFetchRequest) -> None:
        def then(answer: Any, _payload: object) -> None:
            offsets = getattr(answer, "offsets", ())
            self._fetching.on_page(len(offsets))
            self._take(offsets)
            behind = getattr(answer, "goes_on_after", None)
            if not answer.error and behind is not None:
                self._ask(replace(question, after=behind))
            elif not answer.error and self._left:
                self._ask(self._next_of_left(question))
            else:
                self._fetching.on_group(self._place, self._all_told(code_of(answer.error)))

        self._exchange.ask(question, then)

    def _take(self, offsets: Sequence[group_offsets.CommittedOffset]) -> None:
        for one in offsets:
            if self._group.topics is not None:
                self._found[one.topic_id, one.partition] = one
                continue
            name = self._exchange.topic_name(one.topic_id)
            if name is not None:
                self._all.setdefault(name, []).append(_committed(one.partition, one, 0))

    def _all_told(self, error: int) -> OffsetFetchResponseGroup:
        """A topic that nobody knows has nothing committed; an unstable offset is one of its partition."""
        group = self._group
        if group.topics is None:
            topics = tuple(
                OffsetFetchResponseTopic(name=name, partitions=tuple(parts))
                for name, parts in ({} if error else self._all).items()
            )
            return OffsetFetchResponseGroup(
                group_id=group.group_id, topics=topics, error_code=error
            )
        refused = error or int(ErrorCode.TOPIC_AUTHORIZATION_FAILED)
        topics = tuple(
            OffsetFetchResponseTopic(
                name=topic.name,
                partitions=tuple(
                    _committed(
                        partition,
                        self._found.get((self._exchange.topic_id(topic.name), partition)),
                        refused if topic.name in self._fetching.forbidden else error,
                    )
                    for partition in topic.partition_indexes
                ),
            )
            for topic in group.topics
        )
        if error == ErrorCode.UNSTABLE_OFFSET_COMMIT:
            error = 0
        return OffsetFetchResponseGroup(group_id=group.group_id, topics=topics, error_code=error)


def _forbidden(exchange: Exchange, groups: Sequence[OffsetFetchRequestGroup]) -> frozenset[str]:
    """Return the topics that may not be known: of the others is told what is committed."""
    names = {topic.name for group in groups for topic in group.topics or ()}
    return frozenset(
        name for name in names if not exchange.may(AclOperation.DESCRIBE, ResourceType.TOPIC, name)
    )


def _refused(group: OffsetFetchRequestGroup, error: ErrorCode) -> OffsetFetchResponseGroup:
    """Return the answer about a group that was not asked about, which only a version can need that
    has an error of the group."""
    return OffsetFetchResponseGroup(group_id=group.group_id, topics=(), error_code=error)


def _committed(
    partition: int, one: group_offsets.CommittedOffset | None, error: int
) -> OffsetFetchResponsePartition:
    if one is None or error:
        one = group_offsets.CommittedOffset(NO_TOPIC, partition)
    return OffsetFetchResponsePartition(
        partition_index=partition,
        committed_offset=one.offset,
        committed_leader_epoch=one.leader_epoch,
        metadata=one.metadata,
        error_code=error,
    )
