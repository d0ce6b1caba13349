"""Watches the brokers after each of their turns: images, leaders, high watermarks, logs.

Looks from outside at live servers and changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodes.broker.cluster.controller import Controller
from nodes.broker.partitions.replica import Replica
from nodes.broker.replicas import Replicas
from nodes.broker.server import BrokerServer
from nodes.core.partition.core import PartitionCore
from nodes.core.partition.leader import Leader
from tests.simulation.checkers.begins_committed import check_beginning
from tests.simulation.checkers.caught_up import CaughtUp
from tests.simulation.checkers.committed_replicated import (
    LedPartition,
    MinInsync,
    check_replicated,
)
from tests.simulation.checkers.compacted_kept import KeyedRecord, keyed_records
from tests.simulation.checkers.image_chain import ImageChain
from tests.simulation.checkers.log_history import Partition
from tests.simulation.checkers.one_controller import OneController
from tests.simulation.checkers.one_leader_per_epoch import OneLeaderPerEpoch
from tests.simulation.checkers.replicas_equal import check_replicas_equal
from tests.simulation.checkers.sound_isr import SoundIsr, check_decided, check_settled
from tests.simulation.checkers.sound_reassignment import Reassigned
from tests.simulation.checkers.survivors import Survivors
from tests.simulation.checkers.truly_synced import TrulySynced
from tests.simulation.checkers.watermarks import Watermarks
from tests.simulation.cluster import Cluster, broker_of
from tests.simulation.process import SimulatedProcess
from transport.wire.ids import MetadataPosition, NodeId, PartitionKey


class BrokerWatch:
    """All that is checked of the brokers."""

    def __init__(self, cluster: Cluster, synced: TrulySynced) -> None:
        self._cluster = cluster
        self._synced = synced
        self.survivors = Survivors()
        self.watermarks = Watermarks()
        self._images = ImageChain()
        self._sound_isr = SoundIsr()
        self._reassigned = Reassigned()
        self._leaders = OneLeaderPerEpoch()
        self._controllers = OneController()
        self._min_insync = MinInsync()
        self._caught_up = CaughtUp()
        self._processes: dict[str, SimulatedProcess] = {}
        self._positions: dict[str, MetadataPosition] = {}
        self._ends: dict[tuple[str, PartitionKey], int] = {}
        self._starts: dict[tuple[str, PartitionKey], int] = {}
        self._led: dict[tuple[str, PartitionKey], LedPartition] = {}
        self._seen: dict[str, dict[Replica, tuple[object, ...]]] = {}
        """What is not as it was is looked at, by host; most replicas do nothing in most turns."""
        self._boots: dict[str, int] = {}
        self._emptied: dict[str, int] = {}

    def look(self, process: SimulatedProcess, server: BrokerServer) -> None:
        """Take a broker after a turn."""
        host = process.host
        self._note_harm()
        if not server._started:
            return
        if self._processes.get(host) is not process:
            self._processes[host] = process
            self._restarted(host, server)
        self._caught_up.look(host, server)
        self._look_at_image(host, server)
        self.look_at_controller(server.context.id, server.controller)
        seen = self._seen[host]
        for replica in _replicas(server):
            core = replica.core
            if core is None:
                continue
            leader, state = core._leader, _state(core)
            if seen.get(replica) == state:
                continue
            seen[replica] = state
            self._synced.look_at_log(host, replica)
            if leader is not None:
                self._look_at_leader(host, server, replica, leader)
            else:
                self._look_at_follower(host, replica)
            self._look_at_beginning(host, replica)

    def look_at_controller(self, node: NodeId, controller: Controller) -> None:
        """Take the controller of a node after a turn, whether it reigns or not."""
        if controller.epoch >= 0:
            self._controllers.look(int(controller.epoch), int(node))

    def finish(self) -> None:
        """After everything has healed: compare the logs of all live replicas."""
        hosted: dict[PartitionKey, dict[str, Replica]] = {}
        for host, process in self._processes.items():
            server = broker_of(process)
            if process.alive and server is not None and server._started:
                check_settled(host, server.context.image)
                for replica in _replicas(server):
                    hosted.setdefault(replica.key, {})[host] = replica
        for replicas in hosted.values():
            self._compare_logs(replicas)

    def committed_ends(self, topic: str) -> dict[Partition, int]:
        """Return the high watermarks of a topic's partitions, by their newest live leaders."""
        ends: dict[Partition, tuple[int, int]] = {}
        for process in self._processes.values():
            server = broker_of(process)
            if not process.alive or server is None or not server._started:
                continue
            for replica in _replicas(server):
                core = replica.core
                if replica.name.topic == topic and core is not None and core._leader is not None:
                    found = (int(core._leader.record.leader_epoch), int(core.high_watermark))
                    name = _name(replica)
                    ends[name] = max(ends.get(name, found), found)
        return {name: end for name, (_, end) in ends.items()}

    def keyed_logs(self, topic: str) -> dict[Partition, dict[str, list[KeyedRecord]]]:
        """Return what the live replicas' logs of a topic hold, once all have everything."""
        found: dict[Partition, dict[str, list[KeyedRecord]]] = {}
        for host, process in self._processes.items():
            server = process.program
            if not process.alive or not isinstance(server, BrokerServer) or not server._started:
                continue
            for replica in _replicas(server):
                partition = _name(replica)
                if replica.name.topic == topic and not self.survivors.is_excused(partition):
                    found.setdefault(partition, {})[host] = keyed_records(replica)
        return found

    def have_been_away(self, partition: Partition) -> set[str]:
        """Return the brokers whose replica was out of the ISR at some time."""
        hosts = self._cluster.names("broker")
        return {host for host in hosts if self.survivors.was_away(partition, _number(host))}

    def in_sync_starts(self, partition: Partition) -> dict[str, int]:
        """Return where the live logs of a partition begin that are in sync by what is newest: the
        image, or what a leader has been answered before any broker's image says so."""
        image, records, starts = self._cluster.transitions.image, [], {}
        for host, process in self._processes.items():
            server = broker_of(process)
            if not process.alive or server is None or not server._started:
                continue
            for replica in _replicas(server):
                core = replica.core
                if _name(replica) != partition or core is None:
                    continue
                starts[host] = (server.context.id, int(core.log_start_offset))
                known = None if image is None else image.partition(replica.key)
                led = None if core._leader is None else core._leader.record
                records += [record for record in (known, led) if record is not None]
        newest = max(records, key=lambda record: record.partition_epoch, default=None)
        in_sync = () if newest is None else newest.isr
        return {host: start for host, (node, start) in starts.items() if node in in_sync}

    # Parts of a look

    def _note_harm(self) -> None:
        boots, emptied = self._cluster.boots, self._cluster.emptied
        if boots == self._boots and emptied == self._emptied:
            return
        for name in self._cluster.names("broker"):
            if emptied.get(name) != self._emptied.get(name):
                self._harm(name, synced=True)
            elif boots.get(name) != self._boots.get(name):
                self._harm(name, synced=False)
        self._boots, self._emptied = dict(boots), dict(emptied)

    def _harm(self, name: str, *, synced: bool) -> None:
        before = set(self.survivors.excused)
        self.survivors.harm(_number(name), synced=synced)
        for partition in sorted(self.survivors.excused - before):
            self.watermarks.forget(partition)

    def _restarted(self, host: str, server: BrokerServer) -> None:
        newest = self._cluster.transitions.image
        self._caught_up.started(host, server, 0 if newest is None else newest.position.version)
        self._positions.pop(host, None)
        self._seen[host] = {}
        self._images.restarted(host)
        self._min_insync.restarted(host)
        for key in [key for key in self._led if key[0] == host]:
            del self._led[key]

    def _look_at_image(self, host: str, server: BrokerServer) -> None:
        image = server.context.image
        if self._positions.get(host) == image.position:
            return
        self._positions[host] = image.position
        self._images.look(host, image)
        self.survivors.take_image(image)
        self._sound_isr.look(host, image, server.metadata._history)
        check_decided(host, server.controller._core)
        self._reassigned.look(host, image)
        incarnations = {broker.id: int(broker.incarnation) for broker in image.live_brokers()}
        for topic_id, partitions in image.partitions.items():
            for number, record in partitions.items():
                incarnation = incarnations.get(record.leader)
                if incarnation is not None:
                    epoch, leader = int(record.leader_epoch), int(record.leader)
                    self._leaders.look(topic_id, number, epoch, leader, incarnation)

    def _look_at_leader(
        self, host: str, server: BrokerServer, replica: Replica, leader: Leader
    ) -> None:
        core, record = replica.core, leader.record
        assert core is not None
        partition = _name(replica)
        if self.survivors.is_excused(partition):
            return
        led = LedPartition(
            host,
            replica.key.topic_id,
            partition,
            int(record.leader_epoch),
            int(record.partition_epoch),
            leader.isr.members,
            min(leader.settings.min_insync_replicas, record.replication_factor),
            int(core.high_watermark),
        )
        self._ends[host, replica.key] = int(core.log_end_offset)
        key = (host, replica.key)
        if self._led.get(key) == led:
            return
        self._led[key] = led
        node, incarnation = int(server.context.id), int(server.context.config.incarnation)
        topic_id, epoch = replica.key.topic_id, led.leader_epoch
        self._leaders.look(topic_id, partition[1], epoch, node, incarnation)
        told = core.is_high_watermark_sure()
        self.watermarks.look(led, told=told)
        self._min_insync.look(led)
        check_replicated(led, self._other_ends(replica.key, host))

    def _look_at_beginning(self, host: str, replica: Replica) -> None:
        core, partition = replica.core, _name(replica)
        assert core is not None
        start = int(core.log_start_offset)
        key = (host, replica.key)
        if self._starts.get(key, 0) != start and not self.survivors.is_excused(partition):
            check_beginning(host, partition, start, self.watermarks.largest(partition))
        self._starts[key] = start

    def _look_at_follower(self, host: str, replica: Replica) -> None:
        core = replica.core
        assert core is not None
        end = int(core.log_end_offset)
        before = self._ends.get((host, replica.key), -1)
        self._ends[host, replica.key] = end
        if end >= before or self._may_lack(host, replica):
            return
        for (leader, key), led in self._led.items():
            if key == replica.key and leader != host and self._is_led(leader, replica.key):
                check_replicated(led, [(_number(host), end)])

    def _is_led(self, host: str, key: PartitionKey) -> bool:
        process = self._processes[host]
        server = broker_of(process)
        if not process.alive or server is None:
            return False
        assert isinstance(server.replicas, Replicas)
        replica = server.replicas.find(key)
        return replica is not None and replica.is_leader

    def _may_lack(self, host: str, replica: Replica) -> bool:
        """Tell whether a power cut or a damaged disk has taken something from this replica."""
        return self.survivors.is_harmed(_name(replica), _number(host))

    def _other_ends(self, key: PartitionKey, but: str) -> Iterator[tuple[int, int]]:
        for host, process in self._processes.items():
            server = broker_of(process)
            if host == but or not process.alive or server is None:
                continue
            if not server._started:
                continue
            assert isinstance(server.replicas, Replicas)
            replica = server.replicas.find(key)
            if replica is None or replica.core is None or replica.log is None:
                continue
            if not self._may_lack(host, replica):
                yield _number(host), int(replica.core.log_end_offset)

    def _compare_logs(self, replicas: dict[str, Replica]) -> None:
        open_ones = {
            host: replica
            for host, replica in replicas.items()
            if replica.core is not None and replica.log is not None
        }
        if not open_ones:
            return
        partition = _name(next(iter(open_ones.values())))
        compacted = any(one.settings.log.cleanup_policy != "delete" for one in open_ones.values())
        if self.survivors.is_excused(partition) or compacted:
            # Each replica compacts when it likes; see compacted_kept.py.
            return
        committed = max(int(one.core.high_watermark) for one in open_ones.values() if one.core)
        logs = {
            host: list(replica.log.headers_from(replica.log.log_start_offset))
            for host, replica in open_ones.items()
            if replica.log is not None
        }
        check_replicas_equal(partition, committed, logs)


def _replicas(server: BrokerServer) -> Iterator[Replica]:
    assert isinstance(server.replicas, Replicas)
    return server.replicas._all()


def _state(core: PartitionCore) -> tuple[object, ...]:
    """Return all that is looked at of a replica."""
    log, leader = core._log, core._leader
    ends = (log.log_start_offset, log.high_watermark, log.log_end_offset, log.durable_offset)
    if leader is None:
        return ends
    return (*ends, leader, leader.record, leader.settings, leader.isr.members)


def _name(replica: Replica) -> Partition:
    return (replica.name.topic, replica.name.partition)


def _number(host: str) -> int:
    return int(host.rpartition("-")[2])
