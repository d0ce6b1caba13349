"""What a reader and the broker at the end of one connection both remember of its fetches (KIP-227)."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.foreign.connection import Connection
from transport.gateway.kafka.messages.fetch import FetchPartition, FetchResponse

NO_SESSION = 0
WITHOUT, BEGINS = -1, 0
"""Epochs of a fetch that wants no session, and of one that begins one."""
SESSIONS_FROM = 7
"""The first version of Fetch that knows of them."""


class Named(NamedTuple):
    """What a fetch says of the session it is of."""

    session_id: int
    session_epoch: int
    partitions: tuple[FetchPartition, ...]
    """Those that the session does not have as they are now."""
    forgotten: tuple[int, ...] = ()


class FetchSession:
    """A session that is to begin, or has."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._id = NO_SESSION
        self._epoch = BEGINS
        self._named: dict[int, FetchPartition] = {}

    @property
    def goes_on(self) -> bool:
        """It has begun: what is not told of is as it was."""
        return self._epoch > BEGINS

    def name(self, wanted: dict[int, FetchPartition]) -> Named:
        """Return what to say for exactly these partitions to be fetched."""
        new = {number: one for number, one in wanted.items() if not self._knows(number, one)}
        forgotten = tuple(self._named.keys() - wanted.keys())
        for number in forgotten:
            del self._named[number]
        self._named.update(new)
        return Named(self._id, self._epoch, tuple(new.values()), forgotten)

    def _knows(self, number: int, one: FetchPartition) -> bool:
        """How much it takes at once it may say anew with the next change."""
        known = self._named.get(number)
        return known is not None and (known.fetch_offset, known.current_leader_epoch) == (
            one.fetch_offset,
            one.current_leader_epoch,
        )

    def take(self, response: FetchResponse) -> bool:
        """Take over what an answer says of it; False: there is none any more."""
        begun = self._epoch > BEGINS
        assert not begun or response.session_id in (self._id, NO_SESSION), "it is of this session"
        self._id = response.session_id
        self._epoch += 1
        return self._id != NO_SESSION
