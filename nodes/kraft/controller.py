"""A dedicated controller: what a broker is without partitions and without a registration."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nodes.broker.api.administration import PASSED_ON
from nodes.broker.api.node import Condition, NodeApi
from nodes.broker.api.quorum import QuorumApi
from nodes.broker.cluster.controller import Controller
from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.heartbeat import Beating
from nodes.broker.cluster.metadata import Metadata
from nodes.broker.cluster.peers import Peers
from nodes.broker.cluster.removals import Removals
from nodes.broker.context import BrokerContext
from nodes.broker.dispatch import Dispatch, Handler
from nodes.broker.measures import broker_measures
from nodes.config import EXIT_STOPPED, NodeConfig
from nodes.runtime.measures import Outlook
from nodes.runtime.ownership import claim_directory
from nodes.storage.disk import Disk
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.ids import ControllerEpoch, NodeId, PartitionKey, SessionId, TopicId
from transport.wire.messages import Message
from transport.wire.messages.cluster import HealthResponse
from transport.wire.messages.metadata import (
    AllocateProducerIdsRequest,
    AlterPartitionRequest,
    FetchImageRequest,
    ReplicasFailedRequest,
)
from transport.wire.messages.reassignments import ControlledShutdownRequest


class _NoPartitions:
    def apply(
        self, changed: Iterable[PartitionKey], removed: Iterable[TopicId], now: Now
    ) -> None: ...


class DedicatedController:
    """The program beside the member of the quorum on a node that is no broker."""

    def __init__(self, config: NodeConfig, disk: Disk) -> None:
        self._config = config
        self._disk = disk
        self._started = False
        self._stopping = False

    def start(self, ports: Ports, now: Now) -> None:
        """Claim the data directory; raises ConfigError for another's."""
        claim_directory(self._disk, self._config)
        calls, timers = Calls(), Timers()
        calls.attach(ports.wire)
        calls.cluster_id = self._config.cluster_id
        self.context = context = BrokerContext(self._config, ports, self._disk, calls, timers)
        peers = Peers(context)
        channel = ControllerChannel(context, peers)
        self._channel = channel
        self.metadata = Metadata(context, channel, _NoPartitions(), from_log=True)
        # A commit cannot fail but by the quorum's word, and then the leadership has ended.
        self.controller = Controller(context, self.metadata, on_failed=lambda _now: None)
        self._node_api = NodeApi(context, self._condition)
        self.quorum_api = QuorumApi(context, channel)
        self.removals = Removals(context, peers)
        doors = {**self._peers(), **self.removals.handlers, **self.quorum_api.peers}
        self.dispatch = Dispatch(context, clients={}, peers=doors, events={})
        self.beating = Beating(
            context,
            session_id=lambda: SessionId(0),
            controller_epoch=lambda: self.controller.epoch if self.controller.is_active else None,
        )
        self.beating.start(now)
        self._started = True

    def _peers(self) -> dict[type[Message], Handler]:
        asked: Callable[..., None] = self.controller.on_request
        return {
            AlterPartitionRequest: asked,
            ReplicasFailedRequest: asked,
            AllocateProducerIdsRequest: asked,
            **dict.fromkeys(PASSED_ON, asked),
            FetchImageRequest: self.controller.on_fetch_image,
            ControlledShutdownRequest: asked,
        }

    def on_controller(self, controller: NodeId, epoch: ControllerEpoch, now: Now) -> None:
        """Another node is the active controller now; −1: none is known."""
        self._channel.learn(controller, epoch, now)

    def health(self) -> HealthResponse:
        """Return what HEALTH shows of this controller."""
        return self._node_api.health()

    def outlook(self, now: Now) -> Outlook:
        """Return how this controller is, for whoever looks in from outside."""
        condition = self._condition()
        measures = broker_measures(self.context, condition, {})
        return Outlook(condition.state, False, condition.is_controller, measures)

    def _condition(self) -> Condition:
        state = "stopping" if self._stopping else "ready"
        return Condition(state, self.controller.is_active, 0, 0)

    # Program

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Hand a request of a broker to the controller."""
        if isinstance(origin, Origin):
            self.dispatch.on_request(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """No link of this program matters to it."""

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """This loop was away; nobody is judged here."""

    def end_turn(self, now: Now) -> None:
        """Do what is due."""
        self.context.timers.fire(now)

    def next_deadline_ms(self) -> int | None:
        """Return when something is due."""
        return earliest(self.context.timers.next_deadline_ms(), self.controller.next_deadline_ms())

    def stop(self, now: Now) -> None:
        """End: nothing is kept here that the quorum does not keep."""
        self._stopping = True
        self.context.ports.exit(EXIT_STOPPED)

    def check(self) -> None:
        """Assert the invariants of the image and of the controller."""
        if self._started:
            self.metadata.check()
            self.controller.check()
