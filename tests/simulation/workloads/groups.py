"""A group of consumers that come, go, crash and are replaced, while everything else fails.

Each place in the group is filled by one member after another.  What members are given feeds the
checkers of readers too, a life for each time that a partition is taken over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from nodes.core.controller.names import CONSUMER_OFFSETS
from odradek.cluster.committing import NOBODY, OffsetAndMetadata, OnCommitted, Who
from odradek.consumer.engine import ConsumerEngine, Given
from odradek.consumer.fetching import ConsumerSettings
from odradek.consumer.membership import Assignment, GroupSettings
from odradek.consumer.rebalancing import Change, Rebalancing
from odradek.errors import OdradekError
from tests.simulation.checkers.commits_kept import check_commits
from tests.simulation.checkers.group_gap import check_no_gaps
from tests.simulation.checkers.group_history import GroupHistory
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.old_commits import check_refused
from tests.simulation.checkers.one_owner import note_told
from tests.simulation.workloads.producers import TOPIC
from tests.simulation.workloads.workload import Stage, Workload
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, Offset, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetToCommit,
)

POLL_MS = 150
PAUSE_US = 30_000
LIFE_US = (400_000, 3_000_000)
AUDIT_US = (200_000, 800_000)
LEAVES = 0.6
"""Of the lives that end; the others are ended by SIGKILL."""
SLACK_MS = 100
"""For clocks that drift, and a loop that has not had its turn yet."""
TIMEOUT_MS = 3_000

OnError = Callable[[int], None]
"""Told the error of one partition's commit, 0 for none."""


def read_on(engine: ConsumerEngine) -> None:
    """Go on from where it stands, as a program does that was told of damage: it may be mended."""
    for key, one in engine.subscription.assigned.items():
        if one.error is not None and one.position is not None:
            engine.seek(key, one.position)


class AnyMember(Protocol):
    """A process in a place of the group, whatever it speaks."""

    name: str

    def reads(self, key: TopicPartition) -> bool:
        """Tell whether it still may give records of a partition to its program."""
        ...

    def commit_as(self, who: Who, key: TopicPartition, on_error: OnError) -> None:
        """Commit the beginning of a partition as somebody else, once."""
        ...

    def kill(self) -> None:
        """End at once, whatever it is doing."""
        ...

    def leave(self) -> None:
        """End in order: what was given is committed."""
        ...


class Member:
    """One process in one place of the group."""

    def __init__(self, groups: Groups, name: str) -> None:
        self.groups = groups
        self.name = name
        self.group = groups.settings
        self.engine = ConsumerEngine(
            ConsumerSettings(
                bootstrap=tuple(groups.cluster.bootstrap),
                auto_offset_reset="earliest",
                auto_create=False,
                group=self.group,
            )
        )
        part = self.engine.rebalancing
        assert part is not None, "it has a group"
        self.part: Rebalancing = part
        part.has_listener = True
        self._watch(part)
        self._lives: dict[TopicPartition, int] = {}
        self._taken = 0
        self.process = groups.cluster.add_client(self.engine, name)
        self.process.do(self._subscribe)
        self.process.do(self._poll)

    def _subscribe(self, now: Now) -> None:
        self.engine.subscribe([TOPIC], now)

    def _watch(self, part: Any) -> None:
        """Note what the coordinator tells, and which commits it answers."""
        on_told, commit = part.on_told, part.commit

        def told(assignment: Assignment, now: Now) -> None:
            if self.who != NOBODY:  # who is about to leave takes nothing of it
                self.groups.on_told(self, self.who, assignment)
            on_told(assignment, now)

        def noted(
            offsets: dict[TopicPartition, OffsetAndMetadata],
            on_committed: OnCommitted,
            now: Now,
            timeout_ms: int = TIMEOUT_MS,
        ) -> None:
            def done(error: OdradekError | None, now: Now) -> None:
                if error is None:
                    for key, one in offsets.items():
                        self.groups.note_committed((key.topic, key.partition), one.offset)
                on_committed(error, now)

            commit(offsets, done, now, timeout_ms)

        part.on_told, part.commit = told, noted

    @property
    def who(self) -> Who:
        return self.part.who

    def reads(self, key: TopicPartition) -> bool:
        """Tell whether it still may give records of a partition to its program."""
        if not self.process.alive or key not in self.engine.subscription.assigned:
            return False
        membership: Any = self.engine._membership
        silent_ms = self.process.now().mono_ms - membership._heard_ms
        return bool(silent_ms < self.group.session_timeout_ms - SLACK_MS)

    def _poll(self, now: Now) -> None:
        self.engine.poll(self.groups.records_max, POLL_MS, self._given, now)

    def _given(self, given: Given | Change | OdradekError, now: Now) -> None:
        world = self.groups.world
        if isinstance(given, OdradekError):
            world.note(f"{self.name}: {given}")
            read_on(self.engine)
        elif isinstance(given, Change):
            for key in given.partitions:
                self._taken += 1
                self._lives[key] = self._taken
            self.engine.heard(given, now)
        else:
            for key, records in given.items():
                self._note(key, records)
        pause_us = PAUSE_US if isinstance(given, OdradekError) else 1_000
        world.after(pause_us, lambda: self.process.do(self._poll))

    def _note(self, key: TopicPartition, records: Any) -> None:
        groups = self.groups
        partition = (key.topic, key.partition)
        life = f"{self.name}.{self._lives.get(key, 0)}"
        groups.stage.history.note_poll(life, partition)
        for record in records:
            groups.stage.history.note_read(life, partition, record.offset, record.value)
            groups.history.given[partition][record.offset] = record.value

    def commit_as(self, who: Who, key: TopicPartition, on_error: OnError) -> None:
        """Commit the beginning of a partition as somebody else, once."""
        topic = self.engine.view.topics.get(key.topic)
        link = self.engine._link
        if topic is None or not topic.topic_id or link is None:
            return
        old = OffsetToCommit(topic.topic_id, key.partition, Offset(0), LeaderEpoch(-1), "old")
        request = OffsetCommitRequest(self.group.group_id, (old,), who.member_id, who.epoch)

        def answered(body: Message, _now: Now) -> None:
            if isinstance(body, OffsetCommitResponse) and body.error == ErrorCode.NONE:
                on_error(body.outcomes[0].error)

        self.process.do(lambda now: link.ask(request, answered, now, timeout_ms=TIMEOUT_MS))

    def kill(self) -> None:
        """End at once, whatever it is doing."""
        self.process.kill()

    def leave(self) -> None:
        """End in order: what was given is committed."""

        def depart(now: Now) -> None:
            self.engine.depart(self.part.positions(), lambda _now: self.process.kill(), now)

        self.process.do(depart)


