"""The active controller's shell: core, store and liveness, from election to resignation.

States: inactive → expected (to be elected, as far as is known here; not in mode ``zookeeper``) →
loading (elected; the image is read) → active (the core decides) → inactive.  Requests that come before
it is active wait for the core; all that wait at the end are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple, Protocol

from nodes.broker.cluster.metadata import Metadata
from nodes.broker.cluster.metadata_store import Loaded, MetadataStore
from nodes.broker.cluster.registrations import OnLive
from nodes.broker.context import BrokerContext, Request
from nodes.core.controller.core import ControllerCore, ControllerEffects
from nodes.core.controller.events import (
    Asked,
    BalanceDue,
    Committed,
    ControllerEvent,
    ControllerSettings,
    LiveBrokers,
    Resigned,
)
from transport.driver.calls import OnAnswer
from transport.kernel import TICK, Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import ControllerEpoch, TopicId
from transport.wire.messages import Message, Refusal
from transport.wire.messages.metadata import BrokerRecord, FetchImageRequest, MetadataDelta

EARLY_MAX = 1_000
TOPIC_ID_BYTES = 16
REQUEST_MAX_MS = 60_000
"""Nobody waits longer for the controller."""

WhenCurrent = Callable[[Callable[[Now], None]], None]
"""Calls back once all is applied here that was committed before, as the quorum says (ReadIndex)."""
Tell = Callable[[Message, Now], None]
"""The way back to whoever asked; the token of the core's answers."""


class Registry(Protocol):
    """Who is registered: said as the whole list, at the start and after each change."""

    def start(self, now: Now) -> None:
        """Say the list, and go on."""
        ...

    def stop(self) -> None:
        """Say nothing any more."""
        ...


class Mandate(NamedTuple):
    """What a broker that was made controller reigns by: the two places where the modes differ."""

    epoch: ControllerEpoch
    store: MetadataStore
    make_registry: Callable[[OnLive], Registry]


class ControllerState(Enum):
    """inactive → (expected →) loading → active → inactive."""

    INACTIVE = "inactive"
    EXPECTED = "expected"
    LOADING = "loading"
    ACTIVE = "active"


