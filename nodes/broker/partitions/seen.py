"""What others wait for of a replica, as one value: to be compared with what it was a turn before."""

from __future__ import annotations

import msgspec

from nodes.core.partition.core import PartitionCore


class Seen(msgspec.Struct, frozen=True):
    """Offsets, role and epochs of a replica at one moment."""

    log_end_offset: int
    high_watermark: int
    last_stable_offset: int
    leader: int
    """Whom it follows, or itself; −1 without a role."""
    leader_epoch: int
    log_start_offset: int
    durable_offset: int
    """Of a follower that must tell of it (``flush.policy=commit``), else 0."""
    partition_epoch: int
    """Grows with each change of the ISR."""

    @property
    def ends(self) -> tuple[int, int]:
        """What a follower is told of: how far it is committed, and where it begins."""
        return self.high_watermark, self.log_start_offset


NOTHING_SEEN = Seen(-1, -1, -1, -1, -1, -1, 0, -1)


def look_at(core: PartitionCore | None, *, tells_durable: bool) -> Seen:
    """Return what others may wait for; ``tells_durable``: its leader waits for its syncs too."""
    record = None if core is None else core.record
    if core is None or record is None:
        return NOTHING_SEEN
    durable, start = 0, core.log_start_offset
    position = core.fetch_position() if core.is_follower else None
    if position is not None:
        # What it tells its leader, which may come later than what it tells its readers.
        start = position.log_start_offset
        durable = position.durable_offset if tells_durable else 0
    return Seen(
        core.log_end_offset,
        core.high_watermark,
        core.last_stable_offset,
        record.leader,
        record.leader_epoch,
        start,
        durable,
        record.partition_epoch,
    )
