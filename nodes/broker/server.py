"""A broker: the program that composes its parts and hands them what arrives.

Parts, each in its file: membership (session, registration), election (who is controller),
controller (when it is this one), metadata (the image), replicas (partitions), and the APIs.  They
meet here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from nodes.broker.api.acls import AclApi
from nodes.broker.api.administration import PASSED_ON, Administration
from nodes.broker.api.configs import ConfigApi
from nodes.broker.api.log_dirs import LogSizes
from nodes.broker.api.metadata import MetadataApi
from nodes.broker.api.node import Condition, NodeApi
from nodes.broker.api.quorum import QuorumApi
from nodes.broker.api.reassignments import ReassignmentApi
from nodes.broker.api.users import UserApi
from nodes.broker.cluster.controller import Controller
from nodes.broker.cluster.controller_channel import ControllerChannel
from nodes.broker.cluster.departure import Departure
from nodes.broker.cluster.election import Election
from nodes.broker.cluster.heartbeat import Beating
from nodes.broker.cluster.membership import MakeSession, Membership
from nodes.broker.cluster.metadata import ImageFollower, Metadata
from nodes.broker.cluster.peers import Peers
from nodes.broker.cluster.removals import Removals
from nodes.broker.cluster.scripts import Session
from nodes.broker.context import BrokerContext
from nodes.broker.coordinators.groups import GroupCoordinator
from nodes.broker.coordinators.keyed_shards import KeyedShards
from nodes.broker.coordinators.markers import Markers
from nodes.broker.coordinators.producer_ids import ProducerIds
from nodes.broker.coordinators.transactions import Transactions
from nodes.broker.dispatch import Dispatch, Handler
from nodes.broker.kafka.listener import KafkaListener
from nodes.broker.logs.identity import note_boot
from nodes.broker.measures import broker_measures
from nodes.broker.partitions.replica import Replica
from nodes.broker.quotas import QuotaApi
from nodes.broker.records.produce import Verify
from nodes.broker.replicas import OnMoved, Replicas
from nodes.config import EXIT_STOPPED, QUORUM_ROLES, NodeConfig
from nodes.runtime.measures import Outlook
from nodes.runtime.ownership import claim_directory
from nodes.runtime.strangers import Strangers
from nodes.settings import ConfigError
from nodes.storage.disk import Disk
from odradek.coordination.session import CoordinationSession
from transport.driver.calls import Calls
from transport.driver.ports import LinkId, Origin, Ports
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, ControllerEpoch, NodeId, PartitionKey
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import HealthRequest, HealthResponse, Heartbeat, NodeEndpoints
from transport.wire.messages.fetch import FetchRequest, OffsetForLeaderEpochRequest
from transport.wire.messages.metadata import (
    AllocateProducerIdsRequest,
    AlterPartitionRequest,
    FetchImageRequest,
    MetadataDelta,
    ReplicasFailedRequest,
)
from transport.wire.messages.reassignments import ControlledShutdownRequest

if TYPE_CHECKING:
    from nodes.broker.kafka.doorkeeper import Doorkeeper

STOP_MAX_MS = 500
"""A session that cannot be closed by then ends by its time-out."""


class ReplicaPart(ImageFollower, Protocol):
    """What the server uses of :class:`nodes.broker.replicas.Replicas`."""

    @property
    def handlers(self) -> Mapping[type[Message], Handler]:
        """What it answers, at either door."""
        ...

    def lookup(self, key: PartitionKey) -> Replica | ErrorCode:
        """Return the replica hosted here, or why there is none."""
        ...

    def watch(self, topic: str, on_moved: OnMoved) -> None:
        """Tell of every change of a topic's replicas here."""
        ...

    def verify_with(self, verify: Verify) -> None:
        """Ask the coordinators of transactions by this."""
        ...

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take a message of one of its links."""
        ...

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of one of its links."""
        ...

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """Give the others the time that this loop was away."""
        ...

    @property
    def has_moved(self) -> bool:
        """Something has gathered since its turn's end."""
        ...

    def end_turn(self, now: Now) -> None:
        """Do what has gathered; in a turn once more if there is more."""
        ...

    def next_deadline_ms(self) -> int | None:
        """Return when it wants a turn."""
        ...

    def stop(self, now: Now) -> None:
        """Flush, mark clean, close; blocks, and nothing may follow."""
        ...

    def check(self) -> None:
        """Assert its invariants."""
        ...

    def leader_count(self) -> int:
        """Return how many partitions it leads."""
        ...

    def replica_count(self) -> int:
        """Return how many replicas it has."""
        ...

    def log_sizes(self) -> LogSizes:
        """Return what the logs here weigh, by their directories."""
        ...


