"""The follower's side: what its leader holds, and what is to be named next.

Owns the session's number, the count of its fetches, and what was named in which.  Knows nothing of
replicas: whoever follows says which of them have changed, and where each goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from transport.wire.ids import PartitionKey
from transport.wire.messages.fetch import FULL_EPOCH, FetchPartition

PARTITIONS_MAX = 200
"""Named in one fetch; the rest takes turns, so that no turn of the leader is long."""
_IDS = 0x7FFFFFFF

PositionOf = Callable[[PartitionKey], FetchPartition | None]
"""Where a partition goes on; None: nothing is to be asked of it (now)."""


class Poll(msgspec.Struct, frozen=True):
    """One fetch, and its place in the session."""

    number: int
    """Of all polls; grows."""
    session_id: int
    session_epoch: int
    named: tuple[FetchPartition, ...]
    forgotten: tuple[PartitionKey, ...]


class _Named(msgspec.Struct, frozen=True):
    part: FetchPartition
    since: int
    """The first poll that an answer for this place can be of."""
    answered: bool = False
    """The leader has told of it, and has taken it out: it is to be named again."""


class FollowerSession:
    """The session with one leader; there is always one, begun anew whenever it is lost."""

    def __init__(self, first_id: int) -> None:
        """``first_id``: by chance, so that no leader takes it for one of an earlier process."""
        self._id = 1 + first_id % _IDS
        self._epoch = FULL_EPOCH
        self._number = 0
        self._held = False
        """The leader has said that it holds it."""
        self._named: dict[PartitionKey, _Named] = {}
        self._changed: dict[PartitionKey, None] = {}

    @property
    def is_held(self) -> bool:
        """The leader has said that it holds the session: a poll need not wait for the last one."""
        return self._held

    @property
    def has_changes(self) -> bool:
        """Something waits to be named, or to be forgotten."""
        return bool(self._changed)

    def change(self, key: PartitionKey) -> None:
        """Look at this partition before the next poll: it goes on elsewhere, or no more."""
        self._changed[key] = None

    def lose(self) -> None:
        """Begin anew: it is not known what the leader holds."""
        self._id = 1 + self._id % _IDS
        self._epoch = FULL_EPOCH
        self._held = False

    def failed(self, poll: Poll) -> None:
        """Take over that this poll has got no answer."""
        if poll.session_id == self._id:
            self.lose()

    # Polls

    def poll(self, followed: Iterable[PartitionKey], position_of: PositionOf) -> Poll | None:
        """Return the next fetch, or None when there is nothing to ask.

        A poll that does not leave, or is not answered, has ``failed``.
        """
        self._number += 1
        if not self._held:
            self.lose()
            self._named.clear()
            # Those that have waited longest come first, so that all of them get their turn.
            self._changed.update(dict.fromkeys(followed))
        named, forgotten = self._take_changes(position_of)
        if not self._named and not forgotten:
            return None
        if self._held:
            self._epoch += 1
        return Poll(self._number, self._id, self._epoch, named, forgotten)

    def _take_changes(
        self, position_of: PositionOf
    ) -> tuple[tuple[FetchPartition, ...], tuple[PartitionKey, ...]]:
        named: list[FetchPartition] = []
        forgotten: list[PartitionKey] = []
        looked_at = list(self._changed)
        for key in looked_at:
            if len(named) >= PARTITIONS_MAX:
                break
            del self._changed[key]
            before, part = self._named.get(key), position_of(key)
            if part is None:
                if before is not None:
                    del self._named[key]
                    forgotten.append(key)
            elif before is None or before.answered or before.part != part:
                self._named[key] = _Named(part, self._since(before, part))
                named.append(part)
        return tuple(named), tuple(forgotten)

    def _since(self, before: _Named | None, part: FetchPartition) -> int:
        """An answer to an earlier poll is as good, if that one asked for the same records."""
        if before is None or before.answered or _place(before.part) != _place(part):
            return self._number
        return before.since

    # Answers

    def answered(self, poll: Poll, session_id: int) -> None:
        """Take over whether the leader holds the session of this poll."""
        if poll.session_id == self._id:
            self._held = session_id == self._id

    def asked(self, poll: Poll, key: PartitionKey) -> FetchPartition | None:
        """Return what an answer to this poll is about; None: it is about a place of the past."""
        named = self._named.get(key)
        if named is None or named.answered or not named.since <= poll.number:
            return None
        return named.part

    def take_out(self, key: PartitionKey) -> None:
        """An answer has told more of it than how far it is committed: it is named again."""
        named = self._named.get(key)
        if named is not None:
            self._named[key] = _Named(named.part, named.since, answered=True)
            self._changed[key] = None

    def check(self, followed: Iterable[PartitionKey], position_of: PositionOf) -> None:
        """Assert F2."""
        if not self._held:
            return
        for key in {*followed, *self._named} - self._changed.keys():
            named, part = self._named.get(key), position_of(key)
            if part is None:
                assert named is None, "F2: it is forgotten, or waits to be"
            else:
                assert named is not None, "F2: it is named, or waits to be"
                assert _place(named.part) == _place(part), "F2: it is named as it is"
                assert not named.answered, "F2: it is named again"


def _place(part: FetchPartition) -> tuple[int, int]:
    return part.leader_epoch, part.offset
