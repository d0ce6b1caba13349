"""Bugs of mode kraft: the image in the quorum's log, and the leader that is the controller."""

from __future__ import annotations

from nodes.kraft import leadership
from nodes.kraft.machine import MetadataMachine, encode_delta
from nodes.kraft.store import Propose, QuorumMetadataStore
from tests.simulation.mutations.registry import Patch, mutation
from transport.kernel import Now
from transport.wire.ids import ControllerEpoch, Term


@mutation("S8", mode="kraft", victims="broker")
def image_not_restored() -> list[Patch]:
    """A member that stands on a snapshot takes the tree from it, and not the cluster's image."""
    return [(MetadataMachine, "restore", lambda _self, _data, _now: None)]


@mutation("S28", mode="kraft", victims="broker", faults=("kill_raft_leader",))
def term_is_no_epoch() -> list[Patch]:
    """A leader of the quorum reigns under the epoch of its first predecessor."""
    apply = MetadataMachine.apply

    def apply_always(self: MetadataMachine, data: bytes, _term: Term, now: Now) -> None:
        apply(self, data, Term(1), now)

    return [
        (leadership, "ControllerEpoch", lambda _term: ControllerEpoch(1)),
        (MetadataMachine, "apply", apply_always),
    ]


@mutation("S8", "S29", mode="kraft", victims="broker", faults=("isolate_raft_leader",))
def told_before_the_majority_has_it() -> list[Patch]:
    """The controller spreads a change once it is in its own log, before the quorum has committed it."""

    def flush(self: QuorumMetadataStore, propose: Propose, now: Now) -> None:
        commit = self._commit
        if commit is None or self._due_ms is None or self._due_ms > now.mono_ms:
            return
        self._due_ms = None
        if propose(encode_delta(commit.delta), now):
            self._commit = None
            commit.on_committed(True, now)

    return [(QuorumMetadataStore, "flush", flush)]
