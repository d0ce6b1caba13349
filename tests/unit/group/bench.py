"""A group core with its log, and what tests ask of it: answers by token, time by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

from nodes.core.group import Catalogue, CataloguedTopic, GroupCore, GroupSettings
from nodes.core.shard import Asked, ShardEffects, ShardEvent, ShardRecord, Told
from transport.kernel import TICK, Now
from transport.wire.ids import LeaderEpoch, MemberEpoch, MemberId, Offset, TopicId
from transport.wire.messages import Message
from transport.wire.messages.group_offsets import (
    GroupPartition,
    OffsetCommitRequest,
    OffsetCommitResponse,
    OffsetFetchRequest,
    OffsetFetchResponse,
    OffsetToCommit,
)
from transport.wire.messages.groups import (
    JOIN_EPOCH,
    AssignedTopic,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    OwnedTopic,
)

WALL_MS = 1_700_000_000_000


def topic_id(name: str) -> TopicId:
    return TopicId(name.encode().ljust(16, b"."))


def topic(name: str, partitions: int = 4, born_ms: int = 0) -> CataloguedTopic:
    return CataloguedTopic(topic_id(name), name, partitions, born_ms)


class Bench:
    """One shard."""

    def __init__(self, *topics: CataloguedTopic, **settings: Any) -> None:
        self.settings = GroupSettings(**settings)
        self.mono_ms = 1_000
        self.log: dict[bytes, bytes | None] = {}
        self.written: list[int] = []
        """Records, by batch."""
        self.answers: dict[object, Message] = {}
        self._gathered: list[ShardEvent] | None = None
        self._tokens = count(1)
        self._ids = count(1)
        self.catalogue = Catalogue(topics)
        self.core: GroupCore
        self.crash()

    @property
    def now(self) -> Now:
        return Now(self.mono_ms, WALL_MS + self.mono_ms)

    def crash(self) -> None:
        """Another coordinator takes over, with what compaction has left of the log."""
        self.core = GroupCore(self.settings, lambda: f"id-{next(self._ids)}")
        for key, value in self.log.items():
            self.core.apply(ShardRecord(key, value))
        self.core.loaded(self.now)
        self.tell(*self.catalogue.by_name.values())

    def tell(self, *topics: CataloguedTopic) -> None:
        self.catalogue = Catalogue(topics)
        self._decide(Told(self.catalogue))

    def _decide(self, *events: ShardEvent) -> None:
        """One batch, as the host makes it: what is due by its end is in it."""
        self.written.append(0)
        for event in events:
            self._take(self.core.step(event, self.now))
        due_ms = self.core.next_deadline_ms()
        if due_ms is not None and due_ms <= self.mono_ms:
            self._take(self.core.step(TICK, self.now))

    def _take(self, effects: ShardEffects) -> None:
        self.core.check()
        self.written[-1] += len(effects.append)
        for record in effects.append:
            self.log.pop(record.key, None)
            if record.value is not None:
                self.log[record.key] = record.value
        for answer in effects.reply:
            assert answer.token not in self.answers, "answered twice"
            self.answers[answer.token] = answer.message

    def post(self, body: Message) -> int:
        token = next(self._tokens)
        if self._gathered is None:
            self._decide(Asked(token, body))
        else:
            self._gathered.append(Asked(token, body))
        return token

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Let all that is posted meanwhile make one batch."""
        self._gathered = []
        yield
        gathered, self._gathered = self._gathered, None
        self._decide(*gathered)

    def ask(self, body: Message) -> Any:
        token = self.post(body)
        assert token in self.answers, "it waits"
        return self.answers[token]

    def wait(self, ms: int) -> None:
        """Let time pass, with a tick whenever one is due."""
        end_ms = self.mono_ms + ms
        while (due_ms := self.core.next_deadline_ms()) is not None and due_ms <= end_ms:
            self.mono_ms = max(self.mono_ms, due_ms)
            self._decide()
        self.mono_ms = end_ms

    def commit(self, offsets: dict[tuple[str, int], int], **who: Any) -> OffsetCommitResponse:
        parts = tuple(
            OffsetToCommit(topic_id(name), number, Offset(offset), LeaderEpoch(3), "note")
            for (name, number), offset in offsets.items()
        )
        answer = self.ask(OffsetCommitRequest("g", parts, **who))
        assert isinstance(answer, OffsetCommitResponse)
        return answer

    def committed(self, *wanted: tuple[str, int]) -> list[int]:
        asked = tuple(GroupPartition(topic_id(name), number) for name, number in wanted)
        answer = self.ask(OffsetFetchRequest("g", asked))
        assert isinstance(answer, OffsetFetchResponse)
        return [int(one.offset) for one in answer.offsets]


