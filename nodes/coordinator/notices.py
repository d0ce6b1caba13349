"""What the supervisor tells of ends: a quorum member's death to the Raft core, a broker's into the log,
and a removal to whoever knew the node.

A notice names the process by name and incarnation, so it cannot end the restarted one, and carries
the proof that it comes from who started the process.  Repeating it does no harm.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable
from typing import cast

from nodes.config import NodeConfig
from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.quorum import Quorum
from nodes.coordinator.writes import Writes
from nodes.core.raft.events import PeerDied
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, Incarnation, NodeName, SessionId
from transport.wire.messages.cluster import (
    DeathNotice,
    DeathNoticeResponse,
    ForgetNodeRequest,
    ForgetNodeResponse,
    death_notice_proof,
    is_proven_removal,
)
from transport.wire.messages.coordination import Owner, ProposedWrite

_logger = logging.getLogger("odradek.notices")


class Notices:
    """Notices that wait for their entry to be applied, and the deaths already acted on."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum, writes: Writes) -> None:
        self._context = context
        self._quorum = quorum
        self._writes = writes
        self._waiting: dict[Owner, list[Request]] = {}
        self._held: dict[NodeName, tuple[Request, DeathNotice]] = {}
        """The newest of each broker, until there is a leader: here, or elsewhere."""
        self.on_forgotten: Callable[[ForgetNodeRequest, Now], None] = _nobody
        """Told of a node that is known no more here."""
        self._dead: dict[NodeName, Incarnation] = {}
        """The latest incarnation of each quorum member whose death was acted on."""

    def on_notice(self, request: Request, now: Now) -> None:
        """Act on a notice: NONE when done, NOT_RAFT_LEADER when another must do it.

        While nobody is known to lead it is kept: the dead process may be who led, and the next leader
        is to know at once.
        """
        notice = cast("DeathNotice", request.envelope.body)
        config = self._context.config
        if not _is_proven(config, notice):
            self._context.count("death_notices_refused")
            self._answer(request, ErrorCode.CLUSTER_AUTHORIZATION_FAILED)
            return
        node = next((node for node in config.nodes if node.name == notice.name), None)
        if node is not None and node.id != notice.node_id:
            self._answer(request, ErrorCode.INVALID_REQUEST)
            return
        if node in config.quorum_members():
            self._on_member(notice, now)
        # Who is not in these settings is a broker that was added: of a member all know by a restart.
        if node is not None and "broker" not in node.roles:
            self._answer(request, ErrorCode.NONE)
        elif self._quorum.leads:
            self._on_broker(request, notice)
        elif self._quorum.leader == NO_NODE:
            before = self._held.pop(notice.name, None)
            self._held[notice.name] = request, notice
            if before is not None:
                self._answer(before[0], ErrorCode.NOT_RAFT_LEADER)
        else:
            self._answer(request, ErrorCode.NOT_RAFT_LEADER)

    def on_removal(self, request: Request, now: Now) -> None:
        """Know a node no more that was removed, once its vote has ended as far as is known here."""
        told = cast("ForgetNodeRequest", request.envelope.body)
        context = self._context
        config, error = context.config, ErrorCode.NONE
        member = any(node.id == told.node_id for node in config.quorum_members())
        if not is_proven_removal(config.supervisor_key, told):
            self._context.count("removals_refused")
            error = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        elif told.name == config.name:
            error = ErrorCode.INVALID_REQUEST
        elif member and not self._quorum.forget(told.node_id, now):
            error = ErrorCode.SERVER_BEHIND
        else:
            context.config = config.without(told.name)
            context.show_voters(self._quorum.voters)
            self.on_forgotten(told, now)
        context.reply(request, ForgetNodeResponse(int(error)))

    def _on_member(self, notice: DeathNotice, now: Now) -> None:
        # Once per process: the restarted one must not be taken for dead by a repetition.
        if notice.name == self._context.config.name:
            return
        if self._dead.get(notice.name, Incarnation(-1)) < notice.incarnation:
            self._dead[notice.name] = notice.incarnation
            _logger.info("%s (incarnation %d) has died", notice.name, notice.incarnation)
            self._quorum.step(PeerDied(notice.node_id), now)

    def _on_broker(self, request: Request, notice: DeathNotice) -> None:
        died = Owner(notice.name, notice.incarnation)
        waiting = self._waiting.setdefault(died, [])
        waiting.append(request)
        if len(waiting) == 1:
            _logger.info("%s (incarnation %d) has died", died.name, died.incarnation)
        # Offered again with each repetition: what was lost before is made good.
        self._writes.submit((ProposedWrite(SessionId(0), 0, died=died),))

    def on_applied(self, died: Owner) -> None:
        """The sessions of this process are ended: say so."""
        for request in self._waiting.pop(died, ()):
            self._answer(request, ErrorCode.NONE)

    def on_leader(self) -> None:
        """Who does not lead any more cannot say whether its entries will be applied; who does begins
        with what it was told before."""
        if self._quorum.leader != NO_NODE:
            held, self._held = self._held, {}
            for request, notice in held.values():
                if self._quorum.leads:
                    self._on_broker(request, notice)
                else:
                    self._answer(request, ErrorCode.NOT_RAFT_LEADER)
        if not self._quorum.leads:
            waiting, self._waiting = self._waiting, {}
            for requests in waiting.values():
                for request in requests:
                    self._answer(request, ErrorCode.NOT_RAFT_LEADER)

    def _answer(self, request: Request, error: ErrorCode) -> None:
        self._context.reply(request, DeathNoticeResponse(int(error)))


def _nobody(_told: ForgetNodeRequest, _now: Now) -> None:
    pass


def _is_proven(config: NodeConfig, notice: DeathNotice) -> bool:
    """Tell whether the sender knows the supervisor's key. Without a key nobody can prove anything."""
    if not config.supervisor_key:
        return False
    proof = death_notice_proof(
        config.supervisor_key, notice.name, notice.node_id, notice.incarnation
    )
    return hmac.compare_digest(proof, notice.proof)
