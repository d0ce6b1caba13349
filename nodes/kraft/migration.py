"""Orders of people: go on to the next stage of a move from mode ``zookeeper`` to ``kraft``.

The leader of the quorum proposes the step, with the image's hash as it has it, and again when the
image has changed meanwhile.  An order is answered when the step is applied here; one whose answer
is lost can be given again.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

import msgspec

from nodes.broker.cluster.metadata import Metadata
from nodes.config import NodeConfig
from nodes.coordinator.server import CoordinatorServer
from nodes.core.migration import Step
from nodes.kraft import mirror
from nodes.kraft.entries import encode
from nodes.kraft.machine import MetadataMachine
from nodes.kraft.store import PROPOSE_AGAIN_MS
from transport.driver.calls import response
from transport.driver.ports import Origin, Wire
from transport.driver.timers import Timers
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.messages.migration import MigrateRequest, MigrateResponse, Stage

ORDER_MAX_MS = 3_000
WAITING_MAX = 64
"""Orders at one time; people give few."""


class _Order(NamedTuple):
    origin: Origin
    envelope: Envelope
    to: Stage
    until_ms: int


class Migrator:
    """Carries orders out while this member leads, and tells anybody how far the move is."""

    def __init__(
        self,
        config: NodeConfig,
        wire: Wire,
        coordinator: CoordinatorServer,
        machine: MetadataMachine,
        metadata: Metadata,
    ) -> None:
        self._config = config
        self._wire = wire
        self._coordinator = coordinator
        self._machine = machine
        self._metadata = metadata
        self._timers = Timers()
        self._orders: list[_Order] = []
        self._proposed = False
        """A step of ours is in the log, and not yet applied here."""
        self._due_ms = 0
        """When to propose it, if it is not."""
        machine.on_step = self._on_step

    def on_request(self, origin: Origin, envelope: Envelope, now: Now) -> None:
        """Take an order; answered when it is done, or why it cannot be."""
        body = envelope.body
        assert isinstance(body, MigrateRequest)
        error, text = self._judge(body)
        if error is not None:
            self._answer(origin, envelope, error, text)
            return
        order = _Order(origin, envelope, Stage(body.to), now.mono_ms + ORDER_MAX_MS)
        self._orders.append(order)
        self._timers.at(order.until_ms, lambda _now: self._too_slow(order))

    def _judge(self, body: MigrateRequest) -> tuple[ErrorCode | None, str]:
        """Return the answer to an order that there is nothing to wait for."""
        migration = self._machine.migration
        mine = self._config.supervisor_key
        if not mine or not hmac.compare_digest(body.key.encode(), mine.encode()):
            return ErrorCode.CLUSTER_AUTHORIZATION_FAILED, ""
        if body.to not in tuple(Stage):
            return ErrorCode.NONE, ""
        if migration.stage is Stage.BEGINNING and self._config.mode == "kraft":
            return ErrorCode.INVALID_REQUEST, "the cluster was made in mode kraft"
        if self._coordinator.reign is None:
            return ErrorCode.NOT_RAFT_LEADER, ""  # what is known here may be an earlier stage
        if body.to == migration.stage:
            return ErrorCode.NONE, ""
        text = migration.why_not(Stage(body.to))
        if text:
            return ErrorCode.INVALID_REQUEST, text
        return (ErrorCode.OVERLOADED, "") if len(self._orders) >= WAITING_MAX else (None, "")

    def _too_slow(self, order: _Order) -> None:
        self._end(order, ErrorCode.REQUEST_TIMED_OUT, "the quorum is busy: try again")

    def _on_step(self, _step: Step, _why_not: str) -> None:
        """A step was applied here, whosever: what still waits is looked at again."""
        self._proposed, self._due_ms = False, 0

    # Turns

    def end_turn(self, now: Now) -> None:
        """Answer what is done, and propose what is next; before the quorum's end of the turn."""
        self._timers.fire(now)
        if not self._orders and not self._proposed:
            return
        if self._coordinator.reign is None:
            self._proposed = False
        for order in tuple(self._orders):
            why_not = self._machine.migration.why_not(order.to)
            if self._machine.migration.stage is order.to:
                self._end(order, ErrorCode.NONE)
            elif self._coordinator.reign is None:
                self._end(order, ErrorCode.NOT_RAFT_LEADER)
            elif why_not:
                self._end(order, ErrorCode.INVALID_REQUEST, why_not)
            elif not self._proposed and self._due_ms <= now.mono_ms:
                self._propose(order, now)

    def _propose(self, order: _Order, now: Now) -> None:
        term, held = self._coordinator.reign, self._machine.held_in_znodes()
        assert term is not None
        migration, text = self._machine.migration, ""
        if order.to is not Stage.FINISHED and held is mirror.NOTHING:
            text = (
                "the znodes of the image cannot be read: see `odradek znode get /metadata_version`"
            )
        elif order.to is Stage.ROLLED_BACK and not self._is_mirrored(held):
            text = "the znodes of the image were changed by hand: finish the migration instead"
        if text:
            self._end(order, ErrorCode.INVALID_REQUEST, text)
            return
        found = held.found()
        base = migration.begins_above(found.controller_epoch, term)
        step = Step(order.to, now.wall_ms, base, found.version, found.digest)
        self._proposed = self._coordinator.propose(encode(step), now)
        self._due_ms = now.mono_ms + PROPOSE_AGAIN_MS  # leadership is being handed over, perhaps

    def _is_mirrored(self, held: mirror.Held) -> bool:
        image = self._metadata.image
        mine = image.position, mirror.digest(tuple(image.records()))
        return mine == (held.position, held.found().digest)

    def _end(self, order: _Order, error: ErrorCode, text: str = "") -> None:
        if order in self._orders:
            self._orders.remove(order)
            self._answer(order.origin, order.envelope, error, text)

    def _answer(self, origin: Origin, envelope: Envelope, error: ErrorCode, text: str) -> None:
        leader, term = self._coordinator.known_reign
        stage, image = self._machine.migration.stage, self._metadata.image
        answer = MigrateResponse(int(error), text, leader, stage)
        if error is not ErrorCode.CLUSTER_AUTHORIZATION_FAILED:  # which costs next to nothing
            held = self._machine.held_in_znodes()
            position, digest = held.position, held.found().digest
            if self._machine.epoch_of(term) is not None:
                position, digest = image.position, mirror.digest(tuple(image.records()))
            answer = msgspec.structs.replace(
                answer,
                controller_epoch=position.controller_epoch,
                version=position.version,
                digest=digest.hex(),
                mirrored=self._is_mirrored(held),
            )
        self._wire.reply(origin, response(envelope, answer))

    def next_deadline_ms(self) -> int | None:
        """Return when an order has waited for long enough, or has to be proposed again."""
        due_ms = self._due_ms if self._orders and not self._proposed else None
        return earliest(due_ms, self._timers.next_deadline_ms())
