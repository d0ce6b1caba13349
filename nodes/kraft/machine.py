"""The cluster image as the second state machine of the quorum's log.

An entry is a delta as the controller committed it; its snapshot is the image's records.  Whether a
delta counts is judged when it is applied, by every member alike: it must be the next version, and of
the leader in whose term it was appended.  So nothing of a deposed controller can come in between.

Where a cluster moves from mode ``zookeeper``, an entry says from where on the image is here, and
until the move is finished each delta is written to the znodes by the entry that makes it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from nodes.broker.cluster.metadata import Metadata
from nodes.broker.cluster.znodes import BROKER_IDS, UnreadableZnode
from nodes.coordinator.machine import OwnWrites
from nodes.core.migration import Migration, Step
from nodes.core.znode.tree import Tree
from nodes.core.znode.watch import TreeChange
from nodes.kraft import mirror
from nodes.kraft.entries import decode
from nodes.kraft.picture import ImageSlices, picture_of
from nodes.settings import ConfigError
from transport.kernel import Now
from transport.wire.ids import (
    NO_METADATA,
    ControllerEpoch,
    MetadataPosition,
    MetadataVersion,
    Term,
)
from transport.wire.messages.metadata import MetadataDelta
from transport.wire.messages.migration import Stage


class Reigning(Protocol):
    """Who decides here, when this member's controller is the active one."""

    @property
    def epoch(self) -> ControllerEpoch:
        """Its controller epoch; −1: it is not active."""
        ...

    def on_applied(self, delta: MetadataDelta, taken: bool, now: Now) -> None:
        """A delta was applied here, or (``taken`` False) changes nothing."""
        ...

    def on_registrations(self) -> None:
        """Brokers have come or gone."""
        ...


class MetadataMachine:
    """Applies the quorum's metadata entries. A ``nodes.coordinator.machine.Machine``."""

    def __init__(
        self,
        metadata: Metadata,
        reigning: Reigning,
        tree: Callable[[], Tree],
        *,
        native: bool = True,
    ) -> None:
        """``native``: the cluster was made in mode ``kraft``, or its move there is finished."""
        self._metadata = metadata
        self._reigning = reigning
        self._tree = tree
        self._native = native
        self.migration = Migration()
        self.on_step: Callable[[Step, str], None] = _nobody
        """Told of each step, and why it changed nothing."""
        self.figures = {"metadata_entries_refused": 0}

    def epoch_of(self, term: Term) -> ControllerEpoch | None:
        """Return the controller epoch of who leads in ``term``; None: the znodes hold the image."""
        in_log = self.migration.in_log(native=self._native)
        return self.migration.epoch(term) if in_log else None

    def apply(self, data: bytes, term: Term, now: Now) -> OwnWrites | None:
        """Take a delta, unless a controller wrote it that had already been overtaken, or a step.

        Raises ConfigError for what only a later version can have written: who passed over it would
        know less than it has promised to.
        """
        try:
            entry = decode(data)
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"the quorum's log has metadata that this version cannot read ({error}): install the"
                " version that the others run, and start it again"
            ) from None
        if isinstance(entry, Step):
            return OwnWrites(entry.wall_ms, self._go_on(entry, term, now))
        if isinstance(entry, MetadataDelta):
            self._take(entry, term, now)
            return None
        writes: mirror.Writes = ()
        if self.migration.stage is Stage.MIRRORING and self._follows(entry.delta, term):
            writes = mirror.mirroring(self._tree(), self._metadata.image, entry.delta)
        self._take(entry.delta, term, now)
        return OwnWrites(entry.wall_ms, writes)

    def _follows(self, delta: MetadataDelta, term: Term) -> bool:
        newest = self._metadata.image.position.version
        following = MetadataPosition(self.migration.epoch(term), MetadataVersion(newest + 1))
        in_log = self.migration.stage is not Stage.ROLLED_BACK
        return in_log and (delta.controller_epoch, delta.version) == following

    def _take(self, delta: MetadataDelta, term: Term, now: Now) -> None:
        taken = self._follows(delta, term)
        if not taken:
            self.figures["metadata_entries_refused"] += 1
        elif delta.controller_epoch == self._reigning.epoch:
            self._metadata.take(delta, now)
        else:
            self._metadata.follow(delta, now)
        self._reigning.on_applied(delta, taken, now)

    def _go_on(self, step: Step, term: Term, now: Now) -> mirror.Writes:
        """Take a step to another stage, if it still fits; return what it changes in the tree."""
        tree = self._tree()
        held = mirror.NOTHING if step.to is Stage.FINISHED else self.held_in_znodes()
        why_not = self.migration.judge(step, term, held.found())
        writes: mirror.Writes = ()
        if not why_not:
            self.migration = self.migration.after(step)
            epoch = self.migration.epoch(term)
            if step.to is Stage.MIRRORING:
                self._metadata.install(held.position, held.records, now)
                writes = mirror.taking_over(tree, epoch)
            elif step.to is Stage.ROLLED_BACK:
                writes = mirror.giving_back(tree, epoch)
        self.on_step(step, why_not)
        return writes

    def held_in_znodes(self) -> mirror.Held:
        """Return the image as the znodes here hold it; ``mirror.NOTHING`` where it cannot be read."""
        try:
            return mirror.image_in(self._tree())
        except UnreadableZnode:
            return mirror.NOTHING

    def begin_snapshot(self) -> ImageSlices | None:
        """Begin a snapshot of the image as it is now; None: the log has held none, nor any step."""
        if self._metadata.image.position == NO_METADATA and self.migration == Migration():
            return None
        return ImageSlices(self._metadata.image, self.migration)

    def restore(self, data: bytes, now: Now) -> None:
        """Become the image of a snapshot; raises BadSnapshot when it is none. Empty: none yet."""
        if not data:
            return
        picture = picture_of(data)
        self.migration = picture.migration
        position = MetadataPosition(picture.controller_epoch, picture.version)
        self._metadata.install(position, picture.records, now)
        self._reigning.on_registrations()

    def on_changes(self, changes: Sequence[TreeChange]) -> None:
        """Note that brokers have come or gone."""
        if any(change.path.startswith(BROKER_IDS) for change in changes):
            self._reigning.on_registrations()


def _nobody(_step: Step, _why_not: str) -> None:
    pass
