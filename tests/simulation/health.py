"""How whole a simulated cluster is: what a careful operator would look at before touching it."""

from __future__ import annotations

from nodes.broker.partitions.replica import ReplicaState
from nodes.broker.replicas import Replicas
from nodes.coordinator.server import CoordinatorServer
from nodes.core.controller.image import ClusterImage
from nodes.core.controller.names import CONSUMER_OFFSETS, TRANSACTION_STATE
from tests.simulation.cluster import Cluster, coordinator_of
from tests.transcripts.ensemble import serves


def are_up(cluster: Cluster, names: list[str]) -> bool:
    """Tell whether all of these run, and none is frozen."""
    processes = [cluster.processes[name] for name in names]
    return all(process.alive and not process.frozen for process in processes)


def brokers_are_whole(cluster: Cluster) -> bool:
    """Tell whether every broker serves, and every replica of every partition is in sync; those too that
    the cluster's own topics are given as brokers join."""
    names = cluster.names("broker")
    image = cluster.transitions.image
    if image is None or not are_up(cluster, names):
        return False
    for name in names:
        server = cluster.broker(name)
        ready = server.is_ready() and not server._stopping
        if not ready or server.context.image.position != image.position:
            return False
    return _own_topics_have_grown(cluster, image) and all(
        set(record.isr) == set(record.replicas) and record.leader >= 0
        for partitions in image.partitions.values()
        for record in partitions.values()
    )


def _own_topics_have_grown(cluster: Cluster, image: ClusterImage) -> bool:
    broker = cluster.shape.broker
    wanted = {
        CONSUMER_OFFSETS: broker.offsets_topic_replication_factor,
        TRANSACTION_STATE: broker.transaction_state_replication_factor,
    }
    there = len(image.placeable_brokers())
    return all(
        len(record.replicas) >= min(wanted[name], there)
        for name in wanted.keys() & image.topic_ids.keys()
        for record in image.partitions[image.topic_ids[name]].values()
    )


def has_failed_logs(cluster: Cluster, name: str) -> bool:
    """Tell whether a broker has logs that it cannot use, for another reason than damage."""
    server = cluster.broker(name)
    if not server._started:
        return False
    replicas = server.replicas
    assert isinstance(replicas, Replicas)
    return any(
        replica.state is ReplicaState.OFFLINE and not replica.is_damaged
        for replica in replicas._all()
    )


def live_coordinators(cluster: Cluster) -> dict[str, CoordinatorServer]:
    """Return the coordinators that have read what their disks hold, by host."""
    living = [one for one in cluster.processes.items() if one[1].alive]
    found = {host: coordinator_of(process) for host, process in living}
    return {host: one for host, one in found.items() if one is not None and one._started}


def quorum_is_whole(cluster: Cluster) -> bool:
    """Tell whether all members of the quorum, observers too, follow one leader and lack nothing."""
    names = cluster.names("coordinator") + cluster.names("observer")
    if not are_up(cluster, names):
        return False
    standings: set[tuple[int, int, int]] = set()
    led = False
    for name in names:
        server = cluster.coordinator(name)
        if server is None or not server._started or server._quorum.is_rebuilding:
            return False
        raft = server._quorum._raft
        standings.add((raft.term, raft.raft_leader, raft.commit_index))
        led = led or serves(raft, cluster.processes[name].now())
    return led and len(standings) == 1
