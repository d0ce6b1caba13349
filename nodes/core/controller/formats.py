"""What every broker can read: no record of a kind that some cannot is written while they are there.

In a rolling upgrade brokers of two versions serve side by side.  Each names in its registration how
far it reads (``transport.wire.messages.metadata.FORMATS``), and what is newer than the oldest of
them has to wait, so that none is ever told what it cannot take in.  And one that comes later, or comes
back with an earlier version, is kept out for as long as the cluster holds what it could not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from nodes.core.controller.image import ClusterImage
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import CreateAclsRequest
from transport.wire.messages.metadata import (
    FORMATS_ACLS,
    FORMATS_USERS,
    AclRecord,
    MetadataRecord,
    UserRecord,
)
from transport.wire.messages.users import AlterUserScramCredentialsRequest

NEEDED: dict[type[Message], int] = {
    CreateAclsRequest: FORMATS_ACLS,
    AlterUserScramCredentialsRequest: FORMATS_USERS,
}
"""The formats that come of a request; of all others: those of the beginning."""


OF_KINDS: dict[type[Any], int] = {AclRecord: FORMATS_ACLS, UserRecord: FORMATS_USERS}
"""The formats of kinds of records; of all others: those of the beginning."""


def formats_in(image: ClusterImage, coming: Iterable[MetadataRecord] = ()) -> int:
    """Return how far one must read to take in an image, and the records that are to change it."""
    held = FORMATS_USERS if image.users else FORMATS_ACLS if image.acls else 0
    return max((held, *(OF_KINDS.get(type(record), 0) for record in coming)))


def too_old(name: str, formats: int, needed: int) -> str:
    """Return what to say of a broker that does not read far enough, and to do about it."""
    return (
        f"{name} reads metadata up to format {formats}, and the cluster holds some of format {needed}:"
        " install the version that the others run, and start it again"
    )


def refusal_of(image: ClusterImage, request: Message) -> Refusal | None:
    """Return why a request must wait for an upgrade; None: every broker reads what comes of it."""
    needed = NEEDED.get(type(request), 0)
    old = sorted(broker.name for broker in image.brokers.values() if broker.formats < needed)
    if not old:
        return None
    text = f"{', '.join(old)} would not understand it: upgrade and restart, then ask again"
    return Refusal(ErrorCode.UNSUPPORTED_VERSION, text)
