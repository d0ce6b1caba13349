"""How a group rebalances: who is bothered by a join, and how soon partitions are taken over.

python -m benchmarks.rebalance [--members 100] [--partitions 1000] [--session-ms 2000] [--times 5]

The members of the first part are coordinator-side only (the group core, as a broker runs it): every
join is followed to its end, and what moved is counted.  The second part starts a cluster and measures
graceful leaves and killed members with real consumers: from ``close()``, or from the signal, until
the member that is left owns every partition.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

from benchmarks.machine import describe
from nodes.core.group import Catalogue, CataloguedTopic, GroupCore, GroupSettings
from nodes.core.shard import Asked, Told
from odradek import AdminClient, Consumer, NewTopic
from odradek.testing import Cluster
from transport.kernel import Now
from transport.wire.ids import MemberEpoch, MemberId, TopicId
from transport.wire.messages.groups import (
    JOIN_EPOCH,
    AssignedTopic,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    OwnedTopic,
)

TOPIC = TopicId(b"t" * 16)
NOW = Now(1_000, 1_700_000_000_000)
WAIT_S = 60.0
MEMBER = """
import sys
from odradek import Consumer
with Consumer("t", bootstrap_servers=sys.argv[1], group_id="g", session_timeout_ms=int(sys.argv[2])) as one:
    while True:
        one.poll(timeout_ms=50)
        print(len(one.assignment()), flush=True)
"""


class Members:
    """Members that say at once what they have let go."""

    def __init__(self, partitions: int) -> None:
        self.core = GroupCore(GroupSettings(), lambda: "id")
        self.core.loaded(NOW)
        topic = CataloguedTopic(TOPIC, "t", partitions, 0)
        self.core.step(Told(Catalogue([topic])), NOW)
        self.owned: dict[MemberId, set[int]] = {}
        self.answered: set[MemberId] = set()
        self._epochs: dict[MemberId, tuple[MemberEpoch, int]] = {}

    def join(self, name: str) -> int:
        """Let one more join, and all come to rest; return how many partitions others gave up."""
        before = {member: set(owned) for member, owned in self.owned.items()}
        member = MemberId(name)
        self.owned[member] = set()
        self._ask(member, ConsumerGroupHeartbeatRequest("g", member, JOIN_EPOCH, topics=("t",)))
        return sum(len(had - self.owned[one]) for one, had in before.items())

    def _ask(self, member: MemberId, body: ConsumerGroupHeartbeatRequest) -> None:
        waiting = [(member, body)]
        while waiting:
            asking, request = waiting.pop()
            effects = self.core.step(Asked(asking, request), NOW)
            for answer in effects.reply:
                assert isinstance(answer.message, ConsumerGroupHeartbeatResponse)
                assert isinstance(answer.token, str)
                told = MemberId(answer.token)
                self._take(told, answer.message)
                waiting.append((told, self._heartbeat(told)))

    def _take(self, member: MemberId, answer: ConsumerGroupHeartbeatResponse) -> None:
        self.answered.add(member)
        self._epochs[member] = (answer.member_epoch, answer.assignment_version)
        if answer.assignment is not None:
            topics: tuple[AssignedTopic, ...] = answer.assignment
            self.owned[member] = {number for topic in topics for number in topic.partitions}

    def _heartbeat(self, member: MemberId) -> ConsumerGroupHeartbeatRequest:
        epoch, version = self._epochs[member]
        owned = (OwnedTopic(TOPIC, tuple(self.owned[member])),)
        return ConsumerGroupHeartbeatRequest(
            "g", member, epoch, version, max_wait_ms=10_000, owned=owned
        )


def measure_joins(members: int, partitions: int) -> None:
    """Print what the last of so many joins moves."""
    group = Members(partitions)
    for number in range(members - 1):
        group.join(f"member-{number:04}")
    group.answered.clear()
    began = time.thread_time()
    last = MemberId(f"member-{members - 1:04}")
    moved = group.join(last)
    elapsed_ms = (time.thread_time() - began) * 1_000
    others = len(group.answered - {last})
    sys.stdout.write(
        f"member {members} of a group with {partitions} partitions: {moved} moved, "
        f"{len(group.owned[last])} of them to it; {others} of the other {members - 1} heard of "
        f"it, to let those go; {elapsed_ms:.1f} ms of the coordinator's processor\n"
    )


def settle(condition: Callable[[], bool], *members: Consumer) -> float:
    """Poll until the condition holds; return the seconds it took."""
    began = time.perf_counter()
    while not condition():
        if time.perf_counter() - began > WAIT_S:
            raise TimeoutError("the group does not settle")
        for one in members:
            one.poll(timeout_ms=1)
    return time.perf_counter() - began


def measure_takeovers(session_ms: int, times: int) -> None:
    """Print how soon a member takes over from those that leave, and from those that are killed."""
    with Cluster.start(brokers=3, coordinators=3) as cluster:
        servers = cluster.bootstrap
        with AdminClient(bootstrap_servers=servers) as admin:
            admin.create_topics([NewTopic("t", 8, 3)])
        with Consumer("t", bootstrap_servers=servers, group_id="g") as first:
            left_ms = [_leave(first, servers) for _ in range(times)]
            _print_times("graceful leave to the takeover", left_ms)
            killed_ms = [_kill(first, servers, session_ms) for _ in range(times)]
            _print_times(f"SIGKILL to the takeover, session {session_ms} ms", killed_ms)


def _leave(first: Consumer, servers: str) -> float:
    second = Consumer("t", bootstrap_servers=servers, group_id="g")
    settle(lambda: len(second.assignment()) == len(first.assignment()) == 4, first, second)
    began = time.perf_counter()
    second.close()
    settle(lambda: len(first.assignment()) == 8, first)
    return (time.perf_counter() - began) * 1_000


def _kill(first: Consumer, servers: str, session_ms: int) -> float:
    child = subprocess.Popen(
        [sys.executable, "-c", MEMBER, servers, str(session_ms)],
        stdout=subprocess.DEVNULL,
    )
    try:
        settle(lambda: len(first.assignment()) == 4, first)
        time.sleep(session_ms / 1_000)  # some heartbeats on
        os.kill(child.pid, signal.SIGKILL)
        return settle(lambda: len(first.assignment()) == 8, first) * 1_000
    finally:
        child.kill()
        child.wait()


def _print_times(what: str, took_ms: Sequence[float]) -> None:
    sys.stdout.write(
        f"{what}: median {statistics.median(took_ms):.0f} ms "
        f"({min(took_ms):.0f}–{max(took_ms):.0f}, n = {len(took_ms)})\n"
    )
    sys.stdout.flush()


def main() -> int:
    """Print both parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=1_000)
    parser.add_argument("--session-ms", type=int, default=2_000)
    parser.add_argument("--times", type=int, default=5)
    arguments = parser.parse_args()
    sys.stdout.write(f"{describe()}\n")
    measure_joins(arguments.members, arguments.partitions)
    measure_takeovers(arguments.session_ms, arguments.times)
    return 0


if __name__ == "__main__":
    sys.exit(main())
