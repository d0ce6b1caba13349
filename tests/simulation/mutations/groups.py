"""Bugs in groups: who owns what, what is committed, where the next owner begins."""

from __future__ import annotations

from typing import Any

from nodes.broker.coordinators.shards import Shard
from nodes.core.group import offsets, reconciliation
from nodes.core.group.state import Group
from odradek.consumer.beginnings import Beginnings
from odradek.consumer.subscription import Assigned
from tests.simulation.mutations.registry import Patch, mutation
from transport.kernel import Now
from transport.wire.errors import ErrorCode

MEMBERS = {"groups": 3}


class _Free(dict[Any, Any]):
    """Owners of nothing, to whoever asks."""

    def __contains__(self, key: object) -> bool:
        return False


@mutation("S36", victims="broker", clients=MEMBERS)
def given_before_it_was_let_go() -> list[Patch]:
    """A coordinator gives a partition to its next owner without waiting for the last one."""
    reconcile = reconciliation.reconcile

    def hasty(step: Any, group: Group, member_id: Any) -> bool:
        owners, group.owners = group.owners, _Free(group.owners)
        try:
            return reconcile(step, group, member_id)
        finally:
            group.owners = owners | dict(group.owners)

    return [(reconciliation, "reconcile", hasty)]


@mutation("S37", victims="broker", clients=MEMBERS)
def commit_answered_before_it_is_replicated() -> list[Patch]:
    """A coordinator answers once its own log has a batch, whatever the others have."""

    def moved(self: Shard, now: Now) -> None:
        effects = self._in_flight
        if effects is not None and self._unwritten is None:
            self._in_flight = None
            self._carry_out(effects, now)

    return [(Shard, "moved", moved)]


@mutation("S38", victims="broker", clients=MEMBERS)
def old_commits_accepted() -> list[Patch]:
    """A coordinator takes the commit of any member for any partition."""

    def judge(*_given: object) -> ErrorCode:
        return ErrorCode.NONE

    return [(offsets, "judge_offset", judge), (offsets, "refusal_of", judge)]


@mutation("S39", victims="broker", clients=MEMBERS)
def begun_at_the_end() -> list[Patch]:
    """Who takes over a partition begins with what comes, not at the commit."""

    def resume(self: Assigned, offset: int, leader_epoch: int) -> None:
        self.reset(-1)

    return [(Assigned, "resume", resume)]


@mutation("S72", victims="broker", clients={"discoverers": 2})
def found_topic_read_from_its_end() -> list[Patch]:
    """A member that is given a partition of which nothing is committed begins at its end."""

    def begin(self: Beginnings, one: Assigned, born: bool, now: Now) -> None:
        self._view.watch(one.key.topic, now)
        one.reset(-1)

    return [(Beginnings, "take_up_without_commit", begin)]