MakeReplicas = Callable[[BrokerContext, Peers, ControllerChannel], ReplicaPart]


class BrokerServer:
    """The program of a broker's process. ``boot_id`` is the machine's; empty: not known.

    ``in_quorum``: it shares its process with a member of the quorum, whose log has the image.
    """

    def __init__(
        self,
        config: NodeConfig,
        disk: Disk,
        boot_id: str = "",
        *,
        in_quorum: bool = False,
        make_replicas: MakeReplicas = Replicas,
        make_session: MakeSession = CoordinationSession,
    ) -> None:
        self._config = config
        self._disk = disk
        self._boot_id = boot_id
        self._in_quorum = in_quorum
        self._make_replicas = make_replicas
        self._make_session = make_session
        self._started = False
        self._stopping = False
        self._exited = False
        self.context: BrokerContext
        self.kafka: KafkaListener | None = None
        """For Kafka's own clients, where the config has a listener."""
        self.election: Election | None = None
        """In mode ``kraft`` there is none: the quorum's leader is the controller."""
        self._quorum_rules = config.mode == "kraft"
        """Its members are heard: one of them is the controller."""

    # Program

    def start(self, ports: Ports, now: Now) -> None:
        """Claim the data directory, then join.

        Raises ConfigError for another's directory, and for a cluster without a quorum; StorageError
        when no log directory works.
        """
        if not self._config.quorum_members():
            role = QUORUM_ROLES[self._config.mode]
            raise ConfigError(f"nodes: a broker needs at least one {role}; add one")
        claim_directory(self._disk, self._config)
        listens_at = self._config.endpoints().kafka
        if listens_at:
            ports = strangers = Strangers(ports)
        calls, timers = Calls(), Timers()
        calls.attach(ports.wire)
        calls.cluster_id = self._config.cluster_id
        self.context = context = BrokerContext(self._config, ports, self._disk, calls, timers)
        lost = context.directories.examine()
        left = note_boot(self._disk, self._boot_id, logs_lost=lost)
        context.same_boot, context.logs_intact, context.logs_lost = left
        context.directories.settle()
        self._compose(context)
        if listens_at:
            doorkeeper = self._doorkeeper(context) if self._config.sasl else None
            self.kafka = KafkaListener(
                context, strangers, self.dispatch.on_request, doorkeeper, self.dispatch.allows
            )
            self.kafka.start(self._config.bound(listens_at))
        self.peers.start()
        self.membership.start(now)
        self.beating.start(now)
        self._started = True

    def _doorkeeper(self, context: BrokerContext) -> Doorkeeper:
        """Return who asks Kafka's clients for a password; raises KeysError."""
        from nodes.broker.kafka.doorkeeper import Doorkeeper
        from transport.sockets.curve import cluster_secret

        secret = cluster_secret(Path(self._config.keys_dir), "sasl")
        return Doorkeeper(context, secret, lambda: self.metadata.is_known)

    def _compose(self, context: BrokerContext) -> None:
        self.peers = Peers(context)
        self.channel = ControllerChannel(context, self.peers)
        self.replicas = self._make_replicas(context, self.peers, self.channel)
        self.metadata = Metadata(context, self.channel, self.replicas, from_log=self._in_quorum)
        self.metadata.on_brokers = self.peers.meet
        self.keyed_shards = KeyedShards(context, self.channel, self.metadata, self.replicas.watch)
        self.groups = GroupCoordinator(context, self.keyed_shards)
        self.transactions = Transactions(
            context,
            self.peers,
            self.keyed_shards,
            ProducerIds(context, self.channel),
            Markers(context, self.replicas.lookup, self.groups.end_transaction),
        )
        self.groups.verify = self.transactions.verification.verify
        self.replicas.verify_with(self.groups.verify)
        self.controller = Controller(context, self.metadata, on_failed=self._on_failed)
        if self._config.mode == "zookeeper":
            self.election = Election(
                context,
                on_elected=self.controller.elected,
                on_deposed=self.controller.deposed,
                on_controller=self.on_controller,
                on_broker=lambda broker, now: self.peers.meet((broker,), now),
                on_quorum=self._on_quorum,
            )
        self.channel.serve_here(self.controller.ask_here)
        self.membership = Membership(
            context,
            on_registered=self._on_registered,
            on_lost=self._on_session_lost,
            on_members=self._on_members,
            may_register=lambda: self.metadata.is_current,
            make_session=self._make_session,
        )
        self.beating = Beating(
            context,
            session_id=lambda: self.membership.session_id,
            controller_epoch=lambda: self.controller.epoch if self.controller.is_active else None,
        )
        self.dispatch = self._tables(context)

    def _tables(self, context: BrokerContext) -> Dispatch:
        self.quorum_api = QuorumApi(context, self.channel)
        self.removals = Removals(context, self.peers)
        node_api = self._node_api = NodeApi(context, self._condition)
        replicas = self.replicas.handlers
        clients: dict[type[Message], Handler] = {
            **replicas,
            **MetadataApi(context, self.channel, self.metadata).handlers,
            **Administration(context, self.channel, self.metadata).handlers,
            **ConfigApi(context).handlers,
            **AclApi(context).handlers,
            **QuotaApi(context).handlers,
            **UserApi(context).handlers,
            **ReassignmentApi(context).handlers,
            **self.quorum_api.clients,
            **self.transactions.clients,
            **self.keyed_shards.handlers,
            **self.groups.handlers,
            **node_api.handlers,
        }
        from_peers = (FetchRequest, OffsetForLeaderEpochRequest)
        peers: dict[type[Message], Handler] = {
            **{kind: replicas[kind] for kind in from_peers if kind in replicas},
            **self.transactions.peers,
            AlterPartitionRequest: self.controller.on_request,
            ReplicasFailedRequest: self.controller.on_request,
            AllocateProducerIdsRequest: self.controller.on_request,
            **dict.fromkeys(PASSED_ON, self.controller.on_request),
            FetchImageRequest: self.controller.on_fetch_image,
            ControlledShutdownRequest: self.controller.on_request,
            **Departure(context, self.channel, self.metadata).handlers,
            **self.removals.handlers,
            **self.quorum_api.peers,
            HealthRequest: node_api.handlers[HealthRequest],
        }
        events: dict[type[Message], Callable[..., None]] = {
            MetadataDelta: self.metadata.on_delta,
            Heartbeat: self.metadata.on_beat,
        }
        return Dispatch(
            context,
            clients=clients,
            peers=peers,
            events=events,
            knows_acls=lambda: self.metadata.is_known,
        )

    def on_message(self, origin: Origin | LinkId, envelope: Envelope, now: Now) -> None:
        """Hand a request to its handler, an event or answer to whoever waits for it."""
        if isinstance(origin, Origin):
            self.dispatch.on_request(origin, envelope, now)
        elif self.peers.publisher(origin) is not None:
            self.dispatch.on_event(envelope, now)
        elif not (
            self.context.calls.on_message(origin, envelope, now)
            or self.membership.on_message(origin, envelope, now)
            or self.replicas.on_message(origin, envelope, now)
        ):
            self.context.count("late_answers")

    def on_link(self, link: LinkId, up: bool, now: Now) -> None:
        """Tell every part: several may use one link."""
        if not up:
            self.context.calls.on_link_down(link, now)
        self.peers.on_link(link, up, now)
        self.membership.on_link(link, up, now)
        self.replicas.on_link(link, up, now)

    def on_gap(self, gap_ms: int, now: Now) -> None:
        """Give the others the time that this loop was away; our own session gets none."""
        self.context.count("loop_gaps")
        self.context.calls.delay(gap_ms)
        self.replicas.on_gap(gap_ms, now)
        if self.kafka is not None:
            self.kafka.on_gap(gap_ms)
        self.keyed_shards.on_gap(gap_ms)

    def end_turn(self, now: Now) -> None:
        """Send what this turn's messages have brought about, then do what is due.

        Records on their way come first: the turns of several brokers add up to their latency.
        """
        if self.kafka is not None:
            self.kafka.end_turn(now)
        self.replicas.end_turn(now)
        self.context.timers.fire(now)
        self.context.calls.expire(now)
        self.metadata.end_turn(now)
        self.groups.end_turn(now)
        self.keyed_shards.end_turn(now)
        self.transactions.end_turn(now)
        if self.replicas.has_moved:
            self.replicas.end_turn(now)
        if self.election is not None:  # else the quorum's turn ends it
            self.controller.end_turn(now)
        self.membership.end_turn(now)
        if self._stopping and self.membership.closed:
            self._exit(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the first of the parts wants a turn."""
        return earliest(
            self.context.timers.next_deadline_ms(),
            self.context.calls.next_deadline_ms(),
            self.metadata.next_deadline_ms(),
            self.keyed_shards.next_deadline_ms(),
            self.transactions.next_deadline_ms(),
            self.replicas.next_deadline_ms(),
            self.controller.next_deadline_ms(),
            self.membership.next_deadline_ms(),
            None if self.kafka is None else self.kafka.next_deadline_ms(),
        )

    def stop(self, now: Now) -> None:
        """Refuse what is new, close the session so that others take over, flush, exit."""
        if self._stopping:
            return
        self._stopping = True
        self.dispatch.refuse_all = Refusal(ErrorCode.STOPPING, f"{self._config.name} is stopping")
        self.membership.stop(now)
        self.context.timers.after(now, STOP_MAX_MS, self._exit)

    def _exit(self, now: Now) -> None:
        if not self._exited:
            self._exited = True
            self.metadata.stop()
            self.replicas.stop(now)
            self.context.ports.exit(EXIT_STOPPED)

    # State

    def is_ready(self) -> bool:
        """Tell whether this broker serves: registered, and known as such to itself."""
        if not self._started:
            return False
        me = self.context.image.brokers.get(self._config.id)
        return (
            self.membership.is_registered
            and me is not None
            and me.alive
            and me.epoch == self.context.broker_epoch
        )

    def check(self) -> None:
        """Assert the invariants of every part, once they are there."""
        if not self._started:
            return
        self.metadata.check()
        self.controller.check()
        self.replicas.check()
        self.keyed_shards.check()
        if self.kafka is not None:
            self.kafka.check()

    def outlook(self, now: Now) -> Outlook:
        """Return how this broker is, for whoever looks in from outside."""
        if not self._started:
            return Outlook("starting", False, False, ())
        condition = self._condition()
        measures = broker_measures(self.context, condition, self.replicas.log_sizes())
        if self.kafka is not None:
            measures = (*measures, *self.kafka.measures())
        return Outlook(condition.state, False, condition.is_controller, measures)

    def _condition(self) -> Condition:
        state = "ready" if self.is_ready() else "starting"
        return Condition(
            "stopping" if self._stopping else state,
            self.controller.is_active,
            self.replicas.leader_count(),
            self.replicas.replica_count(),
        )

    def health(self) -> HealthResponse:
        """Return what HEALTH shows of this broker."""
        return self._node_api.health()

    # Who the controller is

    def _on_registered(self, session: Session, now: Now) -> None:
        if self.election is not None:
            self.election.begin(session, now)

    def _on_session_lost(self, now: Now) -> None:
        if self.election is not None:
            self.election.lost(now)

    def _on_failed(self, now: Now) -> None:
        if self.election is not None:
            self.election.resign(now)

    def _on_quorum(self, epoch: ControllerEpoch, now: Now) -> None:
        """The cluster has moved to mode ``kraft``: the quorum's heartbeats say who leads it.

        They may have said so already; then a claim that was read late may have hidden it since.
        """
        self._quorum_rules = True
        members = self.context.config.quorum_members()
        self.peers.hear(members)
        known = self.channel.controller in {member.id for member in members}
        if epoch > self.channel.epoch or not known:
            self.on_controller(NO_NODE, epoch, now)

    def _on_members(self, members: Sequence[NodeEndpoints], _now: Now) -> None:
        """Some may have come since this broker's settings were written, and one of them may rule."""
        known = {node.name for node in self.context.config.nodes}
        came = [member for member in members if member.name not in known]
        if came:
            self.context.tell(f"heard of {', '.join(member.name for member in came)}")
            self.context.config = self.context.config.with_members(came)
            if self._quorum_rules:
                self.peers.hear(came)

    def on_controller(self, controller: NodeId, epoch: ControllerEpoch, now: Now) -> None:
        """Another node is the active controller now; −1: none is known."""
        self.channel.learn(controller, epoch, now)
        self.metadata.on_controller(now)
