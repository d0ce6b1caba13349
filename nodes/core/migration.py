"""Where a cluster keeps its image while it moves from mode ``zookeeper`` to ``kraft``, and back.

Both modes share one log, so nothing is copied between quorums: one entry of the log, a
:class:`Step`, says from where on the image is in the log instead of in znodes, or in znodes again.
Stages::

    znodes ──► mirroring ──► finished
                │    ▲
                ▼    │
              rolled back

The present stage is a :class:`Migration`, state of the log's second machine: in its snapshots, the
same on every member.  A step is judged when it is applied, by what the member finds then.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from transport.wire.ids import ControllerEpoch, MetadataVersion, Term
from transport.wire.messages.migration import STAGE_NAMES, Stage

_NEXT = frozenset(
    (
        (Stage.BEGINNING, Stage.MIRRORING),
        (Stage.ROLLED_BACK, Stage.MIRRORING),
        (Stage.MIRRORING, Stage.FINISHED),
        (Stage.MIRRORING, Stage.ROLLED_BACK),
    )
)


class Step(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="step"):
    """An entry of the log: go on to another stage."""

    to: Stage
    wall_ms: int
    """Stamped by the leader: the time of the znodes that this changes."""
    epoch_base: int = 0
    version: MetadataVersion = MetadataVersion(0)
    """To ``MIRRORING`` and ``ROLLED_BACK``: the image that is handed over ..."""
    digest: bytes = b""
    """... and its hash, as the leader has it."""


class Found(NamedTuple):
    """What a member finds in its znodes when it judges a step."""

    controller_epoch: ControllerEpoch
    version: MetadataVersion
    digest: bytes


class Migration(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The stage, and what controller epochs in the log begin above."""

    stage: Stage = Stage.BEGINNING
    epoch_base: int = 0

    def epoch(self, term: Term) -> ControllerEpoch:
        """Return the controller epoch of who leads the quorum in ``term``."""
        return ControllerEpoch(self.epoch_base + term)

    def in_log(self, *, native: bool) -> bool:
        """Tell whether the log holds the image. ``native``: the cluster was made that way."""
        if self.stage is Stage.BEGINNING:
            return native
        return self.stage is not Stage.ROLLED_BACK

    def why_not(self, to: Stage) -> str:
        """Return why the next stage cannot be ``to``; empty: it can."""
        if (self.stage, to) in _NEXT:
            return ""
        return f"it is {STAGE_NAMES[self.stage]}, and cannot become {STAGE_NAMES[to]}"

    def begins_above(self, found: ControllerEpoch, term: Term) -> int:
        """Return the base by which a leader of ``term`` follows the controller epoch ``found``."""
        return max(self.epoch_base, found + 1 - term)

    def judge(self, step: Step, term: Term, found: Found) -> str:
        """Return why a step changes nothing; empty: it is taken. ``term``: it was appended in it."""
        wrong = self.why_not(step.to)
        if wrong or step.to is Stage.FINISHED:
            return wrong
        if (found.version, found.digest) != (step.version, step.digest):
            return "the image in the znodes is another one"
        if step.to is Stage.MIRRORING and step.epoch_base + term <= found.controller_epoch:
            return "another controller was elected meanwhile"
        return ""

    def after(self, step: Step) -> Migration:
        """Return what a step that was taken makes of this."""
        base = step.epoch_base if step.to is Stage.MIRRORING else self.epoch_base
        return Migration(step.to, base)
