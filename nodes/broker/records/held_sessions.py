"""Which session a fetch is of: one of a follower, one of a consumer, or none that outlives it.

Pure but for the image. It must not know what a session waits for, nor who answers it.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.broker.context import BrokerContext, Request
from nodes.broker.records.parked_fetch import Lane
from nodes.core.fetch_session.leader import FetchSession, FetchSessions
from transport.driver.ports import Origin
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE
from transport.wire.messages.fetch import FULL_EPOCH, NO_FETCH_SESSION, FetchRequest


class HeldSessions:
    """One of each follower, and one of each consumer's connection that asks for it."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self._of_followers = FetchSessions()
        self._of_consumers = FetchSessions(of_consumers=True)

    def __iter__(self) -> Iterator[FetchSession]:
        yield from self._of_followers
        yield from self._of_consumers

    def find(
        self, request: Request, body: FetchRequest, now: Now
    ) -> tuple[FetchSession | ErrorCode, list[FetchSession]]:
        """Return the session of a fetch, and those that are dropped for it.

        A consumer's is held for the ACLs by which what it names was judged: by others it is named
        anew.  And of what is refused it is told each time, so that it names that each time.
        """
        lane: Lane = body.replica_id
        way: object = (body.broker_epoch, request.origin)
        sessions = self._of_followers
        if body.replica_id == NO_NODE:
            lane, sessions = request.origin, self._of_consumers
            way = self._context.image.acl_changes
            if body.session_id == NO_FETCH_SESSION or request.amend:
                return FetchSession(of_consumer=True), sessions.drop(lane)
        begins = body.session_epoch == FULL_EPOCH
        dropped = sessions.make_room(lane, now.mono_ms) if begins else []
        return sessions.find(body, lane, way, now.mono_ms), dropped

    def drop(self, lane: Lane) -> list[FetchSession]:
        """Hold a reader's session no longer; return it, if there was one."""
        sessions = self._of_consumers if isinstance(lane, Origin) else self._of_followers
        return sessions.drop(lane)
