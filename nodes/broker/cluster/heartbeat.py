"""The heartbeat: published from the deciding loop, so that it proves the loop and not a thread."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext
from transport.kernel import Now
from transport.wire.codec import Envelope, Kind
from transport.wire.ids import ControllerEpoch, SessionId
from transport.wire.messages.cluster import Heartbeat
from transport.wire.messages.metadata import EVENT_BEAT


class Beating:
    """Publishes a :class:`Heartbeat` every ``heartbeat_interval_ms``."""

    def __init__(
        self,
        context: BrokerContext,
        *,
        session_id: Callable[[], SessionId],
        controller_epoch: Callable[[], ControllerEpoch | None],
    ) -> None:
        """``controller_epoch``: of the active controller, if this is it."""
        self._context = context
        self._session_id = session_id
        self._controller_epoch = controller_epoch

    def start(self, now: Now) -> None:
        """Beat now, and from now on."""
        self.beat()
        interval_ms = self._context.config.broker.heartbeat_interval_ms
        self._context.timers.after(now, interval_ms, self.start)

    def beat(self) -> None:
        """Publish one heartbeat."""
        config, position = self._context.config, self._context.image.position
        reigning = self._controller_epoch()
        beat = Heartbeat(
            config.id,
            config.name,
            config.incarnation,
            self._session_id(),
            position.controller_epoch if reigning is None else reigning,
            position.version,
            reigning is not None,
        )
        envelope = Envelope(Kind.EVENT, beat, cluster_id=config.cluster_id)
        self._context.ports.wire.publish(EVENT_BEAT, envelope)
