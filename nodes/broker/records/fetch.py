"""Fetch requests of consumers and followers: answered with what there is, or parked until there is.

Owns the parked fetches, by lane (a follower, or a consumer's connection), and who waits for which
partition.  A fetch is looked at once per turn, and then only at those of its partitions that have
moved; those of a follower's session cost nothing while they do not.  What there is to be read is
for ``FetchReads`` to say.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable
from itertools import count

import msgspec

from nodes.broker.context import BrokerContext, Request
from nodes.broker.partitions.replica import Replica
from nodes.broker.quotas import ClientQuotas
from nodes.broker.records.fetch_reads import PARTITIONS_MAX, FetchReads, judge
from nodes.broker.records.held_sessions import HeldSessions
from nodes.broker.records.near_readers import SOON_MS, NearReaders
from nodes.broker.records.parked_fetch import Fetch, Gathered, Lane
from nodes.broker.records.produce import FindReplica
from nodes.core.fetch_session.leader import FetchSession
from nodes.core.partition.events import ReplicaFetched
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NO_NODE, PartitionKey
from transport.wire.messages.fetch import (
    FULL_EPOCH,
    NO_FETCH_SESSION,
    FetchRequest,
    FetchResponse,
)
from transport.wire.messages.quotas import CONSUMER_BYTE_RATE

WAIT_MAX_MS = 30_000
PARKED_MAX = 10_000
"""Of consumers; followers find room whatever these ask for."""
PARKED_PER_CONSUMER_MAX = 8
"""Of one connection: a newer fetch sends the oldest back empty."""
NAMED_MAX = 50_000
"""In one fetch of a consumer."""
NAMED_A_TURN = 2_000
"""Those of larger fetches are taken in one after another, so many a turn."""
SPARE = 64
"""So many fetches that are answered may be kept beside twice those that wait."""
UNHELD_MAX = 200_000
"""In all fetches that wait without a session that outlives them: some 160 MB."""


class Movement(msgspec.Struct, frozen=True):
    """What changed of a replica in this turn."""

    replica: Replica
    end: bool
    """The log's end or its start: followers have more to read, or to take over."""
    committed: bool
    """The high watermark, or the last stable offset: consumers may read more."""
    role: bool
    """Everybody must be judged again."""
    isr: bool
    """A follower outside it may join."""


