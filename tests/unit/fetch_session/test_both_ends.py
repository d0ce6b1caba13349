"""Both ends of a fetch session under random changes and losses: they agree whenever it is quiet."""

from __future__ import annotations

from random import Random

import pytest

from nodes.core.fetch_session.follower import Poll
from nodes.core.fetch_session.leader import FetchSession, FetchSessions
from tests.unit.fetch_session.test_follower_session import Following, key_of, part_at
from transport.wire.ids import NodeId, PartitionKey
from transport.wire.messages.fetch import FetchedPartition, FetchRequest

ME = NodeId(2)
WAY = "way"


class Pair:
    """A follower and a leader on one connection."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.following = Following(6)
        self.sessions = FetchSessions()

    def change(self) -> None:
        number = self.random.randrange(8)
        key = key_of(number)
        if key in self.following.parts and self.random.random() < 0.3:
            self.following.drop(number)
        else:
            self.following.move(number, self.random.randrange(3))

    def take(self, poll: Poll) -> FetchSession | None:
        """The leader takes a poll; None: it refuses it."""
        request = FetchRequest(
            0,
            1,
            1,
            poll.named,
            ME,
            session_id=poll.session_id,
            session_epoch=poll.session_epoch,
            forgotten=poll.forgotten,
        )
        if poll.session_epoch == 0:
            self.sessions.make_room(ME, 0)
        session = self.sessions.find(request, ME, WAY, 0)
        if not isinstance(session, FetchSession):
            return None
        for key in poll.forgotten:
            session.leave(key)
        for part in poll.named:
            session.name(part)
        return session

    def answer(self, poll: Poll, session: FetchSession) -> list[PartitionKey]:
        """The leader answers with something about some partitions; return these."""
        some = [key for key in session.parts if self.random.random() < 0.3]
        parts = []
        for key in some:
            frame = 0 if self.random.random() < 0.5 else -1
            parts.append((key, FetchedPartition(key.topic_id, key.partition, 0, frame=frame)))
        session.answered(parts)
        for key, part in parts:
            asked = self.following.session.asked(poll, key)
            if asked is not None and not part.only_ends:
                assert session.parts.get(key) is None, "out on both ends"
                self.following.session.take_out(key)
                if key in self.following.parts and self.random.random() < 0.7:
                    number = key.partition
                    self.following.parts[key] = part_at(number, asked.offset + 1)
        return some

    def round(self) -> None:
        for _ in range(self.random.randrange(3)):
            self.change()
        poll = self.following.poll()
        if poll is None:
            return
        if self.random.random() < 0.1:  # lost on the way there
            self.following.session.failed(poll)
            return
        session = self.take(poll)
        if session is None or self.random.random() < 0.1:  # refused, or lost on the way back
            if session is not None and self.random.random() < 0.5:
                self.sessions.drop(ME)
            self.following.session.failed(poll)
            return
        self.following.session.answered(poll, session.id)
        self.answer(poll, session)
        session.check()


@pytest.mark.parametrize("seed", range(30))
def test_they_agree_after_a_quiet_round(seed: int) -> None:
    pair = Pair(seed)
    for _ in range(40):
        for _ in range(pair.random.randrange(6)):
            pair.round()
        for _ in range(2):  # one may be refused
            poll = pair.following.poll()
            if poll is None:
                break
            session = pair.take(poll)
            if session is None:
                pair.following.session.failed(poll)
                continue
            pair.following.session.answered(poll, session.id)
            assert session.parts == pair.following.parts
