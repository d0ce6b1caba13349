"""What it costs to have the markers of a transaction written."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from nodes.broker.coordinators.marker_sender import Decision, MarkerSender
from nodes.core.transaction.events import WriteMarkers
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import LeaderEpoch, NodeId, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages.transactions import TransactionPartition

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
    image = SimpleNamespace(topics={TOPIC}, partition=lambda _key: led_here)
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