class Fetches:
    """Answers FetchRequest."""

    def __init__(self, context: BrokerContext, find: FindReplica) -> None:
        self._context = context
        self._find = find
        self._fresh: list[Fetch] = []
        self._arriving: deque[Fetch] = deque()
        """They name more than a turn takes in."""
        self._unheld = 0
        self._parked: dict[Lane, list[Fetch]] = {}
        self._of_session: dict[FetchSession, Fetch] = {}
        """The fetch in which a session waits now."""
        self._sessions = HeldSessions(context)
        self._quotas = ClientQuotas(context, CONSUMER_BYTE_RATE)
        self._by_partition: dict[PartitionKey, dict[FetchSession, None]] = {}
        self._deadlines: list[tuple[int, int, Fetch]] = []
        self._order = count()
        self._near = NearReaders(context)
        self._reads = FetchReads(context, find, self._near, self._wake)
        self.waiting_count = 0
        """How many fetches have no answer yet."""

    # Arrival

    def on_request(self, request: Request, now: Now) -> None:
        """Take a fetch: note a follower's progress now, answer at the end of the turn or later."""
        body = request.envelope.body
        assert isinstance(body, FetchRequest), "by the dispatch table"
        error = self._refusal(body)
        if error is not ErrorCode.NONE:
            self._refuse(request, error)
            return
        is_follower = body.replica_id != NO_NODE
        throttle_ms = 0 if is_follower else self._quotas.wait_ms(request, body.client_id, now)
        self._make_room(request, body)
        session, dropped = self._sessions.find(request, body, now)
        self._end(dropped)
        if isinstance(session, ErrorCode):
            self._refuse(request, session)
            return
        wait_ms = max(0, min(body.max_wait_ms, WAIT_MAX_MS))
        if is_follower and session.is_held and body.session_epoch == FULL_EPOCH:
            wait_ms = 0  # Once it knows that the session is held, the follower names the rest.
        fetch = Fetch(request, body, session, request.due_ms(now, wait_ms))
        fetch.throttle_ms = throttle_ms
        for key in body.forgotten:
            session.leave(key)
        self._unwatch(session, body.forgotten)
        self.waiting_count += 1
        self._unheld += 0 if session.is_held else len(body.partitions)
        self._parked.setdefault(fetch.lane, []).append(fetch)
        self._of_session[session] = fetch
        self._name(fetch, PARTITIONS_MAX if is_follower else NAMED_A_TURN)
        if is_follower:
            if session.unsaid:
                self._hasten(fetch, now)
            for key in session.take_unnoted(now.mono_ms):
                self._note_progress(fetch, key, now)
            if session.again:
                fetch.due_ms = now.mono_ms  # Answered at once, so that the next one comes soon.
        if fetch.is_named:
            self._has_arrived(fetch)
        else:
            self._arriving.append(fetch)

    def _has_arrived(self, fetch: Fetch) -> None:
        """All that it asks for is known."""
        if fetch.throttle_ms:
            self._answer(fetch, Gathered(), fetch.throttle_ms)
        else:
            self._fresh.append(fetch)

    def _refusal(self, body: FetchRequest) -> ErrorCode:
        count = max(len(body.partitions), len(body.forgotten))
        if count > (NAMED_MAX if body.replica_id == NO_NODE else PARTITIONS_MAX):
            return ErrorCode.INVALID_REQUEST
        known = self._context.image.brokers.get(body.replica_id)
        if known is not None and body.broker_epoch < known.epoch:
            return ErrorCode.STALE_BROKER_EPOCH
        if known is not None:
            return ErrorCode.NONE  # One waits of each broker, and nothing is committed without it.
        is_full = self.waiting_count >= PARKED_MAX or self._unheld >= UNHELD_MAX
        return ErrorCode.OVERLOADED if is_full else ErrorCode.NONE

    def _refuse(self, request: Request, error: ErrorCode) -> None:
        self._context.count("fetches_refused")
        self._context.reply(request, FetchResponse(error))

    def _make_room(self, request: Request, body: FetchRequest) -> None:
        """A newer fetch of a session ends the one before: what it names has changed."""
        is_follower = body.replica_id != NO_NODE
        alone = is_follower or body.session_id != NO_FETCH_SESSION
        room = 1 if alone else PARKED_PER_CONSUMER_MAX
        parked = self._parked.get(body.replica_id if is_follower else request.origin, [])
        while len(parked) >= room:
            self._answer(parked[0], Gathered())

    def _name(self, fetch: Fetch, most: int) -> None:
        """Have its session take in what it names, or so much more of it."""
        session, parts = fetch.session, fetch.body.partitions
        fetch.watches = not session.is_held and len(parts) > NAMED_A_TURN
        for part in parts[fetch.named : fetch.named + most]:
            key = session.name(part)
            if session.is_held or fetch.watches:
                self._by_partition.setdefault(key, {})[session] = None
        fetch.named += most

    def _name_some(self) -> None:
        """Go on with the first of those that name very many."""
        if self._arriving:
            fetch = self._arriving[0]
            if not fetch.done:
                self._name(fetch, NAMED_A_TURN)
            if fetch.is_named:
                self._arriving.popleft()
            if fetch.is_named and not fetch.done:
                self._has_arrived(fetch)

    def _note_progress(self, fetch: Fetch, key: PartitionKey, now: Now) -> None:
        """Tell the core how far a follower has come, and again later if it is not in sync."""
        body, part = fetch.body, fetch.session.parts[key]
        fetch.session.unsettled[key] = None
        replica = self._find(key)
        if isinstance(replica, ErrorCode) or replica.core is None:
            return
        verdict = judge(replica, body, part)
        if verdict.error is not ErrorCode.NONE or verdict.diverging is not None:
            return
        known = self._context.image.brokers.get(body.replica_id)
        eligible = known is not None and known.alive and known.epoch == body.broker_epoch
        event = ReplicaFetched(
            body.replica_id,
            body.broker_epoch,
            part.offset,
            part.durable_offset,
            eligible,
            part.log_start_offset,
        )
        replica.step(event, now)
        if replica.core.is_settled(body.replica_id):
            del fetch.session.unsettled[key]

    def drop_session(self, lane: Lane) -> None:
        """Hold a reader's session no longer, if there is one: its next fetch hears of it."""
        self._end(self._sessions.drop(lane))

    def _end(self, dropped: Iterable[FetchSession]) -> None:
        for session in dropped:
            self._unwatch(session, session.parts)
            fetch = self._of_session.get(session)
            if fetch is not None:
                fetch.named = len(fetch.body.partitions)  # Nobody goes on with it.

    def _unwatch(self, session: FetchSession, keys: Iterable[PartitionKey]) -> None:
        for key in keys:
            waiting = self._by_partition.get(key)
            if waiting is not None:
                waiting.pop(session, None)
                if not waiting:
                    del self._by_partition[key]

    # Turns

    def end_turn(self, moved: Iterable[Movement], now: Now) -> None:
        """Answer what came in this turn, what was waited for and is there, and what is due."""
        look_at: dict[Fetch, None] = {}
        for movement in moved:
            for session in self._by_partition.get(movement.replica.key, ()):
                fetch = self._of_session.get(session)
                if self._has_moved(session, movement, fetch, now) and fetch is not None:
                    look_at[fetch] = None
        look_at.update(dict.fromkeys(self._fresh))  # those that come to wait can wait
        self._fresh = []
        while self._deadlines and self._deadlines[0][0] <= now.mono_ms:
            look_at[heapq.heappop(self._deadlines)[2]] = None
        for fetch in look_at:
            if not fetch.done:
                self._look_at(fetch, now)
        self._name_some()
        self._reads.end_turn()

    def _has_moved(
        self, session: FetchSession, movement: Movement, fetch: Fetch | None, now: Now
    ) -> bool:
        """Mark a partition for a reader that waits for it; True: there may be something to tell."""
        key = movement.replica.key
        by_follower = not session.of_consumer
        session.behind[key] = None
        if by_follower:
            if movement.committed and session.told.get(key) != movement.replica.seen.ends:
                session.unsaid = True
                self._hasten(fetch, now)
            if movement.role and fetch is not None:
                # It came before this broker knew that it leads: now it counts.
                self._note_progress(fetch, key, now)
            elif movement.role:
                session.unnoted[key] = None
            elif movement.isr:
                session.again[key] = None
        may_read = movement.end if by_follower else movement.committed
        if movement.role or may_read:
            session.ready[key] = None
        return movement.role or may_read

    def _hasten(self, fetch: Fetch | None, now: Now) -> None:
        """Tell a replica that readers were sent to soon of a commit, if no records do before."""
        soon_ms = now.mono_ms + SOON_MS
        if fetch and fetch.due_ms > soon_ms and self._near.are_at(fetch.body.replica_id, now):
            fetch.due_ms = soon_ms
            if fetch.parked:
                self._remember(soon_ms, fetch)

    def _wake(self, session: FetchSession) -> None:
        """What it waited for has been brought: look at it again, at the end of this turn."""
        waiting = self._of_session.get(session)
        if waiting is not None:
            self._fresh.append(waiting)

    def _look_at(self, fetch: Fetch, now: Now) -> None:
        gathered = self._reads.gather(fetch, now)
        body = fetch.body
        due = fetch.due_ms <= now.mono_ms
        ends = due and gathered.is_whole
        if gathered.urgent or gathered.size_bytes >= max(1, body.min_bytes) or ends:
            if body.whole or self._owes_ends(fetch, gathered, now):
                self._reads.add_ends(fetch, gathered)
                fetch.session.ends_told_ms = now.mono_ms
                fetch.session.unsaid = False
            throttle_ms = self._throttle_ms(fetch, gathered, now)
            if due or throttle_ms or not fetch.stay(gathered):
                self._answer(fetch, gathered, throttle_ms)
            else:
                self._answer_in_part(fetch, gathered)
        elif gathered.is_whole:
            self._park(fetch)
        else:
            self._fresh.append(fetch)  # The next turn looks at others.

    def _throttle_ms(self, fetch: Fetch, gathered: Gathered, now: Now) -> int:
        if fetch.is_follower:
            return 0
        request, client_id = fetch.request, fetch.body.client_id
        return self._quotas.take(request, client_id, gathered.size_bytes, now)

    @staticmethod
    def _owes_ends(fetch: Fetch, gathered: Gathered, now: Now) -> bool:
        """With nothing to read in all that time; to a follower also beside what others write."""
        if fetch.due_ms <= now.mono_ms and not gathered.size_bytes:
            return True
        since_ms = now.mono_ms - fetch.session.ends_told_ms
        return fetch.session.is_held and since_ms >= fetch.body.max_wait_ms

    def _park(self, fetch: Fetch) -> None:
        if not fetch.parked:
            fetch.parked = True
            if not fetch.session.is_held and not fetch.watches:
                fetch.watches = True
                for key in fetch.session.parts:
                    self._by_partition.setdefault(key, {})[fetch.session] = None
            self._remember(fetch.due_ms, fetch)

    def _remember(self, due_ms: int, fetch: Fetch) -> None:
        """Have it looked at then, at the latest."""
        if len(self._deadlines) > SPARE + 2 * self.waiting_count:
            # Those that were answered before their time would be kept until then.
            self._deadlines = [entry for entry in self._deadlines if not entry[2].done]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (due_ms, next(self._order), fetch))

    def next_deadline_ms(self) -> int | None:
        """Return when the next parked fetch is due; at once where some were not looked at yet."""
        if self._fresh or self._arriving:
            return 0
        while self._deadlines and self._deadlines[0][2].done:
            heapq.heappop(self._deadlines)
        return self._deadlines[0][0] if self._deadlines else None

    # Answering

    def _answer_in_part(self, fetch: Fetch, gathered: Gathered) -> None:
        """Give what there is, and go on waiting: one fetch of many records costs each of them less."""
        self._park(fetch)
        told = tuple(gathered.partitions.values())
        body = FetchResponse(ErrorCode.NONE, told, stays=True)
        if not self._context.reply(fetch.request, body, tuple(gathered.frames)):
            self._answer(fetch, Gathered())  # no later one may come where this is missing

    def _answer(self, fetch: Fetch, gathered: Gathered, throttle_ms: int = 0) -> None:
        fetch.done = True
        session = fetch.session
        self.waiting_count -= 1
        self._of_session.pop(session, None)
        lane = self._parked[fetch.lane]
        lane.remove(fetch)
        if not lane:
            del self._parked[fetch.lane]
        told = tuple(gathered.partitions.values())
        body = FetchResponse(ErrorCode.NONE, told, session.id, throttle_ms)
        if not session.is_held:
            self._unheld -= len(fetch.body.partitions)
            if fetch.watches:
                self._unwatch(session, session.parts)
        else:
            self._name(fetch, len(fetch.body.partitions))  # What is left: it is not named again.
            self._unwatch(session, session.answered(gathered.partitions.items()))
        if not self._context.reply(fetch.request, body, tuple(gathered.frames)):
            self.drop_session(fetch.lane)

    def check(self) -> None:
        """Assert the invariants of the sessions, and that whoever waits is known by partition."""
        waiting_now = [fetch for lane in self._parked.values() for fetch in lane]
        consumers = [fetch for fetch in waiting_now if not fetch.is_follower]
        assert len(waiting_now) == self.waiting_count
        assert len(consumers) <= PARKED_MAX, "D7"
        assert self._unheld == _named_without_session(waiting_now)
        assert _named_without_session(consumers) < UNHELD_MAX + NAMED_MAX, "D7"
        for session in self._sessions:
            session.check()
            for key in session.parts:
                assert session in self._by_partition[key], "it hears of its partitions"
        held = set(self._sessions)
        for waiting in self._by_partition.values():
            for session in waiting:
                assert session in held or session in self._of_session, "somebody waits"


def _named_without_session(waiting: list[Fetch]) -> int:
    return sum(len(fetch.body.partitions) for fetch in waiting if not fetch.session.is_held)
