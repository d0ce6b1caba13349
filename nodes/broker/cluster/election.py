"""Who the controller is: the race for ``/controller``, and the watch on it.

Owns the knowledge of the claim in the tree.  States, per session: looking → following (somebody
else's claim) or reigning (ours) → looking again when the claim changes or goes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from nodes.broker.cluster import znodes
from nodes.broker.cluster.controller import Mandate
from nodes.broker.cluster.metadata_store import Reign, ZnodeMetadataStore
from nodes.broker.cluster.registrations import Registrations
from nodes.broker.cluster.scripts import Script, Session, play
from nodes.broker.context import BrokerContext
from odradek.coordination.watches import EXISTS
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, BrokerEpoch, ControllerEpoch, NodeId
from transport.wire.messages import Refusal
from transport.wire.messages.coordination import (
    EPHEMERAL,
    Check,
    Create,
    Delete,
    Exists,
    GetData,
    Multi,
    Result,
    SetData,
    WatchEvent,
)
from transport.wire.messages.metadata import BrokerRecord

LOOK_AGAIN_MS = 500
"""After a look that told nothing, and after resigning: somebody else may do better."""


class _Claimed(NamedTuple):
    """Somebody holds the claim."""

    claim: znodes.ControllerClaim
    registered: BrokerRecord | None = None
    """Who that is, if it is another one and registered still."""


def _give_up(epoch_version: int) -> Multi:
    """Return what deletes the claim, if it is still the one that made this version of the epoch."""
    return Multi((Check(znodes.CONTROLLER_EPOCH, epoch_version), Delete(znodes.CONTROLLER)))


class Election:
    """Takes part in the race whenever nobody is controller."""

    def __init__(
        self,
        context: BrokerContext,
        *,
        on_elected: Callable[[Mandate, Now], None],
        on_deposed: Callable[[Now], None],
        on_controller: Callable[[NodeId, ControllerEpoch, Now], None],
        on_broker: Callable[[BrokerRecord, Now], None],
        on_quorum: Callable[[ControllerEpoch, Now], None],
    ) -> None:
        """``on_broker``: told where the controller is before it is asked: settings may not name it,
        and the image that does comes from it. ``on_quorum``: the coordinators' leader is the controller,
        from this epoch on."""
        self._context = context
        self._on_elected = on_elected
        self._on_deposed = on_deposed
        self._on_controller = on_controller
        self._on_broker = on_broker
        self._on_quorum = on_quorum
        self._session: Session | None = None
        self._reign: Reign | None = None
        self._looking = False
        self._watching = False
        self._changed = False
        self._resting = False
        self._ruled_by_quorum = ControllerEpoch(-1)
        """The newest epoch for which the quorum's leader was seen to be the controller.  A move back
        from there writes none below it: what says less was deleted by somebody, and made anew."""

    def begin(self, session: Session, now: Now) -> None:
        """Take part, on a new session under which this broker is registered."""
        assert self._session is None, "lost() first"
        self._session = session
        self._looking = self._watching = self._changed = self._resting = False
        self._look(now)

    def lost(self, now: Now) -> None:
        """The session has ended, and our claim with it."""
        self._session = None
        self._depose(now)

    def resign(self, now: Now) -> None:
        """Give the claim up, if it is still ours; take part again a little later."""
        session, reign = self._session, self._reign
        self._depose(now)
        if session is None or reign is None:
            return
        self._rest(now)
        session.submit([_give_up(reign.epoch_version)], lambda _results, _now: None, now)

    def _depose(self, now: Now) -> None:
        if self._reign is not None:
            self._reign = None
            self._on_deposed(now)

    # Looking

    def _look(self, now: Now) -> None:
        session = self._session
        if session is None or self._resting:
            return
        if self._looking:
            self._changed = True
            return
        self._looking, self._changed = True, False

        def on_end(found: _Claimed | Reign | Refusal | None, now: Now) -> None:
            if session is self._session:
                self._looking = False
                self._on_found(session, found, now)

        play(session, self._script(session), on_end, now)

    def _script(self, session: Session) -> Script[_Claimed | Reign | None]:
        watch = not self._watching
        if watch:
            self._watching = True
            session.watch(
                znodes.CONTROLLER, EXISTS, lambda event, now: self._on_event(session, event, now)
            )
        _, claim, epoch = yield [
            Exists(znodes.CONTROLLER, watch),
            GetData(znodes.CONTROLLER),
            GetData(znodes.CONTROLLER_EPOCH),
        ]
        try:
            if claim.error == ErrorCode.NONE:
                return (yield from self._held(session, claim, epoch))
            if claim.error != ErrorCode.NO_NODE or epoch.stat is None or self._reign is not None:
                return None
            newest = znodes.decode_epoch(epoch.data)
            if znodes.is_of_quorum(epoch.data) or newest < self._ruled_by_quorum:
                # and somebody has deleted its claim
                return _Claimed(znodes.ControllerClaim(NO_NODE, newest))
            reign = Reign(ControllerEpoch(newest + 1), epoch.stat.version + 1)
        except znodes.UnreadableZnode:
            self._context.count("unreadable_claims")
            return None
        mine = znodes.encode_claim(self._context.id, reign.epoch)
        (won,) = yield [
            Multi(
                (
                    Create(znodes.CONTROLLER, mine, EPHEMERAL),
                    SetData(
                        znodes.CONTROLLER_EPOCH,
                        znodes.encode_epoch(reign.epoch),
                        epoch.stat.version,
                    ),
                )
            )
        ]
        return reign if won.error == ErrorCode.NONE else None

    def _held(self, session: Session, found: Result, epoch: Result) -> Script[_Claimed | None]:
        claim, stat = znodes.decode_claim(found.data), found.stat
        by_us = claim.broker == self._context.id
        if not by_us or self._reign is not None or stat is None or epoch.stat is None:
            return (yield from self._claimed(claim))
        of_this_session = stat.ephemeral_owner == session.session_id
        if of_this_session and claim.epoch == znodes.decode_epoch(epoch.data):
            # Its reign ended with a look that told nothing.  No end of a session would end the claim.
            yield [_give_up(epoch.stat.version)]
            return None
        return _Claimed(claim)

    def _claimed(self, claim: znodes.ControllerClaim) -> Script[_Claimed]:
        node = NodeId(claim.broker)
        if node in (NO_NODE, self._context.id):
            return _Claimed(claim)
        (found,) = yield [GetData(znodes.broker_id_path(node))]
        if found.stat is None:
            return _Claimed(claim)
        epoch = BrokerEpoch(found.stat.czxid)
        return _Claimed(claim, znodes.broker_record(node, epoch, found.data))

    def _on_event(self, session: Session, _event: WatchEvent, now: Now) -> None:
        if session is self._session:
            self._watching = False
            self._look(now)

    def _on_found(
        self, session: Session, found: _Claimed | Reign | Refusal | None, now: Now
    ) -> None:
        if isinstance(found, Reign):
            self._reign = found
            self._context.count("elections_won")
            self._context.tell(f"elected controller for controller epoch {found.epoch}")
            self._on_controller(self._context.id, found.epoch, now)
            unreadable = partial(self._context.report, "unreadable_metadata")
            store = ZnodeMetadataStore(session, found, unreadable)
            registry = partial(Registrations, self._context, session)
            self._on_elected(Mandate(found.epoch, store, registry), now)
        elif isinstance(found, _Claimed):
            if found.registered is not None:
                self._on_broker(found.registered, now)
            self._follow(found.claim, now)
        else:
            if isinstance(found, Refusal):
                self._watching = False
            self._depose(now)
            self._context.timers.after(now, LOOK_AGAIN_MS, self._look)
        if self._changed:
            self._look(now)

    def _follow(self, claim: znodes.ControllerClaim, now: Now) -> None:
        ours, epoch = claim.broker == self._context.id, ControllerEpoch(claim.epoch)
        if self._reign is not None and (not ours or claim.epoch != self._reign.epoch):
            self._depose(now)
        if ours and self._reign is None:
            # Of an earlier session of this process, about to end; its end is watched.
            self._on_controller(NO_NODE, epoch, now)
        elif claim.broker == NO_NODE or epoch < self._ruled_by_quorum:
            self._ruled_by_quorum = max(self._ruled_by_quorum, epoch)
            self._on_quorum(self._ruled_by_quorum, now)
        else:
            self._on_controller(NodeId(claim.broker), epoch, now)

    def _rest(self, now: Now) -> None:
        self._resting = True

        def wake(later: Now) -> None:
            self._resting = False
            self._look(later)

        self._context.timers.after(now, LOOK_AGAIN_MS, wake)
