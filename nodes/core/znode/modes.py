"""What kinds of znodes there are: how a create mode makes one, and how a znode's owner tells it.

The owner is ZooKeeper's ``ephemeralOwner``: a session (positive) for an ephemeral, 0 for a lasting
znode, and two negative ranges, read as signed: 0x80… for a container, 0xff… for a znode with a
TTL, which stands in the lowest five bytes.
"""

from __future__ import annotations

from typing import NamedTuple

from transport.wire.ids import SessionId
from transport.wire.messages.coordination import (
    CONTAINER,
    EPHEMERAL,
    EPHEMERAL_SEQUENTIAL,
    PERSISTENT,
    PERSISTENT_SEQUENTIAL,
    PERSISTENT_SEQUENTIAL_WITH_TTL,
    PERSISTENT_WITH_TTL,
)

NO_SESSION = SessionId(0)
CONTAINER_OWNER = SessionId(-(1 << 63))
_TTL_BASE = -(1 << 56)
TTL_MS_MAX = (1 << 40) - 1


class Mode(NamedTuple):
    """What a create mode means."""

    ephemeral: bool = False
    sequential: bool = False
    container: bool = False
    ttl: bool = False


MODES: dict[int, Mode] = {
    PERSISTENT: Mode(),
    EPHEMERAL: Mode(ephemeral=True),
    PERSISTENT_SEQUENTIAL: Mode(sequential=True),
    EPHEMERAL_SEQUENTIAL: Mode(ephemeral=True, sequential=True),
    CONTAINER: Mode(container=True),
    PERSISTENT_WITH_TTL: Mode(ttl=True),
    PERSISTENT_SEQUENTIAL_WITH_TTL: Mode(sequential=True, ttl=True),
}


def mode_of(number: int, ttl_ms: int) -> Mode | None:
    """Return the mode; None for a number that is none, or a TTL that does not fit it."""
    mode = MODES.get(number)
    if mode is None or not (0 < ttl_ms <= TTL_MS_MAX if mode.ttl else ttl_ms == 0):
        return None
    return mode


def owner_of(mode: Mode, session_id: SessionId, ttl_ms: int) -> SessionId:
    """Return the owner of a znode made in this mode by this session."""
    if mode.ephemeral:
        return session_id
    if mode.container:
        return CONTAINER_OWNER
    return SessionId(_TTL_BASE + ttl_ms) if mode.ttl else NO_SESSION


def ttl_ms_of(owner: SessionId) -> int | None:
    """Return the TTL that an owner stands for; None for every other kind."""
    return owner - _TTL_BASE if _TTL_BASE < owner <= _TTL_BASE + TTL_MS_MAX else None
