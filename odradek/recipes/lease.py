"""NonBlockingLease and MultiNonBlockingLease: the right to do something for a length of time.

Leases are judged by wall clocks and not by sessions: a job that is to run once per hour in a
fleet, though each process lives only for seconds.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from odradek.coordination.znode_values import ZnodeStat
from odradek.errors import BadVersionError, NodeExistsError, NoNodeError
from odradek.recipes.waiting import Client, joined, read, settle

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    """Return the wall time in UTC."""
    return datetime.now(UTC)


class NonBlockingLease:
    """True if ``identifier`` has obtained, or renewed, the lease at ``path`` for ``duration``.

    The lease is kept in a persistent znode and runs out by the wall clock: a lost session does not
    end it, nor does the holder's death.  The same identifier has it again at once and prolongs it.
    Two holders are kept apart as far as their clocks agree.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        duration: timedelta,
        identifier: str,
        now: Clock = utc_now,
    ) -> None:
        if duration <= timedelta(0):
            raise ValueError("a lease has a length")
        self.path = path
        self.identifier = identifier
        self._client = client
        self.obtained = self._obtain(now(), duration)

    def __bool__(self) -> bool:
        return self.obtained

    def _obtain(self, now: datetime, duration: timedelta) -> bool:
        stat: ZnodeStat | None = None
        try:
            data, stat = read(self._client, lambda: self._client.get_async(self.path))
        except NoNodeError:
            data = b""
        if data:
            holder, ends = _lease_in(self.path, data)
            if holder != self.identifier and now < ends:
                return False
        lease = {"holder": self.identifier, "end": (now + duration).isoformat()}
        value = json.dumps(lease).encode()
        try:
            if stat is None:
                settle(self._client, self._client.create_async(self.path, value, makepath=True))
            else:
                settle(self._client, self._client.set_async(self.path, value, stat.version))
        except (BadVersionError, NodeExistsError, NoNodeError):
            return False  # somebody else was quicker
        return True


class MultiNonBlockingLease:
    """True if ``identifier`` has obtained one of ``count`` leases below ``path``.

    Each is a :class:`NonBlockingLease`, with what that promises.
    """

    def __init__(
        self,
        client: Client,
        count: int,
        path: str,
        duration: timedelta,
        identifier: str,
        now: Clock = utc_now,
    ) -> None:
        if count < 1:
            raise ValueError("at least one lease")
        paths = [joined(path, str(number)) for number in range(count)]
        mine = [each for each in paths if _holder(client, each) == identifier]
        self.obtained = any(
            NonBlockingLease(client, each, duration, identifier, now)
            for each in dict.fromkeys((*mine, *paths))
        )

    def __bool__(self) -> bool:
        return self.obtained


def _holder(client: Client, path: str) -> str:
    try:
        data, _ = read(client, lambda: client.get_async(path))
    except NoNodeError:
        return ""
    return _lease_in(path, data)[0] if data else ""


def _lease_in(path: str, data: bytes) -> tuple[str, datetime]:
    """Return who holds it and until when; ValueError where the znode is somebody else's."""
    try:
        said = json.loads(data)
        return str(said["holder"]), datetime.fromisoformat(said["end"]).astimezone(UTC)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        text = f"{path} holds no lease, but {data[:100]!r}; keep leases elsewhere"
        raise ValueError(text) from None
