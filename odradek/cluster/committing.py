"""Committing and fetching a group's offsets, by the names people use.

Owns the wait for topics whose ids are not known yet.  A topic that is made anew under its name is
another one: no offset of the one counts for the other.  It must not know who commits, or why.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from odradek.arguments import LEADER_EPOCHS, OFFSETS, partition_of
from odradek.cluster.coordinator_link import CoordinatorLink
from odradek.cluster.errands import failure_of
from odradek.cluster.metadata import ClusterView
from odradek.errors import OdradekError, error_for, topic_error
from odradek.settings import check_number, check_text
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import (
    LeaderEpoch,
    MemberEpoch,
    MemberId,
    Offset,
    ProducerEpoch,
    ProducerId,
    TopicId,
    TopicPartition,
)
from transport.wire.messages import Message, Refusal
from transport.wire.messages.group_offsets import (
    GroupPartition,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetToCommit,
    TxnOffsetCommitRequest,
)

LOOK_MS = 20
_ANY: Mapping[str, TopicId] = MappingProxyType({})
"""Whatever topics have the names."""


class Who(NamedTuple):
    """As whom to commit."""

    member_id: MemberId
    epoch: MemberEpoch
    instance_id: str | None = None


NOBODY = Who(MemberId(""), MemberEpoch(-1))
"""Commits from outside: for groups without members, or partitions assigned by hand."""


class OffsetAndMetadata(NamedTuple):
    """A commit: the next offset to read, and whatever the program wants to keep by it."""

    offset: int
    metadata: str = ""
    leader_epoch: int = -1


Committable = Mapping[TopicPartition, int | tuple[int, str] | OffsetAndMetadata]
"""What people commit: the offset of the next record to read, perhaps with a note."""


def offsets_to_commit(given: Committable) -> dict[TopicPartition, OffsetAndMetadata]:
    """Return what is to be committed; TypeError or ValueError for what cannot be."""
    if not isinstance(given, Mapping):
        raise TypeError(f"offsets are a dict of TopicPartition to offset, not {given!r}")
    found: dict[TopicPartition, OffsetAndMetadata] = {}
    for key, one in given.items():
        if isinstance(one, tuple) and not 1 <= len(one) <= len(OffsetAndMetadata._fields):
            raise TypeError(
                f"a commit is an offset or OffsetAndMetadata(offset, text), not {one!r}"
            )
        commit = OffsetAndMetadata(*one) if isinstance(one, tuple) else OffsetAndMetadata(one)
        check_number(f"offset of {key}", commit.offset, OFFSETS)
        check_text(f"metadata of {key}", commit.metadata)
        check_number(f"leader_epoch of {key}", commit.leader_epoch, LEADER_EPOCHS)
        found[partition_of(key)] = commit
    return found


class Within(NamedTuple):
    """The transaction that commits offsets."""

    transactional_id: str
    producer_id: ProducerId
    producer_epoch: ProducerEpoch


class GroupMetadata(NamedTuple):
    """A group, and as which of its members to commit: :meth:`odradek.Consumer.group_metadata`."""

    group_id: str
    who: Who = NOBODY


Offsets = Mapping[TopicPartition, OffsetAndMetadata]
OnCommitted = Callable[[OdradekError | None, Now], None]
OnFetched = Callable[[dict[TopicPartition, OffsetAndMetadata] | OdradekError, Now], None]


class GroupOffsets:
    """The committed offsets of one group."""

    def __init__(
        self,
        group_id: str,
        link: CoordinatorLink,
        view: ClusterView,
        timers: Timers,
        *,
        stable: bool = False,
    ) -> None:
        self._group_id = group_id
        self._link = link
        self._view = view
        self._timers = timers
        self._stable = stable
        """What is fetched must not be about to change by a transaction that has not ended."""
        self._beginning = False
        self._committing = False
        self._waiting: deque[Callable[[Now], None]] = deque()
        """Commits that wait for the one under way: tried again later, an older one would come after
        a newer one, and take the group back."""

    def commit(
        self,
        offsets: Offsets,
        who: Who,
        on_committed: OnCommitted,
        now: Now,
        *,
        timeout_ms: int,
        of: Mapping[str, TopicId] = _ANY,
        within: Within | None = None,
    ) -> None:
        """Commit; the first error of a partition is the error of all, but the others are done.

        One after the other, in the order of the calls; one whose time is over before its turn has
        come is not done.  ``of`` what topics the offsets are, by name; where that is not said, of
        those that have these names now.  ``within`` a transaction: it counts once that is committed.
        """

        def begin(now: Now) -> None:
            patience.cancel()
            self._identify(names, meant, known, deadline_ms, now)

        def known(ids: dict[str, TopicId], missing: OdradekError | None, now: Now) -> None:
            there = {key: one for key, one in offsets.items() if key.topic in ids}
            if not there:
                end(missing, now)
                return

            def answered(body: Message, now: Now) -> None:
                end(commit_error(body, list(there)) or missing, now)

            request = self._request(there, ids, who, within)
            self._link.ask(request, answered, now, timeout_ms=max(1, deadline_ms - now.mono_ms))

        def end(error: OdradekError | None, now: Now) -> None:
            self._committing = False
            on_committed(error, now)
            self._go_on(now)

        def late(now: Now) -> None:
            self._waiting.remove(begin)
            refusal = Refusal(ErrorCode.REQUEST_TIMED_OUT, "an earlier commit is still under way")
            on_committed(failure_of(refusal), now)

        names = {key.topic for key in offsets}
        meant = self._ids(names) | dict(of)
        deadline_ms = now.mono_ms + timeout_ms
        if offsets:
            self._waiting.append(begin)
            patience = self._timers.at(deadline_ms, late)
            self._go_on(now)
        else:
            on_committed(None, now)

    def _request(
        self, offsets: Offsets, ids: Mapping[str, TopicId], who: Who, within: Within | None
    ) -> Message:
        parts = tuple(
            OffsetToCommit(
                ids[key.topic],
                key.partition,
                Offset(one.offset),
                LeaderEpoch(one.leader_epoch),
                one.metadata,
            )
            for key, one in offsets.items()
        )
        member = who.member_id, who.epoch, who.instance_id
        if within is None:
            return OffsetCommitRequest(self._group_id, parts, *member)
        return TxnOffsetCommitRequest(*within, self._group_id, parts, *member)

    def _go_on(self, now: Now) -> None:
        """Begin with the next one; those that end at once are no deeper in the stack for it."""
        if self._beginning:
            return
        self._beginning = True
        while self._waiting and not self._committing:
            self._committing = True
            self._waiting.popleft()(now)
        self._beginning = False

    def fetch(
        self,
        keys: Iterable[TopicPartition],
        on_fetched: OnFetched,
        now: Now,
        *,
        timeout_ms: int,
        of: Mapping[str, TopicId] = _ANY,
    ) -> None:
        """Tell what is committed for these partitions; those without a commit are left out.

        ``of`` what topics they are, by name; where that is not said, of those that have these names
        when it is told.
        """
        wanted = list(dict.fromkeys(keys))
        names = {key.topic for key in wanted}
        deadline_ms = now.mono_ms + timeout_ms

        def known(ids: dict[str, TopicId], missing: OdradekError | None, now: Now) -> None:
            if missing is not None:
                on_fetched(missing, now)
                return

            def answered(body: Message, now: Now) -> None:
                found = _fetched(body, wanted)
                if isinstance(found, OdradekError) or self._ids(names) == ids:
                    on_fetched(found, now)
                else:  # it is of a topic that has another's name by now
                    self._identify(names, of, known, deadline_ms, now)

            parts = tuple(GroupPartition(ids[key.topic], key.partition) for key in wanted)
            request = OffsetFetchRequest(self._group_id, parts, self._stable)
            self._link.ask(request, answered, now, timeout_ms=max(1, deadline_ms - now.mono_ms))

        self._identify(names, of, known, deadline_ms, now)

    def apart(
        self, keys: Iterable[TopicPartition], of: Mapping[str, TopicId] = _ANY
    ) -> list[list[TopicPartition]]:
        """Part these for :meth:`fetch`, so that a topic which is not known holds up no other."""
        parts: dict[str, list[TopicPartition]] = {}
        for key in keys:
            known = self._knows(key.topic, of)
            parts.setdefault("" if known else key.topic, []).append(key)
        return list(parts.values())

    def _ids(self, names: Iterable[str]) -> dict[str, TopicId]:
        """Return the ids of those of these topics that are known now."""
        return {name: self._view.topics[name].topic_id for name in names if self._knows(name, _ANY)}

    def _knows(self, name: str, of: Mapping[str, TopicId]) -> bool:
        topic = self._view.topics.get(name)
        if topic is None or not topic.topic_id or topic.error != ErrorCode.NONE:
            return False
        return of.get(name, topic.topic_id) == topic.topic_id

    def _identify(
        self,
        names: set[str],
        of: Mapping[str, TopicId],
        on_known: Callable[[dict[str, TopicId], OdradekError | None, Now], None],
        deadline_ms: int,
        now: Now,
    ) -> None:
        """Tell the ids of topics once they are known, and the error of those that have none.

        Others are waited for, but not for all of the time: something is to be asked in the rest.
        """
        look_until_ms = now.mono_ms + (deadline_ms - now.mono_ms) * 3 // 4

        def look(now: Now) -> None:
            for name in sorted(names):
                self._view.follow(name, now)
            ids = self._ids(name for name in names if self._knows(name, of))
            others = sorted(names - ids.keys())
            refusals = [one for name in others if (one := self._refusal(name, of)) is not None]
            waits = len(refusals) < len(others)
            if waits and now.mono_ms < look_until_ms:
                self._timers.after(now, LOOK_MS, look)
                return
            missing: OdradekError | None = None
            if refusals:
                missing = refusals[0]
            elif waits:
                text = f"no topic {', '.join(others)} was found in time"
                missing = error_for(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
            on_known(ids, missing, now)

        look(now)

    def _refusal(self, name: str, of: Mapping[str, TopicId]) -> OdradekError | None:
        """Return why no waiting will make this topic known: it is gone, or nobody may tell us."""
        topic = self._view.topics[name]
        if topic.former_id is not None and topic.former_id == of.get(name):
            text = f"topic {name!r} was deleted, and made anew"
            return error_for(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, text)
        failed = topic.asked and topic.error != ErrorCode.NONE
        if topic.removed or (failed and not meaning(topic.error).retriable):
            return topic_error(name, topic.error, topic.text)
        return None


def _fetched(
    body: Message, keys: list[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata] | OdradekError:
    """Return what an answer says of each of ``keys`` that has a commit."""
    if (
        not isinstance(body, OffsetFetchResponse)
        or body.error != ErrorCode.NONE
        or len(body.offsets) != len(keys)
    ):
        return failure_of(body)
    return {
        key: OffsetAndMetadata(one.offset, one.metadata, one.leader_epoch)
        for key, one in zip(keys, body.offsets, strict=True)
        if one.offset >= 0
    }


def commit_error(body: Message, keys: list[TopicPartition]) -> OdradekError | None:
    """Return the error of an answer that has an outcome for each of ``keys``, or None."""
    if (
        not isinstance(body, OffsetCommitResponse | OffsetDeleteResponse)
        or body.error != ErrorCode.NONE
        or len(body.outcomes) != len(keys)
    ):
        return failure_of(body)
    for key, outcome in zip(keys, body.outcomes, strict=True):
        if outcome.error != ErrorCode.NONE:
            text = f"{key}: {meaning(outcome.error).text}"
            return error_for(outcome.error, text)
    return None
