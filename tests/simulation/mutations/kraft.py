"""Bugs of mode kraft: the image in the quorum's log, and the leader that is the controller."""

from __future__ import annotations

from typing import Any

from nodes.broker.cluster.membership import Membership
from nodes.core.migration import Found, Migration, Step
from nodes.kraft import mirror
from nodes.kraft.machine import MetadataMachine
from nodes.kraft.store import Propose, QuorumMetadataStore
from tests.simulation.mutations.registry import Patch, mutation
from tests.simulation.shape import MOVING
from transport.kernel import Now
from transport.wire.ids import ControllerEpoch, Term


@mutation("S8", mode="kraft", victims="broker")
def image_not_restored() -> list[Patch]:
    """A member that stands on a snapshot takes the tree from it, and not the cluster's image."""
    return [(MetadataMachine, "restore", lambda _self, _data, _now: None)]


@mutation("S28", mode="kraft", victims="broker", faults=("kill_raft_leader",))
def term_is_no_epoch() -> list[Patch]:
    """A leader of the quorum reigns under the epoch of its first predecessor."""
    return [(Migration, "epoch", lambda _self, _term: ControllerEpoch(1))]


@mutation("S8", mode="kraft", victims="broker", faults=("isolate_raft_leader",))
def told_before_the_majority_has_it() -> list[Patch]:
    """The controller spreads a change once it is in its own log, before the quorum has committed it."""

    def flush(self: QuorumMetadataStore, propose: Propose, now: Now) -> None:
        commit = self._commit
        if commit is None or self._due_ms is None or self._due_ms > now.mono_ms:
            return
        self._due_ms = None
        if propose(commit.delta, now):
            self._commit = None
            commit.on_committed(True, now)

    return [(QuorumMetadataStore, "flush", flush)]


@mutation("S58", mode="kraft", victims="broker", faults=("_kill", "_slow_network"))
def registered_while_behind() -> list[Patch]:
    """A broker registers by the image it begins with, before it knows what was committed since."""
    init = Membership.__init__

    def begin(self: Membership, *given: Any, **named: Any) -> None:
        init(self, *given, **{**named, "may_register": lambda: True})

    return [(Membership, "__init__", begin)]


@mutation("S56", mode=MOVING)
def change_not_mirrored() -> list[Patch]:
    """While a cluster moves to mode kraft, a change is not written to the znodes."""
    return [(mirror, "mirroring", lambda _tree, _image, _delta: ())]


@mutation("S28", mode=MOVING)
def epochs_begin_anew() -> list[Patch]:
    """The controller epochs of a cluster that has moved to mode kraft are the terms alone."""
    judge = Migration.judge

    def judge_all_but_the_epoch(self: Migration, step: Step, term: Term, found: Found) -> str:
        return judge(self, step, term, found._replace(controller_epoch=ControllerEpoch(-1)))

    return [
        (Migration, "begins_above", lambda _self, _found, _term: 0),
        (Migration, "judge", judge_all_but_the_epoch),
    ]
