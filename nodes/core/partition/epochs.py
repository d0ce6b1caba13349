"""The leader epochs of a log and where each begins (KIP-101, KIP-279).

Owns the list; knows nothing of roles.  An entry says: the first record of this leader epoch has (or,
right after an election, will have) this offset.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple

from transport.wire.ids import LeaderEpoch, Offset


class EpochEnd(NamedTuple):
    """``leader_epoch`` ends before ``end_offset`` (exclusive)."""

    leader_epoch: LeaderEpoch
    end_offset: Offset


class Epochs:
    """Growing leader epochs with growing start offsets."""

    __slots__ = ("_epochs", "_starts")

    def __init__(self, entries: Iterable[tuple[LeaderEpoch, Offset]] = ()) -> None:
        self._epochs: list[LeaderEpoch] = []
        self._starts: list[Offset] = []
        for epoch, start in entries:
            self.assign(epoch, start)

    def entries(self) -> list[tuple[LeaderEpoch, Offset]]:
        """Return (leader epoch, start offset), growing."""
        return list(zip(self._epochs, self._starts, strict=True))

    def latest(self) -> LeaderEpoch:
        """Return the largest leader epoch, −1 when there is none."""
        return self._epochs[-1] if self._epochs else LeaderEpoch(-1)

    def assign(self, epoch: LeaderEpoch, start: Offset) -> None:
        """Note that ``epoch`` begins at ``start``; nothing to do when it is the present one.

        Epochs that had not written a record before ``start`` leave no trace.
        """
        if self._epochs and self._epochs[-1] == epoch:
            return
        assert epoch > self.latest(), "leader epochs of a log grow"
        self.cut(start)
        self._epochs.append(epoch)
        self._starts.append(start)

    def cut(self, end: Offset) -> None:
        """Forget the epochs that begin at or after ``end``."""
        while self._starts and self._starts[-1] >= end:
            self._starts.pop()
            self._epochs.pop()

    def begin_at(self, start: Offset) -> None:
        """Forget the epochs that end at or before ``start``."""
        while len(self._starts) > 1 and self._starts[1] <= start:
            del self._starts[0]
            del self._epochs[0]

    def epoch_before(self, end: Offset) -> LeaderEpoch:
        """Return the leader epoch of the last record before ``end``, −1 when there is none."""
        place = bisect_right(self._starts, Offset(end - 1)) - 1
        return self._epochs[place] if place >= 0 else LeaderEpoch(-1)

    def end_of(self, epoch: LeaderEpoch, log_end_offset: Offset) -> EpochEnd:
        """Return the largest known epoch ≤ ``epoch``, and where it ends in this log.

        An epoch older than all that are known ends where the first known one begins.
        """
        place = bisect_right(self._epochs, epoch) - 1
        end = self._starts[place + 1] if place + 1 < len(self._starts) else log_end_offset
        return EpochEnd(self._epochs[place] if place >= 0 else epoch, end)

    def check(self, log_end_offset: Offset) -> None:
        """Assert P5."""
        for here, there in zip(self._epochs, self._epochs[1:], strict=False):
            assert here < there, "P5: leader epochs grow"
        for start, following in zip(self._starts, self._starts[1:], strict=False):
            assert start < following, "P5: start offsets grow with them"
        assert not self._starts or self._starts[-1] <= log_end_offset, "P5: none starts in the air"
