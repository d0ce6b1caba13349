"""Faults aimed at whoever matters at the moment: what chance alone would seldom hit.

Planted bugs that need one coincidence are hunted with these; everything else about a run stays.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.replicas import Replicas
from tests.simulation.cluster import broker_of, coordinator_of
from tests.simulation.faults import Faults
from tests.simulation.health import are_up
from tests.simulation.workloads.holders import HOLDER
from transport.wire.messages.metadata import AlterPartitionRequest

ISOLATION_MS = (400, 2_500)
SCATTERED_MS = (1_500, 4_000)
FREEZE_MS = (300, 2_500)
HELD_FROZEN_MS = (2_200, 3_500)
JOINING_MS = (2_000, 2_500)
LOOK_US = 1_000
PIECE_US = (40_000, 60_000)
"""One way of a commit: some are under way when a death is heard of."""
LAG_US = (100_000, 200_000)
"""Below the shortest election time-out: the follower still hears its leader."""


def isolate_raft_leader(faults: Faults) -> None:
    """Cut the Raft leader off from the other coordinators; clients still reach it."""
    if not faults._cuts:
        _isolate(faults, _raft_leader(faults), faults.cluster.names("coordinator"))


def isolate_coordinator(faults: Faults) -> None:
    """Cut some coordinator off from the others: it falls behind."""
    names = faults.cluster.names("coordinator")
    _isolate(faults, faults.world.random.choice(names), names)


def scatter_coordinators(faults: Faults) -> None:
    """Cut every coordinator off from every other: each has its clients, and none a quorum."""
    names = faults.cluster.names("coordinator")
    if not faults._cuts:
        faults.world.note("the coordinators are scattered")
        pairs = [(one, other) for one in names for other in names if one != other]
        _cut(faults, pairs, SCATTERED_MS)


def kill_raft_leader(faults: Faults) -> None:
    """Kill the Raft leader, when all coordinators live."""
    name = _raft_leader(faults)
    if name and are_up(faults.cluster, faults.cluster.names("coordinator")):
        faults.cluster.kill(name)


def kill_coordinator(faults: Faults) -> None:
    """Kill a coordinator, when all of them live: its clients go elsewhere at once."""
    names = faults.cluster.names("coordinator")
    if are_up(faults.cluster, names):
        faults.cluster.kill(faults.world.random.choice(names))


def slow_follower(faults: Faults) -> None:
    """Let what the Raft leader sends to some follower take its time: it lags behind."""
    slow, leader = faults.cluster.network.slow, _raft_leader(faults)
    others = [name for name in faults.cluster.names("coordinator") if name != leader]
    if leader and others and not slow:
        pair = (leader, faults.world.random.choice(others))
        faults.world.note(f"from {pair[0]} to {pair[1]} a packet takes {LAG_US[0]} µs and more")
        slow[pair] = LAG_US
        faults._later(ISOLATION_MS, lambda: slow.pop(pair, None) and None)


def freeze_holder(faults: Faults) -> None:
    """Freeze one of those who hold something by turns, for longer than its session lives; the others go on."""
    clients = faults.cluster.clients
    names = [host for host in faults._living_clients() if host.rpartition("-")[0] == HOLDER]
    if not any(clients[name].frozen for name in names):
        name = faults.world.random.choice(names)
        faults.world.note(f"frozen: {name}")
        clients[name].freeze()
        faults._later(HELD_FROZEN_MS, clients[name].thaw)


def freeze_controller(faults: Faults) -> None:
    """Freeze the active controller for a while."""
    name = _controller(faults)
    if name:
        _freeze(faults, [name])


def kill_joiner(faults: Faults) -> None:
    """Kill some broker, and again as soon as a leader wants it back in an ISR.

    What leaders ask of the controller takes longer meanwhile than the news of a death.
    """
    names = faults.cluster.names("broker")
    slow, controller = faults.cluster.network.slow, _controller(faults)
    if not are_up(faults.cluster, names) or not controller or slow:
        return
    for name in names:
        if name != controller:
            slow[name, controller] = LAG_US
    faults._later(JOINING_MS, slow.clear)
    victim = faults.world.random.choice(names)
    faults.cluster.kill(victim)
    until_us = faults.world.now_us + JOINING_MS[0] * 1_000

    def look() -> None:
        if _is_joining(faults, victim):
            faults.cluster.kill(victim)
        elif faults.running and faults.world.now_us < until_us:
            faults.world.after(LOOK_US, look)

    look()


def restart_without_directory(faults: Faults) -> None:
    """Kill every broker; each starts while the device of one of its log directories is gone."""
    cluster = faults.cluster
    names = cluster.names("broker")
    if not are_up(cluster, names) or any(cluster.disks[name].failed_folder for name in names):
        return
    for name in names:
        cluster.kill(name)
        faults.losses.fail_directory(name)


def kill_between_pieces(faults: Faults) -> None:
    """Kill a broker, and again while the controller decides, a piece at a time, on its way back.

    What the controller tells the quorum takes longer meanwhile than the news of a death.
    """
    names = faults.cluster.names("broker")
    slow, controller = faults.cluster.network.slow, _controller(faults)
    others = [name for name in names if name != controller]
    if not are_up(faults.cluster, names) or not controller or slow:
        return
    victim = faults.world.random.choice(others)
    faults.cluster.kill(victim)
    until_us = faults.world.now_us + JOINING_MS[0] * 1_000

    def look() -> None:
        if _is_between_pieces(faults, controller, victim):
            for name in names:
                if name != controller:
                    slow[controller, name] = PIECE_US
            faults._later(JOINING_MS, slow.clear)
            faults.cluster.kill(victim)
        elif faults.running and faults.world.now_us < until_us:
            faults.world.after(LOOK_US, look)

    look()


def _is_between_pieces(faults: Faults, controller: str, victim: str) -> bool:
    """Tell whether some of the ISRs that leaders want this broker in are decided, and some are not."""
    server = broker_of(faults.cluster.processes[controller])
    core = None if server is None or not server._started else server.controller._core
    courses = () if core is None else core._pieces
    node = int(victim.rpartition("-")[2])
    for course in courses:
        request = getattr(getattr(course, "asked", None), "request", None)
        if isinstance(request, AlterPartitionRequest):
            joins = [change for change in request.changes for one in change.isr if one.id == node]
            if len(joins) > 1 and faults.cluster.processes[victim].alive:
                return True
    return False


def _is_joining(faults: Faults, name: str) -> bool:
    node = int(name.rpartition("-")[2])
    for other in faults.cluster.names("broker"):
        process = faults.cluster.processes[other]
        server = broker_of(process)
        if process.alive and server is not None and server._started:
            assert isinstance(server.replicas, Replicas)
            for replica in server.replicas._all():
                leader = None if replica.core is None else replica.core._leader
                proposed = () if leader is None else leader.isr.proposed or ()
                if leader is not None and node in proposed and node not in leader.isr.members:
                    return faults.cluster.processes[name].alive
    return False


def _controller(faults: Faults) -> str:
    for name in faults.cluster.names("broker"):
        process = faults.cluster.processes[name]
        server = broker_of(process)
        known = process.alive and server is not None and server._started
        if known and server is not None and server.controller.is_active:
            return name
    return ""


def _raft_leader(faults: Faults) -> str:
    for name in faults.cluster.names("coordinator"):
        process = faults.cluster.processes[name]
        server = coordinator_of(process)
        known = process.alive and server is not None and server._started
        if known and server is not None and server._quorum.leads:
            return name
    return ""


def _isolate(faults: Faults, name: str, names: list[str]) -> None:
    if not name:
        return
    pairs = [(name, other) for other in names if other != name]
    pairs += [(other, one) for one, other in pairs]
    faults.world.note(f"isolated: {name}")
    _cut(faults, pairs, ISOLATION_MS)


def _cut(faults: Faults, pairs: list[tuple[str, str]], lasts_ms: tuple[int, int]) -> None:
    cut = faults.cluster.network.cut(pairs)
    faults._cuts.append(cut)

    def heal() -> None:
        faults.world.note("healed")
        faults._cuts.remove(cut)
        faults.cluster.network.heal(cut)

    faults._later(lasts_ms, heal)


def _freeze(faults: Faults, names: list[str]) -> None:
    processes = [faults.cluster.processes[name] for name in names]
    faults.world.note(f"frozen: {', '.join(names)}")
    for process in processes:
        process.freeze()

    def thaw() -> None:
        faults.world.note(f"thawed: {', '.join(names)}")
        for process in processes:
            process.thaw()

    faults._later(FREEZE_MS, thaw)


AIMED: dict[str, Callable[[Faults], None]] = {
    fault.__name__: fault
    for fault in (
        isolate_raft_leader,
        isolate_coordinator,
        scatter_coordinators,
        kill_raft_leader,
        kill_coordinator,
        slow_follower,
        freeze_controller,
        freeze_holder,
        kill_joiner,
        kill_between_pieces,
        restart_without_directory,
    )
}
