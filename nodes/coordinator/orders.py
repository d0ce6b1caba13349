"""Orders of people to this coordinator: hand leadership over, change who votes, take a snapshot.

Owns who may give them (whoever knows the cluster's key) and when they are answered: when done.
"""

from __future__ import annotations

import hmac
from functools import partial
from typing import cast

from nodes.coordinator.checkpoints import Checkpoints
from nodes.coordinator.context import CoordinatorContext, Request
from nodes.coordinator.quorum import Quorum
from nodes.core.raft.events import TransferLeadership
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, LogIndex
from transport.wire.messages.ensemble import (
    ChangeVotersRequest,
    ChangeVotersResponse,
    TakeSnapshotRequest,
    TakeSnapshotResponse,
    TransferLeadershipRequest,
    TransferLeadershipResponse,
)

WAITING_MAX = 64
"""Orders at one time; people give few."""
TRANSFER_MAX_MS = 1_000
CHANGE_MAX_MS = 5_000
ALREADY = "it is so already"

_FORBIDDEN = int(ErrorCode.CLUSTER_AUTHORIZATION_FAILED)


class Orders:
    """Orders that are being carried out."""

    def __init__(
        self, context: CoordinatorContext, quorum: Quorum, checkpoints: Checkpoints
    ) -> None:
        self._context = context
        self._quorum = quorum
        self._checkpoints = checkpoints
        self._transfers: list[Request] = []
        self._changes: list[Request] = []
        self._snapshots = 0

    def on_transfer(self, request: Request, now: Now) -> None:
        """Hand over; answered when another leads."""
        body = cast("TransferLeadershipRequest", request.envelope.body)
        quorum = self._quorum
        if not self._may(body.key):
            self._context.reply(request, TransferLeadershipResponse(_FORBIDDEN))
            return
        refusal = ErrorCode.NONE
        if not quorum.leads:
            refusal = ErrorCode.NOT_RAFT_LEADER
        elif body.to != NO_NODE and not quorum.can_hand_over_to(body.to):
            refusal = ErrorCode.INVALID_REQUEST
        elif not quorum.can_hand_over:
            refusal = ErrorCode.NO_QUORUM
        elif len(self._transfers) >= WAITING_MAX:
            refusal = ErrorCode.OVERLOADED
        if refusal is not ErrorCode.NONE:
            answer = TransferLeadershipResponse(int(refusal), "", quorum.leader)
            self._context.reply(request, answer)
            return
        self._transfers.append(request)
        self._context.timers.after(now, TRANSFER_MAX_MS, partial(self._too_slow, request))
        quorum.step(TransferLeadership(None if body.to == NO_NODE else body.to), now)

    def on_change(self, request: Request, now: Now) -> None:
        """Let one more member vote, or one less; answered when that is committed.

        At once, with a text that says so, where it is as ordered: whoever gives the order may have an
        older word of it, and the member itself as well.  That much anybody is told, as who votes is no
        secret (``/zookeeper/config``): the host of a member that does not vote any more goes by it.
        """
        body = cast("ChangeVotersRequest", request.envelope.body)
        quorum = self._quorum
        error, text = ErrorCode.INVALID_REQUEST, ""
        if quorum.leads and self._is_so(body, now):
            error, text = ErrorCode.NONE, ALREADY
        elif not self._may(body.key):
            error = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
        elif not quorum.leads:
            error = ErrorCode.NOT_RAFT_LEADER
        elif len(self._changes) >= WAITING_MAX:
            error = ErrorCode.OVERLOADED
        elif body.node == self._context.id and not body.votes:
            text = "it leads: hand over first"
        else:
            voters = {*quorum.voters, body.node} if body.votes else {*quorum.voters} - {body.node}
            text = quorum.change_voters(tuple(sorted(voters)), now)
            error = ErrorCode.INVALID_REQUEST if text else ErrorCode.NONE
        if error is not ErrorCode.NONE or text:
            told = () if error else quorum.voters
            answer = ChangeVotersResponse(int(error), text, quorum.leader, told)
            self._context.reply(request, answer)
            return
        self._changes.append(request)
        self._context.timers.after(now, CHANGE_MAX_MS, partial(self._change_too_slow, request))

    def _is_so(self, body: ChangeVotersRequest, now: Now) -> bool:
        quorum = self._quorum
        so = (body.node in quorum.voters) == body.votes and quorum.voters_committed
        return so and quorum.hears_leader(now)

    def _change_too_slow(self, request: Request, _: Now) -> None:
        if request in self._changes:
            self._changes.remove(request)
            error = int(ErrorCode.REQUEST_TIMED_OUT)
            self._context.reply(request, ChangeVotersResponse(error, "", self._quorum.leader))

    def end_turn(self) -> None:
        """Answer what is done."""
        quorum = self._quorum
        if self._changes and (quorum.voters_committed or not quorum.leads):
            changes, self._changes = self._changes, []
            # Another leader may have cut the change off the log: only who leads still can tell.
            error = int(ErrorCode.NONE if quorum.leads else ErrorCode.NOT_RAFT_LEADER)
            answer = ChangeVotersResponse(error, "", quorum.leader, quorum.voters)
            for request in changes:
                self._context.reply(request, answer)
        if self._transfers and not quorum.leads and quorum.leader != NO_NODE:
            transfers, self._transfers = self._transfers, []
            for request in transfers:
                self._context.reply(request, TransferLeadershipResponse(0, "", quorum.leader))

    def _too_slow(self, request: Request, _: Now) -> None:
        if request in self._transfers:
            self._transfers.remove(request)
            error = int(ErrorCode.REQUEST_TIMED_OUT)
            answer = TransferLeadershipResponse(error, "", self._quorum.leader)
            self._context.reply(request, answer)

    def on_snapshot(self, request: Request, _: Now) -> None:
        """Take a snapshot; answered when it is durable."""
        body = cast("TakeSnapshotRequest", request.envelope.body)
        if not self._may(body.key):
            self._context.reply(request, TakeSnapshotResponse(_FORBIDDEN))
        elif self._snapshots >= WAITING_MAX:
            self._context.reply(request, TakeSnapshotResponse(int(ErrorCode.OVERLOADED)))
        else:
            self._snapshots += 1
            self._checkpoints.take(partial(self._taken, request))

    def _taken(self, request: Request, last_index: LogIndex) -> None:
        self._snapshots -= 1
        self._context.reply(request, TakeSnapshotResponse(0, "", last_index))

    def _may(self, key: str) -> bool:
        mine = self._context.config.supervisor_key
        return bool(mine) and hmac.compare_digest(key.encode(), mine.encode())