class Reader:
    """A member of the consumer protocol, as its client is: it lets go before it says so."""

    def __init__(self, bench: Bench, name: str, *topics: str, **how: Any) -> None:
        self.bench = bench
        self.member_id = MemberId(name)
        self.topics = topics
        self.how = how
        self.epoch = MemberEpoch(0)
        self.version = 0
        self.owned: dict[TopicId, tuple[int, ...]] = {}
        self.born_from: dict[TopicId, int] = {}
        self.token: int | None = None
        self.error = 0

    def request(self, **fields: Any) -> ConsumerGroupHeartbeatRequest:
        owned = tuple(OwnedTopic(one, numbers) for one, numbers in self.owned.items())
        given: dict[str, Any] = {
            "member_epoch": self.epoch,
            "assignment_version": self.version,
            "owned": owned,
            "session_timeout_ms": 3_000,
            "rebalance_timeout_ms": 60_000,
            "client_id": "bench",
            **self.how,
            **fields,
        }
        return ConsumerGroupHeartbeatRequest("g", self.member_id, **given)

    def join(self) -> Reader:
        self.epoch, self.version, self.owned = JOIN_EPOCH, 0, {}
        self.token = self.bench.post(self.request(topics=self.topics, owned=()))
        self.take()
        return self

    def beat(self, max_wait_ms: int = 1_000, **fields: Any) -> None:
        """Say that it lives; the answer is taken when it comes."""
        self.token = self.bench.post(self.request(max_wait_ms=max_wait_ms, **fields))
        self.take()

    def leave(self, epoch: int = -1) -> int:
        answer = self.bench.ask(self.request(member_epoch=MemberEpoch(epoch)))
        assert isinstance(answer, ConsumerGroupHeartbeatResponse)
        self.token = None
        return answer.error

    def take(self) -> bool:
        """Take an answer if one has come; True: it said something new."""
        answer = self.bench.answers.get(self.token)
        if answer is None:
            return False
        self.token = None
        assert isinstance(answer, ConsumerGroupHeartbeatResponse)
        self.error = answer.error
        if answer.error:
            return False
        self.epoch, self.version = answer.member_epoch, answer.assignment_version
        if answer.assignment is None:
            return False
        self.owned = {part.topic_id: part.partitions for part in answer.assignment}
        self.born_from = {part.topic_id: part.born_from for part in answer.assignment}
        return True

    def has(self, name: str = "t") -> tuple[int, ...]:
        return self.owned.get(topic_id(name), ())

    def who(self) -> dict[str, Any]:
        return {"member_id": self.member_id, "member_epoch": self.epoch}


def settle(*readers: Reader) -> None:
    """Let all of them take what there is and say so, until nobody hears anything new."""
    for _ in range(50):
        news = [reader.take() for reader in readers]
        for reader in readers:
            if reader.token is None and not reader.error:
                reader.beat()
                news.append(reader.token is None)
        news += [reader.token in reader.bench.answers for reader in readers]
        if not any(news):
            return
    raise AssertionError("it never settles")


def nobody_shares(readers: dict[str, Reader]) -> None:
    """What readers believe to own, those whose time is up left out, is nobody else's."""
    alive = [
        reader
        for reader in readers.values()
        if (group := reader.bench.core.group("g")) and reader.member_id in group.members
    ]
    seen: set[tuple[bytes, int]] = set()
    for reader in alive:
        for one, numbers in reader.owned.items():
            for number in numbers:
                assert (one, number) not in seen, "two members read it"
                seen.add((one, number))


__all__ = ["AssignedTopic", "Bench", "Reader", "nobody_shares", "settle", "topic", "topic_id"]
