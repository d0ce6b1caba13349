"""This broker's session with the coordinators, and its registration under ``/brokers/ids``.

States: opening → registering → registered → (session lost) → opening, for as long as it runs.  A
broker without a session goes on serving what it has; it only counts as dead for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from nodes.broker.cluster import znodes
from nodes.broker.cluster.scripts import Script, Session, play
from nodes.broker.context import BrokerContext
from nodes.broker.logs.identity import settle_loss
from nodes.core.controller.formats import too_old
from nodes.settings import ConfigError
from odradek.coordination.session import CoordinationSession, SessionState
from transport.driver.ports import LinkId
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.errors import ErrorCode
from transport.wire.ids import BrokerEpoch, SessionId
from transport.wire.messages import Refusal
from transport.wire.messages.cluster import NodeEndpoints
from transport.wire.messages.coordination import (
    EPHEMERAL,
    Create,
    Delete,
    GetData,
    Operation,
    Owner,
    Result,
)

REGISTRATION_RETRY_MS = 500
_ATTEMPTS = 5

OnState = Callable[[SessionState, Now], None]


class MakeSession(Protocol):
    """How sessions are made: :class:`CoordinationSession`, or a test's stand-in."""

    def __call__(self, *, timeout_ms: int, owner: Owner | None, on_state: OnState) -> Session:
        """Return a session that is not yet started."""
        ...


class _TooOld(NamedTuple):
    """The cluster holds what this broker cannot read."""

    needed: int


