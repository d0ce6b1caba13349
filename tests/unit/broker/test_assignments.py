"""What the image asks of a broker is done in order, each once, and so much a turn."""

from __future__ import annotations

from nodes.broker.assignments import CHANGES_A_TURN, Assignments
from tests.unit.broker.partition_fleet import PartitionFleet
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey, TopicId

TOPIC = TopicId(b"t" * 16)


def keys(count: int, first: int = 0) -> list[PartitionKey]:
    return [PartitionKey(TOPIC, number) for number in range(first, first + count)]


def test_a_turn_takes_so_much_and_the_next_one_goes_on() -> None:
    assignments = Assignments()
    assignments.add(keys(CHANGES_A_TURN + 5))
    assert assignments.take() == keys(CHANGES_A_TURN)
    assert assignments.take() == []
    assert assignments
    assignments.begin_turn()
    assert assignments.take() == keys(5, CHANGES_A_TURN)
    assert not assignments


def test_what_changes_again_before_its_turn_is_done_once() -> None:
    assignments = Assignments()
    assignments.add(keys(3))
    assignments.add(keys(1, 1))
    assert keys(1, 1)[0] in assignments
    assert assignments.take() == keys(3)


def test_a_broker_serves_what_it_has_while_it_takes_over_the_rest() -> None:
    fleet = PartitionFleet(seed=1, min_insync_replicas=2)
    fleet.settle()
    small = fleet.create("small")
    name, leader = "many", fleet.leader(small)
    count = 3 * CHANGES_A_TURN
    big = fleet.create(name, partitions=count)
    hosted = fleet.hosted(leader)
    last = PartitionKey(big.topic_id, count - 1)
    if hosted.find(last) is None:
        assert hosted.lookup(last) is ErrorCode.UNKNOWN_LEADER_EPOCH
    fleet.write(small, b"meanwhile")
    fleet.write(last, b"soon")
    fleet.wait(lambda: fleet.in_step(last))
    fleet.delete(name)
    fleet.wait(lambda: all(fleet.hosted(number).replica_count() == 1 for number in fleet.alive()))
    fleet.wait(lambda: hosted.leader_count() == 1)
    fleet.wait(lambda: not hosted._assignments)


def test_a_topic_made_anew_waits_for_the_end_of_its_namesake() -> None:
    fleet = PartitionFleet(seed=1, min_insync_replicas=2)
    fleet.settle()
    count = 2 * CHANGES_A_TURN
    old = fleet.create(partitions=count)
    fleet.write(PartitionKey(old.topic_id, count - 1), b"of the old one")
    fleet.delete()
    new = PartitionKey(fleet.create(partitions=count).topic_id, count - 1)
    assert new.topic_id != old.topic_id
    fleet.write(new, b"of the new one")
    fleet.wait(lambda: fleet.in_step(new))
    assert fleet.logs(new) == [[b"of the new one"]] * 3
