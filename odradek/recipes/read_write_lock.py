"""ReadLock and WriteLock: many readers or one writer, in the order of arrival.

Two kinds of contender in one line; they differ in whom they wait for.
"""

from __future__ import annotations

from odradek.recipes.line import Line, next_lower
from odradek.recipes.lock import Hold, identifier_bytes
from odradek.recipes.waiting import Client

READ = "read-"
WRITE = "write-"


def _last_writer(own: str, line: list[str]) -> str | None:
    """Wait for the nearest writer ahead: readers ahead are no hindrance."""
    writers = [name for name in line[: line.index(own)] if name.startswith(WRITE)]
    return writers[-1] if writers else None


class ReadLock(Hold):
    """The shared half of the lock at ``path``: held together with other readers, not with a writer.

    Suspended or lost as a :class:`Lock` is.  A reader that comes after a waiting writer waits
    behind it, so writers are not starved.  A writer's ``fencing_token`` is larger than that of
    every reader before it, and smaller than that of every one after it.
    """

    def __init__(self, client: Client, path: str, identifier: str | bytes | None = None) -> None:
        data = identifier_bytes(identifier)
        super().__init__(Line(client, path, READ, data, kinds=(READ, WRITE), ahead=_last_writer))


class WriteLock(Hold):
    """The exclusive half of the lock at ``path``: held by nobody else, reader or writer.

    Suspended or lost as a :class:`Lock` is.
    """

    def __init__(self, client: Client, path: str, identifier: str | bytes | None = None) -> None:
        data = identifier_bytes(identifier)
        super().__init__(Line(client, path, WRITE, data, kinds=(READ, WRITE), ahead=next_lower))
