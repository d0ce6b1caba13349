"""A member of the quorum in mode ``kraft`` as a program: a coordinator, and a broker beside it.

Owns which of the two an arrived message is for, and the order of a turn and of an end: the broker
closes its session and its logs first, then the coordinator hands over and ends the process.
"""

from __future__ import annotations

from nodes.broker.cluster.membership import MakeSession
from nodes.broker.replicas import Replicas
from nodes.broker.server import BrokerServer, MakeReplicas
from nodes.config import EXIT_STOPPED, NodeConfig
from nodes.coordinator.server import CoordinatorServer
from nodes.kraft.controller import DedicatedController
from nodes.kraft.entries import deltas_in
from nodes.kraft.leadership import Leadership
from nodes.kraft.machine import MetadataMachine
from nodes.kraft.migration import Migrator
from nodes.kraft.share import Share
from nodes.runtime.measures import Outlook, counters, merged
from nodes.storage.disk import Disk
from odradek.coordination.session import CoordinationSession
from transport.driver.calls import response
from transport.driver.ports import LinkId, Origin, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope, Kind
from transport.wire.messages import Message
from transport.wire.messages.cluster import ForgetNodeRequest, HealthRequest, HealthResponse
from transport.wire.messages.migration import MigrateRequest

_JUDGED_BY_QUORUM: frozenset[type[Message]] = frozenset((ForgetNodeRequest,))
"""Both know of it: the broker hears of it by the coordinator, whether it may be."""


class KraftServer:
    """The program of a quorum member's process. ``boot_id`` is the machine's; empty: not known."""

    def __init__(
        self,
        config: NodeConfig,
        disk: Disk,
        boot_id: str = "",
        *,
        make_replicas: MakeReplicas = Replicas,
        make_session: MakeSession = CoordinationSession,
    ) -> None:
        self._config = config
        self.broker: BrokerServer | DedicatedController
        if "broker" in config.endpoints().roles:
            self.broker = BrokerServer(
                config,
                disk,
                boot_id,
                in_quorum=True,
                make_replicas=make_replicas,
                make_session=make_session,
            )
        else:
            self.broker = DedicatedController(config, disk)
        self.leadership = Leadership(self.broker, lambda: self.coordinator, lambda: self._machine)
        self._disk = disk
        self._started = False
        self._broker_ended = False
        self._ending = False

    # Program

    def start(self, ports: Ports, now: Now) -> None:
        """Start both. Raises ConfigError for another's directory, StorageError for damage."""
        self._ports = ports
        self._broker_ports = Share(ports, self._on_broker_exit)
        self.broker.start(self._broker_ports, now)
        self._machine = MetadataMachine(
            self.broker.metadata,
            self.leadership,
            lambda: self.coordinator.tree,
            native=self._config.mode == "kraft",
        )
        self.coordinator = CoordinatorServer(self._config, self._disk, self._machine)
        self.coordinator.start(Share(ports, ports.exit), now)
        self.migrator = Migrator(
            self._config, ports.wire, self.coordinator, self._machine, self.broker.metadata
        )
        self._quorums_own = (
            self.coordinator.handles - self.broker.dispatch.handles | _JUDGED_BY_QUORUM
        )
        self.coordinator.when_forgotten(self.broker.removals.forget)
        self.broker.metadata.in_log = lambda: deltas_in(self.coordinator.machine_entries())
        self.broker.quorum_api.describe_here = self.coordinator.describe_quorum
        self.coordinator.when_current(self.broker.metadata.became_current)
        self.broker.controller.when_current = self.coordinator.when_current
        self._started = True

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Hand a message to the one of the two that knows it."""
        if not isinstance(origin, Origin):
            of_broker = self._broker_ports.owns(origin)
        elif isinstance(envelope.body, HealthRequest) and envelope.kind == Kind.REQUEST:
            self._ports.wire.reply(origin, response(envelope, self._health(now)))
            return
        elif isinstance(envelope.body, MigrateRequest) and envelope.kind == Kind.REQUEST:
            self.migrator.on_request(origin, envelope, now)
            return
        else:
            of_broker = type(envelope.body) not in self._quorums_own
        if not of_broker:
            self.coordinator.on_message(origin, envelope, now)
        elif not self._broker_ended:
            self.broker.on_message(origin, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """Tell the one of the two whose link it is."""
        if not self._broker_ports.owns(link):
            self.coordinator.on_link(link, up, now)
        elif not self._broker_ended:
            self.broker.on_link(link, up, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """This process was away for a while."""
        self.coordinator.on_gap(gap_ms, now)
        self.broker.on_gap(gap_ms, now)

    def end_turn(self, now: Now) -> None:
        """Let the broker decide, then the controller, then the quorum write and sync it all."""
        if not self._broker_ended:
            self.broker.end_turn(now)
        if self._broker_ended and not self._ending:
            self._ending = True
            self.coordinator.stop(now)
        self.leadership.end_turn(now)
        self.migrator.end_turn(now)
        self.coordinator.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the first of the parts wants a turn."""
        return earliest(
            None if self._broker_ended else self.broker.next_deadline_ms(),
            self.leadership.next_deadline_ms(),
            self.migrator.next_deadline_ms(),
            self.coordinator.next_deadline_ms(),
        )

    def stop(self, now: Now) -> None:
        """End in order; asked a second time, without handing over."""
        if self._ending:
            self.coordinator.stop(now)
        else:
            self.broker.stop(now)

    def _on_broker_exit(self, status: int) -> None:
        self._broker_ended = True
        if status != EXIT_STOPPED:
            self._ports.exit(status)

    def check(self) -> None:
        """Assert the invariants of every part."""
        if self._started:
            self.broker.check()
            self.coordinator.check()
            self.leadership.check()

    # State

    def outlook(self, now: Now) -> Outlook:
        """Return the two as one, for whoever looks in from outside."""
        if not self._started:
            return Outlook("starting", False, False, ())
        quorum, broker = self.coordinator.outlook(now), self.broker.outlook(now)
        of_machine = tuple(counters(self._machine.figures))
        measures = merged((*broker.measures, *quorum.measures, *of_machine))
        return Outlook(self._health(now).state, quorum.leader, broker.controller, measures)

    def _health(self, now: Now) -> HealthResponse:
        """Return the two as one: ready when both are."""
        quorum, broker = self.coordinator.health(now), self.broker.health()
        state = quorum.state if broker.state == "ready" else broker.state
        figures = {**broker.figures, **self._machine.figures}
        for name, count in quorum.figures.items():
            figures[name] = figures.get(name, 0) + count
        return HealthResponse(
            broker.error,
            broker.name,
            broker.incarnation,
            state,
            quorum.leader,
            broker.controller,
            broker.leader_count,
            broker.replica_count,
            broker.broker_epoch,
            dict(sorted(figures.items())),
        )