class Membership:
    """Keeps this broker registered."""

    def __init__(
        self,
        context: BrokerContext,
        *,
        on_registered: Callable[[Session, Now], None],
        on_lost: Callable[[Now], None],
        on_members: Callable[[Sequence[NodeEndpoints], Now], None],
        may_register: Callable[[], bool],
        make_session: MakeSession = CoordinationSession,
    ) -> None:
        """``on_members``: told whom the quorum has whenever one of them begins to serve the session.

        ``may_register``: asked until it says so: a broker that is behind is not counted on."""
        self._context = context
        self._on_registered = on_registered
        self._on_lost = on_lost
        self._on_members = on_members
        self._may_register = may_register
        self._make_session = make_session
        self._session: Session | None = None
        self._registering = False
        self._held_back = False
        self._renew = False
        self._stopping = False
        self.closed = False
        """After ``stop``: the session has ended on the server, or it is given up."""

    @property
    def session_id(self) -> SessionId:
        """The session's number, 0 while there is none."""
        return self._session.session_id if self._session is not None else SessionId(0)

    @property
    def is_registered(self) -> bool:
        """True from the registration to the loss of its session."""
        return self._context.broker_epoch != -1

    def start(self, now: Now) -> None:
        """Open a session, then register."""
        config = self._context.config
        self._renew = False
        self._session = session = self._make_session(
            timeout_ms=config.broker.session_timeout_ms,
            owner=Owner(config.name, config.incarnation),
            on_state=lambda state, now: self._on_state(session, state, now),
        )
        endpoints = [node.clients for node in config.quorum_members()]
        session.start(self._context.ports, self._context.calls, endpoints, now)

    def stop(self, now: Now) -> None:
        """Close the session, so that the others learn at once; ``closed`` tells when it is done."""
        self._stopping = True
        if self._session is None:
            self.closed = True
        else:
            self._session.close(now)

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take a message of the session's link."""
        return self._session is not None and self._session.on_message(link, envelope, now)

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of the session's link."""
        return self._session is not None and self._session.on_link(link, up, now)

    def end_turn(self, now: Now) -> None:
        """Send what has gathered; after a loss, open a new session."""
        if not self._context.logs_intact:
            self._settle_loss()
        if self._session is not None:
            if self._held_back:
                self._register(self._session, now)
            self._session.end_turn(now)
        if self._renew and not self._stopping:
            self.start(now)
            if self._session is not None:
                self._session.end_turn(now)

    def next_deadline_ms(self) -> int | None:
        """Return when the session wants a turn."""
        return self._session.next_deadline_ms() if self._session is not None else None

    def _on_state(self, session: Session, state: SessionState, now: Now) -> None:
        if session is not self._session:
            return
        if state is SessionState.CONNECTED:
            self._on_members(session.members, now)
            if not self.is_registered:
                self._register(session, now)
        elif state in (SessionState.LOST, SessionState.CLOSED):
            self._session = None
            self._registering = self._held_back = False
            self._renew = state is SessionState.LOST
            self.closed = self._stopping
            self._context.broker_epoch = BrokerEpoch(-1)
            if self._renew:
                self._context.report("sessions_lost", "the session is lost: opening another")
            self._on_lost(now)

    # Registration

    def _register(self, session: Session, now: Now) -> None:
        if self._registering or session is not self._session or self._stopping:
            return
        self._held_back = not self._may_register()
        if self._held_back:
            return
        self._registering = True

        def on_end(found: BrokerEpoch | _TooOld | Refusal | None, now: Now) -> None:
            if session is self._session:
                self._on_end(session, found, now)

        play(session, self._script(), on_end, now)

    def _script(self) -> Script[BrokerEpoch | _TooOld | None]:
        config = self._context.config
        path = znodes.broker_id_path(config.id)
        intact, lost = self._context.logs_intact, self._context.logs_lost
        formats = self._context.formats
        data = znodes.encode_registration(
            config.endpoints(), config.incarnation, intact=intact, lost=lost, formats=formats
        )
        create = Create(path, data, EPHEMERAL)
        operations: list[Operation] = [
            Create(root, first) for root, first in znodes.roots(config.mode)
        ]
        if config.mode == "zookeeper":
            *_, held = yield [*operations, GetData(znodes.METADATA_VERSION)]
            try:
                needed = znodes.decode_formats(held.data)
            except znodes.UnreadableZnode:
                return None
            if needed > formats:
                return _TooOld(needed)
            operations = []
        for _ in range(_ATTEMPTS):
            *_, made = yield [*operations, create]
            operations = []
            if made.error == ErrorCode.NONE:
                return BrokerEpoch(made.zxid)
            if made.error != ErrorCode.NODE_EXISTS:
                return None
            (found,) = yield [GetData(path)]
            if found.stat is not None:
                if not self._is_our_past(found):
                    return None
                operations = [Delete(path, found.stat.version)]
        return None

    def _is_our_past(self, found: Result) -> bool:
        """Tell whether a registration is of an earlier session of this very node.

        Opening our session has ended those of earlier incarnations; what is left over here can only
        be of a session of this process that the ensemble has not ended yet.
        """
        try:
            told = znodes.decode_registration(found.data)
        except znodes.UnreadableZnode:
            return False
        config = self._context.config
        return told.name == config.name and told.incarnation <= config.incarnation

    def _on_end(
        self, session: Session, epoch: BrokerEpoch | _TooOld | Refusal | None, now: Now
    ) -> None:
        self._registering = False
        if isinstance(epoch, _TooOld):
            name, formats = self._context.config.name, self._context.formats
            raise ConfigError(too_old(name, formats, epoch.needed))
        if epoch is None or isinstance(epoch, Refusal):
            self._context.count("registrations_refused")
            self._context.timers.after(
                now, REGISTRATION_RETRY_MS, lambda later: self._register(session, later)
            )
            return
        self._context.broker_epoch = epoch
        self._context.tell(f"registered under broker epoch {epoch}")
        self._on_registered(session, now)

    def _settle_loss(self) -> None:
        """Once the image has this process in it, the controller knows what it may have lost."""
        context = self._context
        known = context.image.brokers.get(context.id)
        if known is not None and known.incarnation == context.config.incarnation:
            context.logs_intact, context.logs_lost = True, False
            settle_loss(context.disk)
