"""A restarted broker believes neither an old image of itself nor a header that no CRC covers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.broker.partition_fleet import PartitionFleet
from transport.wire.ids import Incarnation

LOG_FILE = "logs/t-0/00000000000000000000.log"
EPOCH_AT = 12
"""Of a batch: its leader epoch, which its leader stamps after the CRC was made."""


def make_fleet() -> PartitionFleet:
    fleet = PartitionFleet(seed=1, min_insync_replicas=2)
    fleet.settle()
    return fleet


def test_a_new_process_leads_nothing_that_only_its_predecessor_led() -> None:
    """Until the image has its own registration: under the old epoch its log may be another one."""
    fleet = make_fleet()
    key = fleet.create()
    fleet.write(key, b"a")
    leader = fleet.leader(key)
    context, hosted = fleet.server(leader).context, fleet.hosted(leader)
    mine = context.config

    def look() -> None:
        now = fleet.processes[leader].now()
        led = fleet.replica(leader, key).is_leader
        hosted.apply([key], [], now)
        assert fleet.replica(leader, key).is_leader is led, "only at the end of the turn"
        hosted.end_turn(now)

    context.config = replace(mine, incarnation=Incarnation(mine.incarnation + 1))
    look()
    assert not fleet.replica(leader, key).is_leader
    assert context.figures["leaderships_of_the_past"] == 1
    context.config = mine
    look()
    assert fleet.replica(leader, key).is_leader


@pytest.mark.parametrize("bit", [0, 6])
def test_a_leader_epoch_that_falls_within_a_log_is_damage(bit: int) -> None:
    fleet = make_fleet()
    key = fleet.create()
    for value in (b"a", b"b", b"c"):
        fleet.write(key, value)
    victim = next(number for number in fleet.alive() if number != fleet.leader(key))
    fleet.wait(lambda: fleet.in_step(key), 5_000)
    fleet.kill(victim)
    fleet.disks[victim].flip(LOG_FILE, EPOCH_AT, bit)
    fleet.start(victim)
    fleet.wait(lambda: len(fleet.isr(key)) == 3 and fleet.in_step(key), 10_000)
    assert fleet.logs(key) == [[b"a", b"b", b"c"]] * 3
    assert fleet.server(victim).context.figures["logs_fetched_anew"] == 1
