"""What the image asks of a broker is done in order, each once, and so much a turn."""

from __future__ import annotations

import pytest

from nodes.broker.partitions.assignments import LOG_COST, ROOM_A_TURN, Assignments, Change
from tests.unit.broker.partition_fleet import PartitionFleet, make_batch
from transport.wire.errors import ErrorCode
from transport.wire.ids import PartitionKey, TopicId

TOPIC = TopicId(b"t" * 16)
LOGS_A_TURN = ROOM_A_TURN // LOG_COST


def keys(count: int, first: int = 0) -> list[PartitionKey]:
    return [PartitionKey(TOPIC, number) for number in range(first, first + count)]


def one(_change: Change) -> int:
    return 1


def begun(change: Change) -> int:
    return LOG_COST


def test_a_turn_takes_so_much_and_the_next_one_goes_on() -> None:
    assignments = Assignments()
    assignments.add(keys(ROOM_A_TURN + 5))
    assert assignments.take(one) == keys(ROOM_A_TURN)
    assert assignments.take(one) == []
    assert assignments
    assignments.begin_turn()
    assert assignments.take(one) == keys(5, ROOM_A_TURN)
    assert not assignments


def test_a_turn_begins_fewer_logs_than_it_changes_roles() -> None:
    assignments = Assignments()
    assignments.add(keys(ROOM_A_TURN))
    assert assignments.take(begun) == keys(LOGS_A_TURN)
    assert assignments.take(begun) == []


def test_what_changes_again_before_its_turn_is_done_once() -> None:
    assignments = Assignments()
    assignments.add(keys(3))
    assignments.add(keys(1, 1))
    assert keys(1, 1)[0] in assignments
    assert assignments.take(one) == keys(3)


def test_who_writes_to_a_partition_does_not_wait_for_its_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = PartitionFleet(seed=1, min_insync_replicas=1)
    fleet.settle()
    topic = fleet.create(partitions=6)
    led = {fleet.leader(PartitionKey(topic.topic_id, number)): number for number in range(6)}
    victim = next(node for node in led if node != fleet.controller())
    key = PartitionKey(topic.topic_id, led[victim])
    fleet.write(key, b"before")
    fleet.wait(lambda: fleet.in_step(key))
    monkeypatch.setattr(Assignments, "take", lambda _self, _cost_of: [])
    fleet.kill(victim)

    def elected() -> bool:
        images = (fleet.server(node).context.image for node in fleet.alive())
        return all(
            image.partitions[key.topic_id][key.partition].leader != victim for image in images
        )

    fleet.wait(elected)
    heir = int(
        fleet.server(fleet.alive()[0]).context.image.partitions[key.topic_id][key.partition].leader
    )
    outcome = fleet.produce(heir, key, make_batch(b"after"), acks=1)
    assert outcome.error == ErrorCode.NONE


def test_a_broker_serves_what_it_has_while_it_takes_over_the_rest() -> None:
    fleet = PartitionFleet(seed=1, min_insync_replicas=2)
    fleet.settle()
    small = fleet.create("small")
    name, leader = "many", fleet.leader(small)
    count = 3 * LOGS_A_TURN
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
    count = 2 * LOGS_A_TURN
    old = fleet.create(partitions=count)
    fleet.write(PartitionKey(old.topic_id, count - 1), b"of the old one")
    fleet.delete()
    new = PartitionKey(fleet.create(partitions=count).topic_id, count - 1)
    assert new.topic_id != old.topic_id
    fleet.write(new, b"of the new one")
    fleet.wait(lambda: fleet.in_step(new))
    assert fleet.logs(new) == [[b"of the new one"]] * 3
