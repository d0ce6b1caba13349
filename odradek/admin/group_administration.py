"""The blocking side of group administration: part of :class:`odradek.AdminClient`.

Puts the answers of coordinators and leaders together, by the names that people use.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, cast

from odradek.admin.groups import (
    GroupAdmin,
    GroupDescription,
    GroupListing,
    OffsetReset,
    description_of,
    told,
)
from odradek.arguments import OFFSETS, TIMESTAMPS_MS, partitions_of, texts_of, topic_names
from odradek.cluster.committing import (
    NOBODY,
    Committable,
    OffsetAndMetadata,
    commit_error,
    offsets_to_commit,
)
from odradek.cluster.offsets import Found
from odradek.errors import ClientError, GroupIdNotFoundError, NonEmptyGroupError, OdradekError
from odradek.settings import check_number, check_text
from transport.kernel import Now
from transport.wire.ids import LeaderEpoch, Offset, TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST
from transport.wire.messages.group_offsets import (
    CommittedOffset,
    GroupPartition,
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetDeleteResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetToCommit,
)
from transport.wire.messages.groups import (
    DeleteGroupRequest,
    DescribeGroupRequest,
    DescribeGroupResponse,
)
from transport.wire.messages.metadata import MetadataResponse

T = TypeVar("T")
TO_TIME = "timestamp:"
BY_SHIFT = "shift:"
Wait = Callable[[Callable[[Callable[[Any, Now], None], Now], None]], Any]
"""Runs ``ask(done, now)`` on the loop and waits for what ``done`` is given."""


class GroupAdministration:
    """What an admin client can do about groups. Names as kafka-python's."""

    def __init__(self, groups: GroupAdmin, wait: Wait, timeout_ms: int) -> None:
        self._groups = groups
        self._wait_for = wait
        self._group_timeout_ms = timeout_ms

    def list_consumer_groups(self) -> list[GroupListing]:
        """Return all groups, sorted by id."""
        listed = self._wait_for(
            lambda done, now: self._groups.list_all(self._group_timeout_ms, done, now)
        )
        return cast("list[GroupListing]", listed)

    def describe_consumer_groups(self, group_ids: Iterable[str]) -> list[GroupDescription]:
        """Describe groups: members, who may read what, and the last rebalances.

        Raises :class:`GroupIdNotFoundError` for the first that does not exist.
        """
        wanted = texts_of("group_ids", group_ids)
        names = {topic.topic_id: topic.name for topic in self._topics().topics}
        found = []
        for group_id in wanted:
            body = self._ask(group_id, DescribeGroupRequest(group_id))
            assert isinstance(body, DescribeGroupResponse), "no error"
            found.append(description_of(body, names))
        return found

    def delete_consumer_groups(
        self, group_ids: Iterable[str], on_deleted: Callable[[str], object] | None = None
    ) -> None:
        """Delete groups and their offsets; :class:`NonEmptyGroupError` for one with members.

        The others are deleted all the same, unless nobody answers; raises the first error.
        ``on_deleted(group_id)`` hears of each that is deleted.
        """
        errors: list[OdradekError] = []
        for group_id in texts_of("group_ids", group_ids):
            try:
                self._ask(group_id, DeleteGroupRequest(group_id))
            except ClientError as error:  # no node has said so: the next one would wait as long
                errors.append(error)
                break
            except OdradekError as error:
                errors.append(error)
            else:
                if on_deleted is not None:
                    on_deleted(group_id)
        if errors:
            raise errors[0]

    def list_consumer_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what a group has committed; partitions without a commit are left out."""
        check_text("group_id", group_id)
        wanted = None if partitions is None else partitions_of(partitions)
        topics = self._topics().topics
        names = {topic.topic_id: topic.name for topic in topics}
        asked = None
        if wanted is not None:
            asked = self._keys(wanted, {topic.name: topic.topic_id for topic in topics})
        return {
            TopicPartition(names[one.topic_id], one.partition): OffsetAndMetadata(
                one.offset, one.metadata, one.leader_epoch
            )
            for one in self._committed(group_id, asked)
            if one.offset >= 0 and one.topic_id in names
        }

    def _committed(
        self, group_id: str, asked: tuple[GroupPartition, ...] | None
    ) -> Iterator[CommittedOffset]:
        """Yield what is committed, for these or (None) for all, of which a coordinator tells page by page."""
        request: OffsetFetchRequest | None = OffsetFetchRequest(group_id, asked)
        while request is not None:
            body = self._ask(group_id, request)
            assert isinstance(body, OffsetFetchResponse), "no error"
            yield from body.offsets
            behind = body.goes_on_after
            request = None if behind is None else OffsetFetchRequest(group_id, after=behind)

    def alter_consumer_group_offsets(self, group_id: str, offsets: Committable) -> None:
        """Set where a group without members goes on; :class:`NonEmptyGroupError` for another."""
        check_text("group_id", group_id)
        given = offsets_to_commit(offsets)
        ids = {topic.name: topic.topic_id for topic in self._topics().topics}
        keys = self._keys(given, ids)
        parts = tuple(
            OffsetToCommit(
                key.topic_id,
                key.partition,
                Offset(one.offset),
                LeaderEpoch(one.leader_epoch),
                one.metadata,
            )
            for key, one in zip(keys, given.values(), strict=True)
        )
        self._refuse_members(group_id)
        body = self._send(group_id, OffsetCommitRequest(group_id, parts, *NOBODY))
        error = commit_error(body, list(given))
        if error is not None:
            raise error

    def delete_consumer_group_offsets(
        self, group_id: str, partitions: Iterable[TopicPartition]
    ) -> None:
        """Forget what a group has committed for partitions that none of its members reads."""
        check_text("group_id", group_id)
        wanted = partitions_of(partitions)
        ids = {topic.name: topic.topic_id for topic in self._topics().topics}
        request = OffsetDeleteRequest(group_id, self._keys(wanted, ids))
        body = self._ask(group_id, request)
        assert isinstance(body, OffsetDeleteResponse), "no error"
        error = commit_error(body, wanted)
        if error is not None:
            raise error

    def reset_consumer_group_offsets(
        self,
        group_id: str,
        topics: Iterable[str] | None = None,
        *,
        to: str | int = "earliest",
        partitions: Iterable[TopicPartition] | None = None,
        dry_run: bool = False,
    ) -> list[OffsetReset]:
        """Let a group without members go on elsewhere; returns what has (or would have) changed.

        ``to``: ``earliest``, ``latest``, ``timestamp:`` and milliseconds since the Unix epoch,
        ``shift:`` and a number of offsets, or an offset (brought within the log).  Of these topics
        or partitions; without either, of all that the group has committed for.
        """
        names = None if topics is None else topic_names(topics)
        keys = None if partitions is None else partitions_of(partitions)
        check_goal(to)
        committed = self.list_consumer_group_offsets(group_id)
        wanted = self._partitions(names, keys, committed)
        resets = self._resets(wanted, committed, to)
        if not dry_run:
            self.alter_consumer_group_offsets(
                group_id, {one.partition: one.after for one in resets}
            )
        return resets

    def consumer_group_lag(
        self, group_id: str
    ) -> dict[TopicPartition, tuple[OffsetAndMetadata, int]]:
        """Return each commit with the end of its partition: the difference is the lag."""
        committed = self.list_consumer_group_offsets(group_id)
        ends = self._find(dict.fromkeys(committed, TIMESTAMP_LATEST))
        return {key: (one, ends[key]) for key, one in sorted(committed.items())}

    # Inside

    def _partitions(
        self,
        topics: list[str] | None,
        partitions: list[TopicPartition] | None,
        committed: Mapping[TopicPartition, object],
    ) -> list[TopicPartition]:
        wanted = list(partitions or ())
        known = {topic.name: topic for topic in self._topics().topics}
        for name in (*(topics or ()), *(key.topic for key in wanted)):
            if name not in known:
                raise ValueError(f"there is no topic {name!r}")
        for name, number in wanted:
            count = len(known[name].partitions)
            if number >= count:
                raise ValueError(f"topic {name!r} has partitions 0 to {count - 1}, not {number}")
        for name in topics or ():
            wanted += [TopicPartition(name, part.partition) for part in known[name].partitions]
        if topics is None and partitions is None:
            wanted = list(committed)
            if not wanted:
                raise ValueError("the group has committed nothing; name topics or partitions")
        return sorted(set(wanted))

    def _resets(
        self,
        wanted: list[TopicPartition],
        committed: Mapping[TopicPartition, OffsetAndMetadata],
        to: str | int,
    ) -> list[OffsetReset]:
        first = self._find(dict.fromkeys(wanted, TIMESTAMP_EARLIEST))
        end = self._find(dict.fromkeys(wanted, TIMESTAMP_LATEST))
        goal: dict[TopicPartition, int] = {}
        if to == "earliest":
            goal = first
        elif to == "latest":
            goal = end
        elif isinstance(to, int):
            goal = dict.fromkeys(wanted, to)
        elif to.startswith(TO_TIME):
            found = self._find(dict.fromkeys(wanted, int(to.removeprefix(TO_TIME))))
            goal = {key: offset if offset >= 0 else end[key] for key, offset in found.items()}
        else:
            by = int(to.removeprefix(BY_SHIFT))
            missing = [key for key in wanted if key not in committed]
            if missing:
                raise ValueError(f"nothing is committed for {missing[0]}, to be shifted")
            goal = {key: committed[key].offset + by for key in wanted}
        return [
            OffsetReset(
                key,
                committed[key].offset if key in committed else None,
                min(max(goal[key], first[key]), end[key]),
            )
            for key in wanted
        ]

    def _find(self, wanted: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        if not wanted:
            return {}
        found: Found = self._wait_for(
            lambda done, now: self._groups.find_offsets(wanted, self._group_timeout_ms, done, now)
        )
        return {key: int(one.offset) for key, one in found.items()}

    def _topics(self) -> MetadataResponse:
        found = self._wait_for(
            lambda done, now: self._groups.topics(self._group_timeout_ms, done, now)
        )
        return cast("MetadataResponse", found)

    @staticmethod
    def _keys(
        partitions: Iterable[TopicPartition], ids: Mapping[str, TopicId]
    ) -> tuple[GroupPartition, ...]:
        keys = partitions_of(partitions)
        unknown = [key.topic for key in keys if key.topic not in ids]
        if unknown:
            raise ValueError(f"there is no topic {unknown[0]!r}")
        return tuple(GroupPartition(ids[key.topic], key.partition) for key in keys)

    def _refuse_members(self, group_id: str) -> None:
        try:
            (group,) = self.describe_consumer_groups([group_id])
        except GroupIdNotFoundError:
            return
        if group.members:
            raise NonEmptyGroupError(
                f"group {group_id!r} has {len(group.members)} members, which would commit over "
                "what is set; stop them first"
            )

    def _ask(self, group_id: str, body: Message) -> Message:
        answer = self._send(group_id, body)
        error = told(answer, f"group {group_id!r}")
        if error is not None:
            raise error
        return answer

    def _send(self, group_id: str, body: Message) -> Message:
        check_text("group_id", group_id)
        answer = self._wait_for(
            lambda done, now: self._groups.ask(group_id, body, self._group_timeout_ms, done, now)
        )
        return cast("Message", answer)


def check_goal(to: object) -> None:
    """Raise ValueError or TypeError for where no group can be told to go on."""
    if isinstance(to, str):
        number = to.removeprefix(TO_TIME) if to.startswith(TO_TIME) else to.removeprefix(BY_SHIFT)
        if to in ("earliest", "latest"):
            return
        if number == to or not re.fullmatch(r"[+-]?[0-9]{1,18}", number):
            raise ValueError(
                f"to={to!r} is not possible; give earliest, latest, an offset, or timestamp: or "
                "shift: and a number of at most 18 digits"
            )
        if to.startswith(TO_TIME):
            check_number("to: the timestamp", int(number), TIMESTAMPS_MS)
    else:
        check_number("to", to, OFFSETS)


__all__ = ["GroupAdministration", "OdradekError"]
