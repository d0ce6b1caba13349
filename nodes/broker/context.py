"""What the parts of a broker share: who it is, its ports, its image, and how it answers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from nodes.broker.logs.directories import LogDirectories
from nodes.config import NodeConfig
from nodes.core.controller.image import ClusterImage
from nodes.storage.disk import Disk
from transport.driver.calls import Calls, OnAnswer, response
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.codec import NO_DEADLINE_MS, Buffer, Envelope
from transport.wire.ids import BrokerEpoch, NodeId
from transport.wire.messages import Message
from transport.wire.messages.metadata import FORMATS

_logger = logging.getLogger("odradek.broker")


class Request(msgspec.Struct, frozen=True):
    """An arrived request and the way back."""

    origin: Origin
    envelope: Envelope
    amend: Callable[[Message], Message] | None = None
    """Makes of its answer what its sender may see (``authorization.py``)."""

    def due_ms(self, now: Now, timeout_ms: int) -> int:
        """Return the monotonic time after which nobody waits for the answer.

        ``timeout_ms`` is the longest time that the request's API allows.
        """
        deadline_ms = self.envelope.deadline_ms
        if deadline_ms != NO_DEADLINE_MS:
            timeout_ms = min(timeout_ms, deadline_ms)
        return now.mono_ms + max(0, timeout_ms)


@dataclass(slots=True)
class BrokerContext:
    """One per broker process; made by its server before any part of it."""

    config: NodeConfig
    ports: Ports
    disk: Disk
    calls: Calls
    timers: Timers
    image: ClusterImage = field(default_factory=ClusterImage)
    """As applied by this broker. Only ``metadata.py`` changes it."""
    broker_epoch: BrokerEpoch = BrokerEpoch(-1)
    """Of the present registration; −1 while there is none."""
    directories: LogDirectories = field(init=False)
    """Where the logs of partitions are."""
    formats: int = FORMATS
    """How far this broker reads."""
    same_boot: bool = False
    """The machine has not booted since this data directory was last used: the page cache of a
    killed predecessor is still there, so its log lost nothing."""
    logs_intact: bool = True
    """No tail of a log can have been lost that the controller has not yet taken in."""
    logs_lost: bool = False
    """Nor can a log as a whole, if this is False."""
    appended_ms: int = -(1 << 62)
    """Monotonic time of the last append to any log here."""
    appended_bytes: int = 0
    """By this process, to all logs."""
    figures: dict[str, int] = field(default_factory=dict)
    """Counters by name, shown by HEALTH."""
    id: NodeId = field(init=False)
    """This broker's node id."""

    def __post_init__(self) -> None:
        self.id = self.config.id
        self.directories = LogDirectories(self.disk, self.config)

    def count(self, figure: str, by: int = 1) -> None:
        """Add to a counter."""
        self.figures[figure] = self.figures.get(figure, 0) + by

    def report(self, figure: str, text: str) -> None:
        """Add to a counter, and say in the node's log what has happened and to what."""
        self.count(figure)
        _logger.warning("%s", text)

    def tell(self, text: str) -> None:
        """Say in the node's log what has become of this broker."""
        _logger.info("%s", text)

    def reply(self, request: Request, body: Message, payload: tuple[Buffer, ...] = ()) -> bool:
        """Answer a request; False: its sender is gone (it is counted)."""
        if request.amend is not None:
            body = request.amend(body)
        sent = self.ports.wire.reply(request.origin, response(request.envelope, body, payload))
        if not sent:
            self.count("replies_dropped")
        return sent

    def ask(
        self,
        link: LinkId,
        body: Message,
        on_answer: OnAnswer,
        now: Now,
        *,
        timeout_ms: int | None = None,
        cause_id: str = "",
    ) -> bool:
        """Send a request of this broker to a peer; False when the link is down.

        ``timeout_ms``: None is ``request_timeout_ms``.
        """
        if timeout_ms is None:
            timeout_ms = self.config.broker.request_timeout_ms
        return self.calls.request(
            link, body, on_answer, now, timeout_ms=timeout_ms, cause_id=cause_id
        )
