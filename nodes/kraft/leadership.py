"""The quorum's leader is the active controller: its term is the controller epoch.

In a cluster that was moved from mode ``zookeeper`` the epochs begin above those it had there, and
nobody reigns here while the znodes hold the image.

Level, not edge: at the end of each turn the controller's state is made to follow the quorum's.  A
leader reigns from the moment that everything of earlier terms is applied here; a member that does
not lead, or leads in a later term, has been deposed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nodes.broker.cluster.controller import Controller, Mandate
from nodes.broker.cluster.heartbeat import Beating
from nodes.broker.cluster.registrations import OnLive
from nodes.coordinator.server import CoordinatorServer
from nodes.kraft.entries import Mirrored, encode
from nodes.kraft.machine import MetadataMachine
from nodes.kraft.registry import TreeRegistry
from nodes.kraft.store import QuorumMetadataStore
from transport.kernel import Now
from transport.wire.ids import NO_NODE, ControllerEpoch, NodeId
from transport.wire.messages.metadata import MetadataDelta
from transport.wire.messages.migration import Stage


class Ruled(Protocol):
    """The broker, or dedicated controller, beside the member of the quorum."""

    @property
    def controller(self) -> Controller:
        """Its controller."""
        ...

    @property
    def beating(self) -> Beating:
        """Its heartbeats."""
        ...

    def on_controller(self, controller: NodeId, epoch: ControllerEpoch, now: Now) -> None:
        """Another node is the active controller now."""
        ...


class Leadership:
    """Makes this member's controller reign, and end its reign."""

    def __init__(
        self,
        ruled: Ruled,
        coordinator: Callable[[], CoordinatorServer],
        machine: Callable[[], MetadataMachine],
    ) -> None:
        self._ruled = ruled
        self._coordinator = coordinator
        self._machine = machine
        self._epoch: ControllerEpoch | None = None
        self._store: QuorumMetadataStore | None = None
        self._registry: TreeRegistry | None = None
        self._expected = False
        """The controller has been told that it is to reign in a moment."""
        self._look = False
        """Brokers have come or gone."""
        self._known = (NO_NODE, ControllerEpoch(0))

    # Told while entries are applied

    @property
    def epoch(self) -> ControllerEpoch:
        """The controller epoch of this member's reign; −1 outside one."""
        return self._ruled.controller.epoch

    def on_applied(self, delta: MetadataDelta, taken: bool, now: Now) -> None:
        """A delta had its turn: perhaps it is the one that this controller waits for."""
        if self._store is not None:
            self._store.on_applied(delta, taken, now)

    def on_registrations(self) -> None:
        """Brokers have come or gone."""
        self._look = True

    # Turns

    def end_turn(self, now: Now) -> None:
        """Follow the quorum; comes before the quorum's own end of the turn.

        In the turn in which a reign begins nothing is decided yet: what has arrived meanwhile is
        read first, and comes before the sweep of a takeover.
        """
        coordinator, controller = self._coordinator(), self._ruled.controller
        self._learn(coordinator, now)
        term = coordinator.reign
        epoch = None if term is None else self._machine().epoch_of(term)
        if self._epoch is not None and (epoch != self._epoch or not controller.is_active):
            self._depose(now)
        if self._epoch is None and epoch is not None:
            self._begin(coordinator, epoch, now)
        elif self._epoch is None:
            self._expect(coordinator, now)
        else:
            self._decide(controller, now)

    def _decide(self, controller: Controller, now: Now) -> None:
        if self._look and self._registry is not None:
            self._look = False
            self._registry.look(now)
        controller.end_turn(now)
        if self._store is not None:
            self._store.flush(self._propose, now)

    def _learn(self, coordinator: CoordinatorServer, now: Now) -> None:
        leader, term = coordinator.known_reign
        epoch = self._machine().epoch_of(term)
        if epoch is not None and (leader, epoch) != self._known:
            self._known = (leader, epoch)
            self._ruled.on_controller(leader, epoch, now)

    def _expect(self, coordinator: CoordinatorServer, now: Now) -> None:
        """Let what is asked wait, while this member leads and has yet to apply what it found."""
        _, term = coordinator.known_reign
        expected = coordinator.leads and self._machine().epoch_of(term) is not None
        if expected != self._expected:
            self._expected = expected
            if expected:
                self._ruled.controller.expect()
            else:
                self._ruled.controller.deposed(now)

    def _depose(self, now: Now) -> None:
        self._epoch = self._store = self._registry = None
        self._ruled.controller.deposed(now)

    def _begin(self, coordinator: CoordinatorServer, epoch: ControllerEpoch, now: Now) -> None:
        self._epoch, self._store, self._look = epoch, QuorumMetadataStore(), False
        self._expected = False

        def make_registry(on_live: OnLive) -> TreeRegistry:
            self._registry = registry = TreeRegistry(coordinator.tree, on_live)
            return registry

        mandate = Mandate(epoch, self._store, make_registry)
        self._ruled.controller.elected(mandate, now)
        self._ruled.beating.beat()  # brokers outside the quorum know it from beats

    def _propose(self, delta: MetadataDelta, now: Now) -> bool:
        mirrors = self._machine().migration.stage is Stage.MIRRORING
        entry = Mirrored(now.wall_ms, delta) if mirrors else delta
        return self._coordinator().propose(encode(entry), now)

    def next_deadline_ms(self) -> int | None:
        """Return when there is something to propose."""
        return None if self._store is None else self._store.next_deadline_ms()

    def check(self) -> None:
        """Assert that one who reigns leads, under the epoch of its term."""
        epoch = -1 if self._epoch is None else int(self._epoch)
        assert self.epoch in (-1, epoch), "a reign of another term"
