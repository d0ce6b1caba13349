"""A consumer in Kafka's protocol that is a member of a group: its offsets, and what it owns.

How it becomes a member and what it is given is the membership's (``classic_member.py``,
``consumer_member.py``); here is what both kinds do with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from tests.simulation.foreign.connection import Tongue
from tests.simulation.foreign.coordinator import GROUP, Coordinator
from tests.simulation.foreign.reader import RETRIABLE, ForeignReader, OnRead, Place, Position
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
    OffsetFetchRequest,
    OffsetFetchRequestGroup,
    OffsetFetchRequestTopic,
)
from transport.kernel import Now
from transport.wire.errors import ErrorCode

PAUSE_MS = (50, 250)
COMMIT_MS = (300, 1_200)
"""Between two commits: what is late of the one before is so late no more."""
LOST = frozenset(
    {
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.ILLEGAL_GENERATION,
        ErrorCode.FENCED_MEMBER_EPOCH,
        ErrorCode.STALE_MEMBER_EPOCH,
    }
)
"""What a member is told that is none any more, or not of this generation."""
LATER = frozenset({*RETRIABLE, ErrorCode.REBALANCE_IN_PROGRESS, ErrorCode.UNSTABLE_OFFSET_COMMIT})


class GroupTerms(NamedTuple):
    """How a member takes part."""

    group_id: str
    strategy: str
    """Of the classic protocol."""
    session_timeout_ms: int
    rebalance_timeout_ms: int = 3_000
    instance_id: str | None = None
    commits: bool = True
    """By itself, now and then."""


class Identity(NamedTuple):
    """As whom a member commits."""

    member_id: str
    epoch: int
    """Or generation."""
    instance_id: str | None = None


class Membership(Protocol):
    """How it is a member; called in its turns."""

    who: Identity
    heard_ms: int
    """When what was asked that was answered last, and well."""

    def pump(self, now: Now) -> None:
        """Ask what is due."""
        ...

    def leave(self, then: Callable[[Now], None], now: Now) -> None:
        """Go, or stop for now; ``then`` once that is answered, or is not."""
        ...


class GroupReader(ForeignReader):
    """Reads what it owns, from where the group has committed."""

    membership: Membership

    def __init__(
        self,
        topic: str,
        partitions: Sequence[int],
        bootstrap: Sequence[str],
        tongue: Tongue,
        terms: GroupTerms,
        on_read: OnRead,
        on_owned: Callable[[frozenset[int]], None],
        *,
        committed_only: bool = False,
        rack: str = "",
    ) -> None:
        super().__init__(
            topic,
            (),
            bootstrap,
            tongue,
            on_read,
            _disregard,
            committed_only=committed_only,
            rack=rack,
        )
        self.terms = terms
        self.all_partitions = partitions
        self.coordinator = Coordinator(self, GROUP, terms.group_id)
        self.owned: frozenset[int] = frozenset()
        self.holds = False
        """Fetches nothing for the time being."""
        self.ends = False
        self.on_committed: Callable[[int, int], None] = lambda _partition, _offset: None
        """(partition, offset) of a commit that was answered."""
        self.on_let_go: Callable[[int], None] = lambda _partition: None
        """A partition is its own no more; if it gets it again, it begins where the group is."""
        self._on_owned = on_owned
        """Told all that it owns, whenever it is given something; also the same again."""
        self._resuming: set[int] = set()
        """What it owns and has no place in yet."""
        self._asked_offsets = False
        self._committed: dict[int, int] = {}
        self._committing = False
        self._commit_at_ms = 0
        self._offsets_at_ms = 0

    def pump(self, now: Now) -> None:
        """Be a member, resume, commit, read."""
        if self.ends:
            return
        self.membership.pump(now)
        if self._resuming and not self._asked_offsets and now.mono_ms >= self._offsets_at_ms:
            self._ask_offsets(now)
        if self.terms.commits and now.mono_ms >= self._commit_at_ms:
            self._commit_at_ms = self.later(COMMIT_MS, now)
            self.commit(now)
        if not self.holds:
            super().pump(now)

    # What memberships say

    def own(self, partitions: Iterable[int], now: Now) -> None:
        """These are its own from now on; what is missing is let go, committed once more."""
        partitions = frozenset(partitions)
        if not self.owned <= partitions:
            if self.terms.commits:
                self.commit(now)
            for number in self.owned - partitions:
                self._let_go(number)
                self.on_let_go(number)
        self._resuming |= partitions - self.owned
        self.owned = partitions

    def tell(self) -> None:
        """Somebody has said what it owns."""
        self._on_owned(self.owned)

    def lose(self) -> None:
        """It is no member any more: what it owned may be another one's."""
        for number in self.owned:
            self._let_go(number)
            self.on_let_go(number)
        self.owned = frozenset()

    def fenced(self) -> None:
        """Another process has its place."""
        self.lose()
        self.ends = True

    def reads(self, partition: int, slack_ms: int) -> bool:
        """Tell whether it still may give records of a partition to its program."""
        silent_ms = self.process.now().mono_ms - self.membership.heard_ms
        alive = self.process.alive and silent_ms < self.terms.session_timeout_ms - slack_ms
        return alive and partition in self.owned

    def _let_go(self, number: int) -> None:
        self.places.pop(number, None)
        self._resuming.discard(number)
        self._committed.pop(number, None)

    # Where it begins

    def rewind(self) -> None:
        """Go on where the group has committed."""
        for number in self.owned:
            self._let_go(number)
        self._resuming = set(self.owned)

    def _ask_offsets(self, now: Now) -> None:
        self._asked_offsets = True
        asked = frozenset(self._resuming)
        topics = (OffsetFetchRequestTopic(name=self.topic, partition_indexes=tuple(sorted(asked))),)
        group_id = self.terms.group_id
        body = OffsetFetchRequest(
            group_id=group_id,
            topics=topics,
            groups=(OffsetFetchRequestGroup(group_id=group_id, topics=topics),),
            require_stable=True,
        )
        then = partial(self._resume, self.membership.who)
        self.coordinator.ask(ApiKey.OFFSET_FETCH, body, then, now)

    def _resume(self, who: Identity, response: Any, now: Now) -> None:
        self._asked_offsets = False
        told = response.groups[0] if response is not None and response.groups else response
        if told is None or told.error_code or who.member_id != self.membership.who.member_id:
            if told is not None and told.error_code:
                error = told.error_code
                known = self.coordinator.is_not_yet(error) or error in LATER
                assert known, f"OffsetFetch was answered {error}"
            self._offsets_at_ms = self.later(PAUSE_MS, now)
            return
        [topic] = told.topics
        for one in topic.partitions:
            number = one.partition_index
            if one.error_code or number not in self._resuming:
                assert one.error_code in (0, *LATER), f"OffsetFetch told {one.error_code}"
                self._offsets_at_ms = self.later(PAUSE_MS, now)
                continue
            self._resuming.discard(number)
            position = Position(one.committed_offset) if one.committed_offset >= 0 else None
            self.places[number] = Place(number, position)

    # Commits

    def positions(self) -> dict[int, int]:
        """Return where it stands, of what it has read of."""
        return {
            number: place.position.offset
            for number, place in self.places.items()
            if place.position is not None
        }

    def commit(self, now: Now) -> None:
        """Commit where it stands; one commit after the other."""
        new = {
            number: offset
            for number, offset in self.positions().items()
            if offset > self._committed.get(number, 0)
        }
        if new and not self._committing and self.membership.who.member_id:
            self._committing = True
            then = partial(self._was_committed, new)
            self.commit_as(self.membership.who, new, then, now)

    def commit_as(
        self,
        who: Identity,
        offsets: dict[int, int],
        then: Callable[[dict[int, int] | None, Now], None],
        now: Now,
    ) -> None:
        """Commit as somebody; ``then`` gets the error of each partition, or None: no answer."""
        partitions = tuple(
            OffsetCommitRequestPartition(
                partition_index=number, committed_offset=offset, committed_metadata=""
            )
            for number, offset in offsets.items()
        )
        body = OffsetCommitRequest(
            group_id=self.terms.group_id,
            generation_id_or_member_epoch=who.epoch,
            member_id=who.member_id,
            group_instance_id=who.instance_id,
            topics=(OffsetCommitRequestTopic(name=self.topic, partitions=partitions),),
        )

        def answered(response: Any, now: Now) -> None:
            if response is None:
                then(None, now)
                return
            [topic] = response.topics
            then({one.partition_index: one.error_code for one in topic.partitions}, now)

        self.coordinator.ask(ApiKey.OFFSET_COMMIT, body, answered, now)

    def _was_committed(
        self, asked: dict[int, int], errors: dict[int, int] | None, _now: Now
    ) -> None:
        self._committing = False
        if errors is None:
            return
        for number, error in errors.items():
            if error == ErrorCode.NONE:
                self.on_committed(number, asked[number])
                if number in self.places:
                    self._committed[number] = asked[number]
            elif not self.coordinator.is_not_yet(error):
                known = {*LATER, *LOST, ErrorCode.FENCED_INSTANCE_ID}
                assert error in known, f"OffsetCommit was answered {error}"

    # The end

    def leave(self, then: Callable[[Now], None], now: Now) -> None:
        """Commit, and go."""
        self.own((), now)
        self.ends = True
        self.membership.leave(then, now)


def _disregard(_partition: int, _epoch: int, _watermark: int) -> None:
    """What members are told of high watermarks is what readers are told."""