class Groups(Workload):
    """The places of one group, and an auditor that reads what it has committed."""

    group_id = "pipeline"
    names = ""
    """What the names of its members begin with."""

    def __init__(self, stage: Stage, count: int) -> None:
        super().__init__(stage)
        random = self.world.random
        self.stage = stage
        survivors = stage.observer.brokers.survivors
        self.history = GroupHistory(survivors.is_excused)
        self._offsets_excused = survivors.is_excused
        self.settings = GroupSettings(
            group_id=self.group_id,
            protocol=random.choice(("consumer", "consumer", "consumer", "classic")),
            strategies=random.choice((("cooperative-sticky",), ("range",))),
            session_timeout_ms=random.choice((1_000, 2_000)),
            auto_commit_interval_ms=random.choice((100, 1_000)),
        )
        self.records_max = random.choice((3, 500))
        self._numbers = 0
        self._last: dict[TopicPartition, tuple[AnyMember, Who]] = {}
        self._places = [self._fill(place) for place in range(count)]
        for place in range(count):
            self._end_later(place)
        self._auditor = ConsumerEngine(
            ConsumerSettings(
                bootstrap=tuple(self.cluster.bootstrap), auto_create=False, group=self.settings
            )
        )
        self._auditing = self.cluster.add_client(self._auditor, "auditor")
        self._audit_later()

    # Lives

    def _fill(self, _place: int) -> AnyMember:
        self._numbers += 1
        return Member(self, f"{self.names}{self.settings.protocol}-member-{self._numbers}")

    def _end_later(self, place: int) -> None:
        def end() -> None:
            if not self.running:
                return
            member = self._places[place]
            if self.world.random.random() < LEAVES:
                member.leave()
            else:
                member.kill()
            self._places[place] = self._fill(place)
            self._end_later(place)

        self.world.after(self.world.between(LIFE_US), end)

    # What members note

    def on_told(self, member: AnyMember, who: Who, assignment: Iterable[TopicPartition]) -> None:
        """Judge an assignment, and let each former owner try to commit.

        A static member that is back is told under another id what it has owned before.
        """
        for key in assignment:
            former = self._last.get(key)
            changed = former is None or former[1].member_id != who.member_id
            reading = ""
            if former is not None and changed and former[0] is not member:
                reading = former[0].name if former[0].reads(key) else ""
            partition = (key.topic, key.partition)
            owner = who.instance_id or who.member_id
            note_told(self.history, partition, who.epoch, owner, reading)
            self._last[key] = (member, who)
            if former is not None and changed:
                self._commit_as(former[1], member, key)

    def _commit_as(self, who: Who, by: AnyMember, key: TopicPartition) -> None:
        """Commit as a former owner would whose words were long under way."""

        def answered(error: int) -> None:
            check_refused((key.topic, key.partition), who.member_id, error)

        self.world.after(1_000, by.commit_as, who, key, answered)

    def note_committed(self, partition: Partition, offset: int) -> None:
        """A commit was answered."""
        committed = self.history.committed
        committed[partition] = max(committed.get(partition, 0), offset)

    # Audits

    def _audit_later(self) -> None:
        def audit(now: Now) -> None:
            before = dict(self.history.committed)
            keys = [TopicPartition(*partition) for partition in before]

            def told(found: Any, _now: Now) -> None:
                if not isinstance(found, OdradekError):
                    self._judge(before, found)
                self._audit_later()

            if keys:
                self._auditor.committed(keys, TIMEOUT_MS, told, now)
            else:
                self._audit_later()

        self.world.after(self.world.between(AUDIT_US), self._auditing.do, audit)

    def _judge(self, before: dict[Partition, int], found: dict[TopicPartition, Any]) -> None:
        partitions = range(self.cluster.shape.broker.offsets_topic_partitions)
        if any(self._offsets_excused((CONSUMER_OFFSETS, number)) for number in partitions):
            return
        told = {(key.topic, key.partition): one.offset for key, one in found.items()}
        check_commits({p: o for p, o in before.items() if not self.history.is_excused(p)}, told)
        for partition, offset in told.items():
            self.note_committed(partition, offset)

    # Stages

    def unread(self) -> str:
        """Say what the group has not been given."""
        ends = self.stage.observer.brokers.committed_ends(TOPIC)
        behind = [
            str(partition)
            for partition, end in ends.items()
            if end > 0 and end - 1 > max(self.history.given[partition], default=-1)
        ]
        return f"the group has not read {', '.join(behind)}" if behind else ""

    def check(self) -> None:
        """Assert that nothing was passed over."""
        check_no_gaps(self.history, self.stage.history)
