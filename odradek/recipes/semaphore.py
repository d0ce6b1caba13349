"""Semaphore: a given number of leases at a time.

The leases are a line in which the first ones hold.  A lock before it keeps those who wait from
waking each other; what makes it right is the line alone.
"""

from __future__ import annotations

from odradek.errors import BadVersionError, ClientTimeoutError, SessionExpiredError
from odradek.recipes.line import Line
from odradek.recipes.lock import Hold, Lock, LockTimeout, identifier_bytes
from odradek.recipes.waiting import Client, Patience, joined, read, settle

LEASE = "lease-"


class Semaphore(Hold):
    """At most ``max_leases`` holders at ``path``, in the order of arrival.

    Every user must name the same ``max_leases``: it is kept in the znode, and another number raises
    ValueError when something is acquired.  When the session is SUSPENDED, the lease is perhaps
    held; when it is LOST, the lease is gone and may be another's: state, ``lost``, listeners and
    ``fencing_token`` are as a :class:`Lock`'s.
    """

    def __init__(
        self,
        client: Client,
        path: str,
        identifier: str | bytes | None = None,
        max_leases: int = 1,
    ) -> None:
        if max_leases < 1:
            raise ValueError("a semaphore has at least one lease")
        line = Line(
            client,
            joined(path, "leases"),
            LEASE,
            identifier_bytes(identifier),
            ahead=self._one_too_many,
            watch_all=True,
        )
        super().__init__(line)
        self.path = path
        self.max_leases = max_leases
        self._client = client
        self._turn = Lock(client, joined(path, "turn"), identifier)

    def acquire(self, blocking: bool = True, timeout: float | None = None) -> bool:
        """Wait for a lease, at most ``timeout`` seconds; True when it is held.

        As :meth:`Lock.acquire`; ValueError: others use another ``max_leases``.
        """
        patience = Patience(self._client.waiting, timeout)
        try:
            self._agree(patience)
        except ClientTimeoutError as error:
            raise LockTimeout(f"{self.path}: not obtained in time") from error
        if not blocking:
            return self._line.enter(blocking=False, timeout_s=patience.left_s())
        self._turn.acquire(timeout=patience.left_s())
        try:
            return self._line.enter(blocking=True, timeout_s=patience.left_s())
        finally:
            self._turn.release()

    def cancel(self) -> None:
        """End the ``acquire`` of another thread with Cancelled."""
        self._turn.cancel()
        self._line.cancel()

    def lease_holders(self) -> list[str]:
        """Return the identifiers of those who hold a lease, in order of arrival."""
        return self.contenders()[: self.max_leases]

    def _one_too_many(self, own: str, line: list[str]) -> str | None:
        index = line.index(own)
        return line[index - 1] if index >= self.max_leases else None

    def _agree(self, patience: Patience) -> None:
        """Read how many leases others know of, or say so first."""
        client, path = self._client, self.path
        wanted = b"%d" % self.max_leases
        read(client, lambda: client.ensure_path_async(path), patience.left_s())
        while True:
            data, stat = read(client, lambda: client.get_async(path), patience.left_s())
            if data and data != wanted:
                raise ValueError(f"{path} has {data.decode()} leases, not {self.max_leases}")
            if data:
                return
            try:
                settle(client, client.set_async(path, wanted, stat.version), patience.left_s())
            except (BadVersionError, SessionExpiredError):
                continue
            return
