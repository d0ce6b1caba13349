"""The door of the group core: one shard, stepped by its host.

States and invariants are in the package's docstring; the contract is ``nodes/core/shard.py``'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nodes.core.group import classic, offsets, reconciliation, transactional
from nodes.core.group.description import describe, listed
from nodes.core.group.records import Kind
from nodes.core.group.state import CONSUMER, Catalogue, Group, Groups, GroupSettings
from nodes.core.group.step import Facts, Soft, Step
from nodes.core.shard import Asked, ShardEffects, ShardEvent, ShardRecord, Told
from transport.kernel import Now, earliest
from transport.wire.assignors import DEFAULT_ASSIGNOR
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MemberId, PartitionKey
from transport.wire.messages.group_offsets import (
    OffsetCommitRequest,
    OffsetDeleteRequest,
    OffsetFetchRequest,
    TxnOffsetCommitRequest,
)
from transport.wire.messages.groups import (
    ClassicHeartbeatRequest,
    ConsumerGroupHeartbeatRequest,
    DeleteGroupRequest,
    DeleteGroupResponse,
    DescribeGroupRequest,
    JoinGroupRequest,
    LeaveGroupRequest,
    ListedGroup,
    ListGroupsRequest,
    ListGroupsResponse,
    SyncGroupRequest,
)
from transport.wire.messages.transactions import WriteTxnMarkersRequest

RETENTION_INTERVAL_MS = 60_000
"""Between two looks for offsets that are old enough to be forgotten."""
FORGOTTEN_AT_ONCE = 500
"""Offsets: a few milliseconds of work for whoever waits behind it."""

_Forget = Callable[[Step, Group, int], bool]


class GroupCore:
    """The groups of one partition of ``__consumer_offsets``."""

    def __init__(self, settings: GroupSettings, new_id: Callable[[], str]) -> None:
        self._groups = Groups()
        self._facts = Facts(settings, new_id)
        self._look_ms: int | None = None
        self._to_forget: dict[tuple[_Forget, str], None] = {}
        """In which groups offsets may have to be forgotten, and why."""

    def apply(self, record: ShardRecord) -> None:
        """Take over one record of the log."""
        self._groups.prune(self._groups.apply(record))

    def loaded(self, now: Now) -> None:
        """Give every member its whole session timeout from now on."""
        self._look_ms = now.mono_ms + RETENTION_INTERVAL_MS
        step = Step(self._groups, self._facts, now)
        for group in self._groups.by_id.values():
            soft = self._facts.of(group.group_id)
            for member_id in group.members:
                soft[member_id] = Soft(now.mono_ms)
                if group.revoking(member_id):
                    soft[member_id].letting_go_ms = now.mono_ms
                reconciliation.watch(step, group, member_id)
            classic.resume(step, group)

    def step(self, event: ShardEvent, now: Now) -> ShardEffects:
        """Decide on a request, a new catalogue, or what is due."""
        step = Step(self._groups, self._facts, now)
        if isinstance(event, Asked):
            _STEPS[type(event.body)](step, event.token, event.body)
            self._prune(getattr(event.body, "group_id", ""))
        elif isinstance(event, Told):
            assert isinstance(event.fact, Catalogue), "what groups are told of"
            self._take_catalogue(step, event.fact)
        else:
            self._tick(step)
        return step.effects

    def delay(self, gap_ms: int) -> None:
        """Judge members later by a gap of our own loop."""
        self._facts.delay(gap_ms)

    def next_deadline_ms(self) -> int | None:
        """Return when a member is due, a round ends, or old offsets are looked for.

        0: at once, as partitions are to be divided anew, or offsets wait to be forgotten.
        """
        rounds = (one.due_ms for one in self._facts.rounds.values())
        at_once = self._to_forget or self._facts.unsettled
        return earliest(0 if at_once else self._look_ms, self._facts.next_wake_ms(), *rounds)

    def group(self, group_id: str) -> Group | None:
        """Return a group, for tests and descriptions; to be read only."""
        return self._groups.by_id.get(group_id)

    def _take_catalogue(self, step: Step, catalogue: Catalogue) -> None:
        before = self._facts.catalogue
        changed = {
            name
            for name in {*before.by_name, *catalogue.by_name}
            if before.by_name.get(name) != catalogue.by_name.get(name)
        }
        # What a pattern has found is known by the topics there were.
        read = {one for one in self._by_pattern() if self._reads(self._groups.by_id[one], changed)}
        self._facts.take(catalogue, self._groups.patterns)
        for group_id, group in self._groups.by_id.items():
            self._to_forget[offsets.forget_topics, group_id] = None
            # Where it is not found yet, what comes of it is judged once it is.
            may_read = group_id in read or not self._facts.knows_all_read_by(group)
            if may_read or self._reads(group, changed):
                reconciliation.unsettle(step, group, "topics have changed")

    def _forget(self, step: Step) -> None:
        """Forget what is to be forgotten, as much as one tick may: a topic or a group can have very
        many offsets, and all of a tick is in one batch."""
        while self._to_forget and (room := FORGOTTEN_AT_ONCE - len(step.effects.append)) > 0:
            forget, group_id = next(iter(self._to_forget))
            group = self._groups.by_id.get(group_id)
            if group is None or forget(step, group, room):
                del self._to_forget[forget, group_id]
            self._prune(group_id)

    def _by_pattern(self) -> list[str]:
        """Return the groups in which a member finds its topics by a pattern."""
        return [
            group_id
            for group_id, group in self._groups.by_id.items()
            if any(member.pattern for member in group.members.values())
        ]

    def _reads(self, group: Group, topics: set[str]) -> bool:
        return not topics.isdisjoint(self._facts.read_by(group))

    def _prune(self, group_id: str) -> None:
        """Drop what is known of a group that neither records nor members tell of."""
        self._groups.prune(group_id)
        if group_id not in self._groups.by_id and group_id not in self._facts.rounds:
            self._facts.soft.pop(group_id, None)

    def _tick(self, step: Step) -> None:
        now_ms = step.now.mono_ms
        ending: dict[str, dict[MemberId, str]] = {}
        for group_id, member_id in self._facts.due(now_ms):
            group = self._groups.by_id.get(group_id)
            if group is None:
                self._facts.soft.pop(group_id, None)
            elif member_id in group.members:
                reason = reconciliation.look_at(step, group, member_id)
                if reason:
                    ending.setdefault(group_id, {})[member_id] = reason
            elif group_id in self._facts.rounds:
                classic.look_at(step, group, member_id)
        for group_id, reasons in ending.items():
            reconciliation.remove(step, self._groups.by_id[group_id], reasons)
        self._settle(step)
        for group_id, one in list(self._facts.rounds.items()):
            if one.due_ms is not None and one.due_ms <= now_ms:
                classic.go_on_without(step, self._groups.find(group_id))
        if self._look_ms is not None and self._look_ms <= now_ms:
            self._look_ms = now_ms + RETENTION_INTERVAL_MS
            for group_id in self._groups.by_id:
                self._to_forget[offsets.forget_old, group_id] = None
        self._forget(step)

    def _settle(self, step: Step) -> None:
        """Divide anew what is known: where members find topics by patterns, once all are looked at."""
        self._facts.patterns.go_on(self._groups.patterns)
        for group_id in list(self._facts.unsettled):
            group = self._groups.find(group_id)
            if self._facts.knows_all_read_by(group):
                reconciliation.settle(step, group)
                self._prune(group_id)

    def check(self) -> None:
        """Assert N1 to N6."""
        for group in self._groups.by_id.values():
            _check_owners(group)
            _check_targets(group)
            classic_too = group.members and self._facts.is_classic(group.group_id)
            assert not classic_too, "N5: one protocol"
            for member_id, soft in self._facts.of(group.group_id).items():
                known = member_id in group.members or group.group_id in self._facts.rounds
                assert soft.waiting is None or known, "N6: only members wait"


def _check_owners(group: Group) -> None:
    owners: dict[PartitionKey, str] = {}
    for member_id, owned in group.owned.items():
        assert member_id in group.members, "N3: only members own"
        assert owned.epoch <= group.epoch, "N2: no epoch above the group's"
        for parts in owned.assigned.values():
            assert all(epoch <= owned.epoch for epoch in parts.values()), "N2: nor one got since"
        assigned, revoking = group.assigned(member_id), group.revoking(member_id)
        assert not assigned & revoking, "N1: owned, or to be let go"
        for key in assigned | revoking:
            assert key not in owners, f"N1: {key} has two owners"
            owners[key] = member_id
    assert owners == group.owners, "N3: the index says what the members say"


def _check_targets(group: Group) -> None:
    meant: set[PartitionKey] = set()
    for member_id, target in group.targets.items():
        assert member_id in group.members, "N4: only members have targets"
        assert not meant & target, "N4: targets share nothing"
        meant |= target


def _on_list(step: Step, token: object, body: ListGroupsRequest) -> None:
    groups: tuple[ListedGroup, ...] = tuple(
        listed(step, group) for _, group in sorted(step.groups.by_id.items())
    )
    step.reply(token, ListGroupsResponse(ErrorCode.NONE, groups))


def _on_describe(step: Step, token: object, body: DescribeGroupRequest) -> None:
    step.reply(token, describe(step, step.groups.find(body.group_id), DEFAULT_ASSIGNOR))


def _on_delete(step: Step, token: object, body: DeleteGroupRequest) -> None:
    group = step.groups.find(body.group_id)
    error = ErrorCode.NONE
    if group.members or step.facts.is_classic(group.group_id):
        error = ErrorCode.NON_EMPTY_GROUP
    elif group.value is None and not group.offsets:
        error = ErrorCode.GROUP_ID_NOT_FOUND
    else:
        for key in list(group.offsets):
            step.write(group, Kind.OFFSET, *key, value=None)
        for producer_id, pending in list(group.pending.items()):
            for key in list(pending):
                step.write(group, Kind.PENDING, producer_id, *key, value=None)
        if group.value is not None:
            step.write(group, Kind.GROUP, value=None)
        step.facts.soft.pop(group.group_id, None)
    text = "" if error is ErrorCode.NONE else meaning(error).text
    step.reply(token, DeleteGroupResponse(error, text))


_STEPS: dict[type, Callable[[Step, object, Any], None]] = {
    ConsumerGroupHeartbeatRequest: reconciliation.on_heartbeat,
    JoinGroupRequest: classic.on_join,
    SyncGroupRequest: classic.on_sync,
    ClassicHeartbeatRequest: classic.on_heartbeat,
    LeaveGroupRequest: classic.on_leave,
    OffsetCommitRequest: offsets.on_commit,
    OffsetFetchRequest: offsets.on_fetch,
    OffsetDeleteRequest: offsets.on_delete,
    TxnOffsetCommitRequest: transactional.on_commit,
    WriteTxnMarkersRequest: transactional.on_markers,
    ListGroupsRequest: _on_list,
    DescribeGroupRequest: _on_describe,
    DeleteGroupRequest: _on_delete,
}

__all__ = ["CONSUMER", "GroupCore"]