class Controller:
    """Is the controller while the election says so."""

    def __init__(
        self, context: BrokerContext, metadata: Metadata, *, on_failed: Callable[[Now], None]
    ) -> None:
        """``on_failed``: the store refused us; the election must give the claim up."""
        self._context = context
        self._metadata = metadata
        self._on_failed = on_failed
        self._state = ControllerState.INACTIVE
        self._core: ControllerCore | None = None
        self._store: MetadataStore | None = None
        self._registry: Registry | None = None
        self._mandate: Mandate | None = None
        self._early: list[Asked] = []
        self.when_current: WhenCurrent | None = None
        """Of a member of the quorum; elsewhere None."""
        self._beginners: list[Request] = []
        """Brokers that ask what the present is."""

    @property
    def is_active(self) -> bool:
        """True from the first decision to the resignation."""
        return self._state is ControllerState.ACTIVE

    @property
    def epoch(self) -> ControllerEpoch:
        """The controller epoch of the present reign; −1 outside one."""
        return ControllerEpoch(-1) if self._mandate is None else self._mandate.epoch

    # Beginning and end

    def expect(self) -> None:
        """Keep what is asked from now on: :meth:`elected` or :meth:`deposed` comes next."""
        if self._state is ControllerState.INACTIVE:
            self._state = ControllerState.EXPECTED

    def elected(self, mandate: Mandate, now: Now) -> None:
        """Begin to reign: read the image, then who is alive, then decide."""
        assert self._state in (ControllerState.INACTIVE, ControllerState.EXPECTED)
        self._state = ControllerState.LOADING
        self._mandate, self._store = mandate, mandate.store

        def on_loaded(loaded: Loaded | None, now: Now) -> None:
            if mandate is self._mandate:
                self._on_loaded(mandate, loaded, now)

        mandate.store.load(self._context.image, on_loaded, now)

    def _on_loaded(self, mandate: Mandate, loaded: Loaded | None, now: Now) -> None:
        if loaded is None:
            self._fail(now)
            return
        if loaded.records is not None:
            self._metadata.install(loaded.position, loaded.records, now)
        broker = self._context.config.broker
        settings = ControllerSettings(
            num_partitions=broker.num_partitions,
            default_replication_factor=broker.default_replication_factor,
            producer_id_block=broker.producer_id_block,
            min_insync_replicas=broker.min_insync_replicas,
            offsets_topic_replication_factor=broker.offsets_topic_replication_factor,
            transaction_state_replication_factor=broker.transaction_state_replication_factor,
            piece_records=broker.controller_piece_records,
        )
        self._core = ControllerCore(
            self._context.image, mandate.epoch, settings, self._new_topic_id
        )
        self._registry = mandate.make_registry(self._on_live)
        self._registry.start(now)
        self._balance_later(self._core, now)

    def _balance_later(self, core: ControllerCore, now: Now) -> None:
        """Look in a while, and then again, for as long as this core reigns."""
        interval_ms = self._context.config.broker.leader_balance_interval_ms

        def due(now: Now) -> None:
            if core is self._core:
                if self.is_active:
                    self._step(BalanceDue(), now)
                self._balance_later(core, now)

        self._context.timers.after(now, interval_ms, due)

    def _new_topic_id(self) -> TopicId:
        return TopicId(self._context.ports.random.randbytes(TOPIC_ID_BYTES))

    def _on_live(self, registered: tuple[BrokerRecord, ...], now: Now) -> None:
        takeover = self._state is ControllerState.LOADING
        self._state = ControllerState.ACTIVE
        early, self._early = self._early, []
        for asked in early:
            self._step(asked, now)
        self._step(LiveBrokers(registered, takeover), now)

    def deposed(self, now: Now) -> None:
        """End the reign: refuse all that wait. What is in flight is in doubt."""
        core, early = self._core, self._early
        if self._registry is not None:
            self._registry.stop()
        self._core = self._store = self._registry = self._mandate = None
        self._early = []
        self._state = ControllerState.INACTIVE
        for asked in early:
            self._tell(asked.token, _not_controller(), now)
        beginners, self._beginners = self._beginners, []
        for request in beginners:
            self._context.reply(request, _not_controller())
        if core is not None:
            for answer in core.step(Resigned(), now).reply:
                self._tell(answer.token, answer.message, now)

    # Turns

    def end_turn(self, now: Now) -> None:
        """Decide upon what has gathered."""
        if self.next_deadline_ms() is not None:
            self._step(TICK, now)

    def next_deadline_ms(self) -> int | None:
        """Return when there is something to decide upon."""
        return None if self._core is None else self._core.next_deadline_ms()

    def _fail(self, now: Now) -> None:
        self._context.report("controller_failures", "a commit failed: no longer controller")
        self.deposed(now)
        self._on_failed(now)

    # Requests

    def on_request(self, request: Request, now: Now) -> None:
        """Take a request of another broker, by the peers' door."""
        due_ms = request.due_ms(now, REQUEST_MAX_MS)

        def tell(body: Message, _now: Now) -> None:
            self._context.reply(request, body)

        self._take(Asked(request.envelope.body, tell, due_ms), now)

    def on_fetch_image(self, request: Request, now: Now) -> None:
        """Answer what came after a version, if this is the controller, or its own is asked for.

        Whoever has nothing will act on it as on the present: it is told once the quorum says so, for a
        leader may have been replaced, and not know it.
        """
        body = request.envelope.body
        assert isinstance(body, FetchImageRequest)
        when_current = None if body.own or body.from_version > 0 else self.when_current
        if not (self.is_active or body.own):
            self._context.reply(request, _not_controller())
        elif when_current is None:
            self._metadata.answer_image(request, now)
        elif len(self._beginners) < EARLY_MAX:
            self._beginners.append(request)
            when_current(lambda later: self._tell_beginner(request, later))
        else:
            self._context.reply(request, _not_controller())

    def _tell_beginner(self, request: Request, now: Now) -> None:
        if request in self._beginners:
            self._beginners.remove(request)
            self._metadata.answer_image(request, now)

    def ask_here(self, body: Message, on_answer: OnAnswer, due_ms: int, now: Now) -> None:
        """Take a request of this very broker, for whose answer nobody waits after ``due_ms``."""

        def tell(answer: Message, now: Now) -> None:
            on_answer(answer, (), now)

        self._take(Asked(body, tell, due_ms), now)

    def _take(self, asked: Asked, now: Now) -> None:
        if self._state is ControllerState.ACTIVE:
            self._step(asked, now)
        elif self._state is not ControllerState.INACTIVE and len(self._early) < EARLY_MAX:
            self._early.append(asked)
        else:
            self._tell(asked.token, _not_controller(), now)

    # Effects

    def _step(self, event: ControllerEvent, now: Now) -> None:
        if self._core is None:
            if isinstance(event, Asked):
                self._tell(event.token, _not_controller(), now)
            return
        effects = self._core.step(event, now)
        self._carry_out(effects, now)

    def _carry_out(self, effects: ControllerEffects, now: Now) -> None:
        """Apply and spread what is committed, then answer, then order the next commit."""
        for delta in effects.publish:
            if isinstance(delta, MetadataDelta):
                self._metadata.take(delta, now)
        for answer in effects.reply:
            self._tell(answer.token, answer.message, now)
        for delta in effects.append:
            self._commit(delta, now)

    def _commit(self, delta: MetadataDelta, now: Now) -> None:
        store = self._store
        if store is None:
            return
        if self._context.image.position.version != delta.version - 1:
            # A later controller has already changed what we decide upon: we were away for long.
            self._fail(now)
            return
        self._context.count("metadata_commits")

        def on_committed(done: bool, now: Now) -> None:
            if store is not self._store:
                return
            if done:
                self._step(Committed(delta.version), now)
            else:
                self._fail(now)

        store.commit(self._context.image, delta, on_committed, now)

    def _tell(self, token: object, message: Message, now: Now) -> None:
        assert callable(token)
        token(message, now)

    def check(self) -> None:
        """Assert the core's invariants."""
        if self._core is not None:
            self._core.check()


def _not_controller() -> Refusal:
    return Refusal(ErrorCode.NOT_CONTROLLER, "this broker is not the active controller")
