"""What every broker can read: no record of a kind that some cannot is written while they are there.

In a rolling upgrade brokers of two versions serve side by side.  Each names in its registration how
far it reads (``transport.wire.messages.metadata.FORMATS``), and what is newer than the oldest of
them has to wait, so that none is ever told what it cannot take in.
"""

from __future__ import annotations

from nodes.core.controller.image import ClusterImage
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import CreateAclsRequest
from transport.wire.messages.metadata import FORMATS_ACLS

NEEDED: dict[type[Message], int] = {CreateAclsRequest: FORMATS_ACLS}
"""The formats that come of a request; of all others: those of the beginning."""


def refusal_of(image: ClusterImage, request: Message) -> Refusal | None:
    """Return why a request must wait for an upgrade; None: every broker reads what comes of it."""
    needed = NEEDED.get(type(request), 0)
    old = sorted(broker.name for broker in image.brokers.values() if broker.formats < needed)
    if not old:
        return None
    text = f"{', '.join(old)} would not understand it: upgrade and restart, then ask again"
    return Refusal(ErrorCode.UNSUPPORTED_VERSION, text)
