"""A consumer's part in its group: what it gives up, takes over, commits, and tells its listener.

Partitions are given up only while the program is inside a poll: what earlier polls have given is
dealt with by then, so it can be committed before somebody else reads on.  The order is: nothing
more is given of those partitions; their positions are committed (with auto commit); the listener is
called; they are dropped; the coordinator hears that they are free.  What is taken over begins at the
commit, fetched when the coordinator says that the former owner has let go.

Must not know how members and coordinators agree (``membership``), nor how records are fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from odradek.cluster.committing import NOBODY, GroupOffsets, OffsetAndMetadata, OnCommitted, Who
from odradek.consumer.membership import Assignment, GroupSettings, Membership
from odradek.consumer.subscription import Assigned, Subscription
from odradek.errors import OdradekError
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.ids import TopicId, TopicPartition

COMMIT_TIMEOUT_MS = 5_000
"""For positions to be committed before their partitions are given up."""
FETCH_TIMEOUT_MS = 30_000
AGAIN_MS = 100

REVOKED = "revoked"
ASSIGNED = "assigned"
LOST = "lost"


class Change(NamedTuple):
    """What a listener is told. ``kind``: ``revoked``, ``assigned`` or ``lost``."""

    kind: str
    partitions: tuple[TopicPartition, ...]


Begin = Callable[[Assigned, bool, Now], None]
"""Begins to read a partition without a commit; True: it was born after the group began."""


class Rebalancing:
    """Stands between a membership and a subscription."""

    def __init__(
        self,
        settings: GroupSettings,
        subscription: Subscription,
        offsets: GroupOffsets,
        timers: Timers,
        begin: Begin,
    ) -> None:
        self._settings = settings
        self._subscription = subscription
        self._offsets = offsets
        self._timers = timers
        self._begin = begin
        self.membership: Membership | None = None
        """Set by whoever makes both."""
        self.has_listener = False
        self.changes: deque[Change] = deque()
        """For the listener, in order; the next one waits until ``told`` says that it has heard."""
        self._left: list[Callable[[Now], None]] = []
        """Told when the group has been left."""
        self.error: OdradekError | None = None
        self._topics: tuple[str, ...] = ()
        self._reading = False
        """Topics are read as a member, though none may match their pattern at present."""
        self._leaving = False
        """What was read is being committed, then the group is left; who reads on joins after that."""
        self._is_committed = False
        """What was read is committed, and the listener hears that it is given up: a departure follows."""
        self._told: Assignment = {}
        self._taking: set[TopicPartition] = set()
        """Their commits are being fetched."""
        self._giving_up: tuple[TopicPartition, ...] = ()
        self._generation = 0
        """Grows when everything under way becomes void."""
        self._polled_ms = 0
        self._in_poll = False
        self._commit_due_ms = 0
        self._away = False
        """Not a member for want of polls."""

    @property
    def who(self) -> Who:
        """As whom to commit now."""
        return NOBODY if self.membership is None or not self._reading else self.membership.who

    @property
    def taking_part(self) -> bool:
        """Tell whether topics are read as a member."""
        return self._reading

    # Orders

    def read(self, topics: Iterable[str], now: Now) -> None:
        """Read these topics as a member."""
        assert self.membership is not None, "made with one"
        if not self._reading:
            self._polled_ms = now.mono_ms
            self._commit_due_ms = now.mono_ms + self._settings.auto_commit_interval_ms
        self._topics, self._reading = tuple(topics), True
        self.error = None
        if not self._away and not self._leaving:
            self.membership.read(self._topics, now)

    def entered(self, now: Now) -> None:
        """The program polls: what earlier polls have given is dealt with."""
        self._polled_ms = now.mono_ms
        self._is_committed = False
        if self._away and self._reading:
            self._away = False
            assert self.membership is not None, "made with one"
            if not self._leaving:
                self.membership.read(self._topics, now)
        if self._settings.auto_commit and now.mono_ms >= self._commit_due_ms:
            self._commit_due_ms = now.mono_ms + self._settings.auto_commit_interval_ms
            self.commit(self.positions(), _whatever, now)

    def commit(
        self,
        offsets: dict[TopicPartition, OffsetAndMetadata],
        on_committed: OnCommitted,
        now: Now,
        timeout_ms: int = COMMIT_TIMEOUT_MS,
    ) -> None:
        """Commit as this member, or from outside when partitions were assigned by hand."""
        of = self._topics_of(offsets)
        self._offsets.commit(offsets, self.who, on_committed, now, timeout_ms=timeout_ms, of=of)

    def _topics_of(self, keys: Iterable[TopicPartition]) -> dict[str, TopicId]:
        """Return what topics are read under these names: one made anew is another one."""
        read = (self._subscription.assigned.get(key) for key in keys)
        return {one.key.topic: one.topic_id for one in read if one and one.topic_id}

    def positions(
        self, keys: Iterable[TopicPartition] | None = None
    ) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return where reading stands, of these partitions or of all; to be committed."""
        assigned = self._subscription.assigned
        found: dict[TopicPartition, OffsetAndMetadata] = {}
        for key in assigned if keys is None else keys:
            one = assigned.get(key)
            if one is not None and one.position is not None:
                found[key] = OffsetAndMetadata(one.position, "", one.taken_epoch)
        return found

    def farewell(
        self,
        positions: dict[TopicPartition, OffsetAndMetadata],
        on_told: Callable[[tuple[Change, ...], Now], None],
        now: Now,
    ) -> None:
        """Commit (with auto commit), then tell what the listener has to hear before ``depart``.

        That is the losses that it has not heard of, and that the rest of what it has is revoked:
        not what it was never told of.  ``on_told`` is called once, in bounded time.
        """

        def committed(_error: OdradekError | None, now: Now) -> None:
            self._is_committed = self._is_member
            losses = tuple(one for one in self.changes if one.kind == LOST)
            unheard = {
                key for one in self.changes if one.kind == ASSIGNED for key in one.partitions
            }
            assigned = self._subscription.assigned if self._is_member else ()
            rest = tuple(key for key in assigned if key not in unheard)
            on_told((*losses, *([Change(REVOKED, rest)] if rest else ())), now)

        if self._is_member and self._settings.auto_commit and positions:
            self.commit(positions, committed, now)
        else:
            committed(None, now)

    def depart(
        self,
        positions: dict[TopicPartition, OffsetAndMetadata],
        on_done: Callable[[Now], None],
        now: Now,
        kept: Collection[TopicPartition] = (),
    ) -> None:
        """Commit (with auto commit) and leave; ``on_done`` is called once, in bounded time.

        Nothing is read any more but what is ``kept``: that is read on by hand.
        """
        who, of, leaves = self.who, self._topics_of(positions), self._is_member
        if self._is_committed:  # the listener may have committed otherwise since
            self._is_committed, positions = False, {}
        self._reading = self._away = False
        self._topics = ()
        self._drop_all(kept)
        self._leaving = self._leaving or leaves

        def committed(_error: OdradekError | None, now: Now) -> None:
            if not self._leaving:
                on_done(now)
                return
            self._left.append(on_done)
            if leaves:
                assert self.membership is not None, "it was read with"
                self.membership.leave(self._on_left, now)

        if self._settings.auto_commit and positions:
            self._offsets.commit(
                positions, who, committed, now, timeout_ms=COMMIT_TIMEOUT_MS, of=of
            )
        else:
            committed(None, now)

    def _on_left(self, now: Now) -> None:
        self._leaving = False
        if self._reading and self.membership is not None:
            self.membership.read(self._topics, now)
        told, self._left = self._left, []
        for on_done in told:
            on_done(now)

    def told(self, change: Change, now: Now) -> None:
        """The listener has heard of this change; nothing is to be done if that is void by now."""
        if not self.changes or self.changes[0] is not change:
            return
        self.changes.popleft()
        if change.kind == REVOKED:
            self._drop(now)
        elif change.kind == ASSIGNED:
            for key in change.partitions:
                one = self._subscription.assigned.get(key)
                if one is not None:
                    one.held = False

    # What the membership tells

    def on_told(self, assignment: Assignment, now: Now) -> None:
        """As GroupPart."""
        if self._is_member:
            self._told = assignment
            self._take_over(now)

    def on_lost(self, now: Now) -> None:
        """As GroupPart."""
        if not self._is_member:
            return
        lost = tuple(self._subscription.assigned)
        self._drop_all()
        if lost and self.has_listener:
            self.changes.append(Change(LOST, lost))

    def on_failed(self, error: OdradekError) -> None:
        """As GroupPart."""
        if self._is_member:
            self.error = error

    @property
    def _is_member(self) -> bool:
        """What is assigned is the group's: not what is read by hand while the group is left."""
        return self._reading and not self._leaving

    def _drop_all(self, kept: Collection[TopicPartition] = ()) -> None:
        self._generation += 1
        self._told = {}
        self._taking.clear()
        self._giving_up = ()
        self.changes.clear()
        assigned = self._subscription.assigned
        self._subscription.assign([key for key in assigned if key in kept])
        for one in assigned.values():
            one.held = False

    # Turns

    def end_turn(self, *, in_poll: bool, now: Now) -> None:
        """Give up what is to be given up, if the program is in a poll; leave if it never is."""
        if not self._is_member or self.membership is None:
            return
        if in_poll:
            self._polled_ms = now.mono_ms
            if not self._giving_up:
                self._give_up(now)
        elif not self._away and now.mono_ms >= self._poll_due_ms():
            self._away = True
            self.on_lost(now)
            self.membership.leave(_nothing, now)

    def _poll_due_ms(self) -> int:
        return self._polled_ms + self._settings.max_poll_interval_ms

    def next_deadline_ms(self) -> int | None:
        """Return when the program has not polled for too long."""
        return self._poll_due_ms() if self._is_member and not self._away else None

    # Giving up

    def _give_up(self, now: Now) -> None:
        assigned = self._subscription.assigned
        going = tuple(key for key in assigned if key not in self._told)
        if not going:
            return
        self._giving_up = going
        for key in going:
            assigned[key].held = True
        generation = self._generation

        def committed(_error: OdradekError | None, now: Now) -> None:
            if generation != self._generation:
                return
            if self.has_listener:
                self.changes.append(Change(REVOKED, going))
            else:
                self._drop(now)

        if self._settings.auto_commit:
            self.commit(self.positions(going), committed, now)
        else:
            committed(None, now)

    def _drop(self, now: Now) -> None:
        assert self.membership is not None, "made with one"
        for key in self._giving_up:
            if key in self._subscription.assigned:
                self._subscription.drop(key)
        self._giving_up = ()
        self.membership.own(self._owned(), now)
        self._take_over(now)

    def _owned(self) -> set[TopicPartition]:
        return set(self._subscription.assigned) | self._taking

    # Taking over

    def _take_over(self, now: Now) -> None:
        assert self.membership is not None, "made with one"
        fresh = [key for key in self._told if key not in self._owned()]
        self._taking.update(fresh)
        self.membership.own(self._owned(), now)
        for keys in self._offsets.apart(fresh, self._topics_told(fresh)):
            self._fetch(keys, now)

    def _topics_told(self, keys: Iterable[TopicPartition]) -> dict[str, TopicId]:
        """Return of what topics the group has given these partitions, where it says so."""
        return {key.topic: told.topic_id for key in keys if (told := self._told[key]).topic_id}

    def _fetch(self, keys: list[TopicPartition], now: Now) -> None:
        generation = self._generation

        def fetched(
            found: dict[TopicPartition, OffsetAndMetadata] | OdradekError, now: Now
        ) -> None:
            if generation != self._generation:
                return
            if isinstance(found, OdradekError):
                if found.retriable or found.refresh_metadata:
                    self._timers.after(now, AGAIN_MS, again)
                else:
                    self.error = found
                return
            self._taking.difference_update(keys)
            self._take(keys, found, now)

        def again(now: Now) -> None:
            if generation == self._generation:
                self._fetch_again(keys, now)

        of = self._topics_told(keys)
        self._offsets.fetch(keys, fetched, now, timeout_ms=FETCH_TIMEOUT_MS, of=of)

    def _fetch_again(self, keys: list[TopicPartition], now: Now) -> None:
        assert self.membership is not None, "made with one"
        still = [key for key in keys if key in self._told]
        if len(still) < len(keys):  # taken back before it was begun
            self._taking.difference_update(set(keys).difference(still))
            self.membership.own(self._owned(), now)
        if still:
            self._fetch(still, now)

    def _take(
        self,
        keys: list[TopicPartition],
        found: dict[TopicPartition, OffsetAndMetadata],
        now: Now,
    ) -> None:
        taken = []
        for key in keys:
            told = self._told.get(key)
            if told is None:
                continue  # Given and taken back before it was begun.
            one = self._subscription.add(key)
            one.topic_id = told.topic_id or None
            taken.append(key)
            one.held = self.has_listener
            commit = found.get(key)
            if commit is None:
                self._begin(one, told.born, now)
            else:
                one.resume(commit.offset, commit.leader_epoch)
        if taken and self.has_listener:
            self.changes.append(Change(ASSIGNED, tuple(taken)))
        assert self.membership is not None, "made with one"
        self.membership.own(self._owned(), now)


def _whatever(_error: OdradekError | None, _now: Now) -> None:
    """An auto commit that fails is made good by the next one, or by reading again."""


def _nothing(_now: Now) -> None:
    """Nobody waits for it."""
