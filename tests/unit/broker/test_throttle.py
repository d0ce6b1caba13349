"""Bytes per second, kept over time; and a move that keeps to them."""

from __future__ import annotations

from nodes.core.throttle import Throttle
from tests.unit.broker.partition_fleet import PartitionFleet
from tests.unit.broker.test_config_api import alter
from tests.unit.broker.test_reassignment import create, move, record
from transport.wire.ids import PartitionKey
from transport.wire.messages.configs import RESOURCE_BROKER


def filled() -> tuple[PartitionFleet, PartitionKey]:
    """Return a fleet with a partition of 40 kB on two of its brokers."""
    fleet = PartitionFleet(3, replica_fetch_bytes_max=8_192)
    fleet.settle()
    key = create(fleet, 1, 2)
    for _ in range(40):
        fleet.write(key, b"x" * 1_000)
    return fleet, key


def throttle(fleet: PartitionFleet, rate: str) -> None:
    alter(fleet, 1, RESOURCE_BROKER, "", "follower.replication.throttled.rate", rate)


def test_what_is_taken_is_waited_for_beyond_a_burst() -> None:
    taken = Throttle()
    assert taken.take(1_000, 1_000, 5_000) == 0, "a second's worth at once"
    assert taken.take(500, 1_000, 5_000) == 500
    assert taken.take(1, 1_000, 5_500) == 1
    assert taken.take(0, 2_000, 5_500) == 0, "another rate counts at once"
    assert taken.take(1_000, 1_000, 60_000) == 0, "idle time gives no more than a burst"
    assert taken.take(1_000_000, None, 60_000) == 0
    assert taken.take(100, 1_000, 60_000) == 0, "nothing is owed from before"


def test_a_throttled_move_takes_its_time_and_others_do_not_wait_for_it() -> None:
    fleet, key = filled()
    throttle(fleet, "10000")
    began_ms = fleet.world.now_us // 1_000
    move(fleet, 1, 2, 3)
    fleet.wait(lambda: fleet.replica(3, key).core is not None, 5_000)
    fleet.write(key, b"acknowledged while it goes on")
    assert record(fleet, key).adding == (3,)
    fleet.wait(lambda: record(fleet, key).adding == (), 20_000)
    took_ms = fleet.world.now_us // 1_000 - began_ms
    assert 2_000 < took_ms < 8_000, "40 kB at 10 kB a second, but for the first second's"


def test_a_throttle_that_is_loosened_is_not_waited_for_any_more() -> None:
    fleet, key = filled()
    throttle(fleet, "10")
    move(fleet, 1, 2, 3)
    fleet.world.run_for(3_000)
    assert record(fleet, key).adding == (3,), "what it has would be waited for a quarter of an hour"
    throttle(fleet, "10000000")
    fleet.wait(lambda: record(fleet, key).adding == (), 3_000)


def test_what_is_waited_for_comes_at_the_rate_however_often_it_is_looked_at() -> None:
    fleet, key = filled()
    throttle(fleet, "1000")
    move(fleet, 1, 2, 3)
    began_ms = fleet.world.now_us // 1_000
    fleet.wait(lambda: record(fleet, key).adding == (), 60_000)
    took_ms = fleet.world.now_us // 1_000 - began_ms
    assert 30_000 < took_ms < 45_000, "40 kB at 1 kB a second"
