"""What it costs to have the markers of a transaction written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nodes.broker.coordinators.marker_sender import Decision, MarkerSender
from nodes.core.transaction.events import WriteMarkers
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages.transactions import TransactionPartition, WriteTxnMarkersResponse

TOPIC = TopicId(b"t" * 16)
ME = NodeId(1)
NOW = Now(0, 0)


class Counted(TransactionPartition, frozen=True):
    """A partition that counts how often somebody looks it up."""

    looked_up = 0

    def __hash__(self) -> int:
        Counted.looked_up += 1
        return hash((self.topic_id, self.partition))


def test_a_marker_costs_as_much_in_a_large_transaction_as_in_a_small_one() -> None:
    """Not once as much for each other partition: ten thousand held the broker up for minutes."""
    partitions = tuple(Counted(TOPIC, number) for number in range(600))
    led_here = SimpleNamespace(leader=ME)
    image = SimpleNamespace(
        topics={TOPIC}, partition=lambda _key: led_here, is_alive=lambda _node: True
    )
    context: Any = SimpleNamespace(id=ME, image=image)
    written: list[tuple[TransactionPartition, ...]] = []

    def write(markers: tuple[Any, ...], on_written: Any, now: Now) -> None:
        on_written(((int(ErrorCode.NONE),),) * len(markers), now)

    peers: Any = None
    here: Any = SimpleNamespace(write=write)
    sender = MarkerSender(
        context,
        peers,
        here,
        on_written=lambda _decision, fact: written.append(fact.partitions),
        coordinates=lambda _decision: True,
    )
    order = WriteMarkers("id", ProducerId(7), ProducerEpoch(1), True, partitions)
    Counted.looked_up = 0
    sender.add(Decision(0, LeaderEpoch(1), order))
    for _ in range(2):
        sender.end_turn(NOW)
    assert [len(some) for some in written] == [500, 100]
    assert Counted.looked_up <= 10 * len(partitions)


class Cluster:
    """As a sender sees it: who leads everything and who is alive; and what it has sent, and to whom."""

    def __init__(self) -> None:
        self.topics = {TOPIC}
        self.leader = NodeId(2)
        self.lost: set[NodeId] = set()
        self.looked_up = 0
        self.sent: list[tuple[NodeId, int]] = []
        self.answer: list[Any] = []
        context: Any = SimpleNamespace(
            id=ME, image=self, ask=self._ask, timers=SimpleNamespace(after=lambda *_how: None)
        )
        peers: Any = SimpleNamespace(link=lambda node: node)
        here: Any = None
        self.written: list[int] = []
        self.sender = MarkerSender(
            context,
            peers,
            here,
            on_written=lambda _decision, fact: self.written.append(len(fact.partitions)),
            coordinates=lambda _decision: True,
        )

    def _ask(self, link: NodeId, request: Any, on_answer: Any, _now: Now) -> bool:
        self.sent.append((link, len(request.markers)))
        self.answer.append(on_answer)
        return True

    def partition(self, _key: Any) -> Any:
        self.looked_up += 1
        return SimpleNamespace(leader=self.leader)

    def is_alive(self, node: NodeId) -> bool:
        return node not in self.lost

    def end(self, count: int) -> None:
        parts = tuple(TransactionPartition(TOPIC, number) for number in range(count))
        order = WriteMarkers("id", ProducerId(7), ProducerEpoch(1), True, parts)
        self.sender.add(Decision(0, LeaderEpoch(1), order))
        self.sender.end_turn(NOW)


def test_what_waits_for_a_leader_that_does_not_answer_costs_nothing() -> None:
    """Each turn of the broker had looked all of it up again: of ten thousand, for a tenth of a second."""
    cluster = Cluster()
    cluster.end(1_200)
    looked_up = cluster.looked_up
    for _ in range(100):
        assert not cluster.sender.has_news
        cluster.sender.end_turn(NOW)
    assert (cluster.sent, cluster.looked_up) == ([(2, 500)], looked_up)
    cluster.answer[0](WriteTxnMarkersResponse(0, ((0,),) * 500), (), NOW)
    assert cluster.sender.has_news, "the next ones can go"
    cluster.sender.end_turn(NOW)
    assert (cluster.sent, cluster.written) == ([(2, 500), (2, 500)], [500])


def test_what_waits_for_a_leader_that_is_lost_goes_to_its_successor() -> None:
    cluster = Cluster()
    cluster.end(700)
    cluster.lost, cluster.leader = {cluster.leader}, NodeId(3)
    cluster.sender.end_turn(NOW)
    assert cluster.sent == [(2, 500), (3, 200)]
    cluster.end(600)
    cluster.answer[1](WriteTxnMarkersResponse(0, ((0,),) * 200), (), NOW)
    cluster.sender.end_turn(NOW)
    assert cluster.sent == [(2, 500), (3, 200), (3, 500)]


def test_a_partition_that_another_leads_by_its_turn_is_not_asked_of_the_one_before() -> None:
    cluster = Cluster()
    cluster.end(700)
    cluster.leader = NodeId(3)
    cluster.sender.end_turn(NOW)
    assert cluster.sent == [(2, 500)], "it is not lost, and not looked at before it has answered"
    cluster.answer[0](WriteTxnMarkersResponse(0, ((0,),) * 500), (), NOW)
    for _ in range(2):
        cluster.sender.end_turn(NOW)
    assert cluster.sent == [(2, 500), (3, 200)]
    assert not cluster.sender.has_news
