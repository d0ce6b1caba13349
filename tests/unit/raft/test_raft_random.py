"""A small ensemble under loss, delay, reordering, duplicates and crashes that lose unsynced writes.

Every seed is one history.  Checked after each step: one leader per term, one vote per term, logs
that match, leaders that are complete, commits that never change or fall and rest on a majority of
disks, reads that are not stale.  Then the network heals, and everything must come to agree.
"""

from __future__ import annotations

from random import Random

import pytest

from nodes.config import RaftConfig
from nodes.core.raft import log
from nodes.core.raft.events import (
    ChangeVoters,
    Contact,
    Gap,
    PeerDied,
    Propose,
    RaftEffects,
    RaftEvent,
    ReadIndex,
    Role,
    TransferLeadership,
)
from tests.transcripts.ensemble import Ensemble, Host, Watcher, serves
from transport.kernel import TICK, Outgoing
from transport.wire.ids import NodeId, Term
from transport.wire.messages.raft import (
    ENTRY_VOTERS,
    AppendRequest,
    AppendResponse,
    Entry,
    VoteResponse,
)

CONFIG = RaftConfig(
    election_timeout_min_ms=100,
    election_timeout_max_ms=200,
    heartbeat_interval_ms=20,
    append_bytes_max=1024,
    appends_in_flight_max=3,
)
STEPS = 1_200
BATCH_SEEDS = 20


class Judge(Watcher):
    """Knows everything that ever happened, and what may never happen."""

    def __init__(self) -> None:
        self.ensemble: Ensemble | None = None
        self.leaders: dict[Term, NodeId] = {}
        self.votes: dict[tuple[NodeId, Term, int], NodeId] = {}
        """By member, term, and losses of its disk: a loss takes the memory of a vote."""
        self.committed: dict[int, Entry] = {}
        self.commit_indexes: dict[tuple[NodeId, int], int] = {}
        self.read_floors: dict[int, int] = {}
        self.reads_served = 0
        self.installed = 0
        self.changes = 0
        """Of the voters, committed."""

    @property
    def of(self) -> Ensemble:
        assert self.ensemble is not None
        return self.ensemble

    def event(self, node: NodeId, event: RaftEvent) -> None:
        if isinstance(event, ReadIndex):
            self.read_floors[event.token] = max(self.committed, default=0)

    def effects(self, node: NodeId, effects: RaftEffects) -> None:
        host = self.of.hosts[node]
        core = host.core
        assert core is not None
        if effects.role is Role.LEADER:
            assert self.leaders.setdefault(core.term, node) == node, "two leaders in one term"
            for entry in self.committed.values():
                held = core.term_at(entry.index)
                assert held in (None, entry.term), "a leader with another entry"
                assert entry.index <= core.last_index, "a leader without a committed entry"
        self.installed += effects.install is not None
        life = (node, host.lives)
        assert core.commit_index >= self.commit_indexes.get(life, 0), "the commit index fell"
        self.commit_indexes[life] = core.commit_index
        if effects.committed and core.role is Role.LEADER:
            assert effects.committed[-1].term == core.term, "committed by counting alone"
        for entry in effects.committed:
            if entry.index not in self.committed:
                self.committed[entry.index] = entry
                holders = [self.of.hosts[v] for v in core.voters]
                holders = [host for host in holders if _held(host, entry)]
                assert len(holders) > len(core.voters) // 2, "committed without a majority"
                self.changes += entry.kind == ENTRY_VOTERS
            assert self.committed[entry.index] == entry, "two entries committed in one place"
        for token, index in effects.reads:
            assert index >= self.read_floors[token], "a stale read"
            self.reads_served += 1

    def sent(self, source: NodeId, outgoing: Outgoing) -> None:
        message = outgoing.message
        if isinstance(message, VoteResponse) and message.granted and not message.pre:
            life = (source, message.term, self.of.hosts[source].losses)
            vote = self.votes.setdefault(life, outgoing.to)
            assert vote == outgoing.to, "two votes in one term"
            assert self.of.hosts[source].disk.hard_state.term >= message.term, "a vote not durable"
        if isinstance(message, (AppendRequest, AppendResponse)):
            assert self.of.hosts[source].disk.hard_state.term >= message.term, "a term not durable"


def _held(host: Host, entry: Entry) -> bool:
    """Tell whether an entry is durable on a member, or was until it lost its disk."""
    before = {(entry.index, entry.term), (entry.index, Term(-1))}
    return host.disk.has(entry) or not before.isdisjoint(host.lost)


class Chaos:
    """Draws what happens next."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.judge = Judge()
        voters = list(range(1, 1 + self.random.choice([3, 3, 3, 5, 1])))
        learners = [len(voters) + 1][: self.random.randint(0, 1)]
        self.of = Ensemble(voters, learners=learners, seed=seed, config=CONFIG, watcher=self.judge)
        self.judge.ensemble = self.of
        self.loss = self.random.choice([0.0, 0.02, 0.2])
        self.reorder = self.random.choice([0.0, 0.1, 0.5])
        self.sync_rate = self.random.choice([0.1, 0.4, 1.0])
        self.crash_rate = self.random.choice([0.0, 0.02, 0.06])
        self.notice_rate = self.random.choice([0.0, 0.1, 0.4])
        self.pace = self.random.choice([1, 1, 4, 12])
        self.wipe_rate = self.random.choice([0.0, 0.0, 0.3])
        # Not both: of few voters left, one that lost its disk cannot be made whole again.
        self.change_rate = self.random.choice([0.0, 0.08, 0.08]) if not self.wipe_rate else 0.0
        self.number = 0

    def act(self) -> None:
        self.of.now_ms += self.random.choice([0, 0, 1, 1, 2, 5]) * self.pace
        self._tick()
        draw = self.random.random()
        if draw < 0.62 and self.of.wire:
            self._network()
        elif draw < 0.85:
            self._disks()
        elif draw < 0.97:
            self._client()
        else:
            self._accident()

    def _tick(self) -> None:
        for host in self.of.alive():
            assert host.core is not None
            due_ms = host.core.next_deadline_ms()
            if due_ms is not None and due_ms <= self.of.now_ms:
                self.of.step(host.node, TICK)

    def _network(self) -> None:
        for _ in range(self.random.randint(1, 4)):
            if not self.of.wire:
                return
            place = 0
            if self.random.random() < self.reorder:
                place = self.random.randrange(len(self.of.wire))
            if self.random.random() < self.loss:
                self.of.wire.pop(place)
            else:
                self.of.deliver(place, again=self.random.random() < self.loss / 4)
        del self.of.wire[:-300]

    def _disks(self) -> None:
        for host in self.of.alive():
            if host.disk.pending and self.random.random() < self.sync_rate:
                self.of.sync(host.node, self.random.randint(1, len(host.disk.pending)))

    def _some(self) -> Host | None:
        alive = self.of.alive()
        return self.random.choice(alive) if alive else None

    def _client(self) -> None:
        host = self._some()
        if host is None:
            return
        self.number += 1
        leaders = [h for h in self.of.alive() if h.core is not None and h.core.role is Role.LEADER]
        if self.random.random() < 0.7 and leaders:
            host = self.random.choice(leaders)  # Perhaps one that does not know of its successor.
        if self.random.random() < self.change_rate:
            assert host.core is not None
            voters = set(host.core.voters) ^ {self.random.choice(self.of.members)}
            self.of.step(host.node, ChangeVoters(tuple(sorted(voters))))
            return
        draw = self.random.random()
        if draw < 0.7:
            payloads = [
                f"{self.number}.{i}".ljust(self.random.choice([1, 40, 400]), ".").encode()
                for i in range(self.random.randint(1, 3))
            ]
            self.of.step(host.node, Propose(tuple(payloads)))
        elif draw < 0.9:
            self.of.step(host.node, ReadIndex(self.number))
        elif draw < 0.92:
            self.of.step(host.node, TransferLeadership())
        elif host.applied_index > host.disk.snapshot[0] and host.core is not None:
            self.of.compact(host.node)

    def _accident(self) -> None:
        host = self._some()
        draw = self.random.random()
        if host is not None and self.random.random() < self.notice_rate:
            self._false_notice(host)
        elif host is not None and self.random.random() < self.wipe_rate:
            self._wipe(host)
        elif draw < self.crash_rate * 10 and host is not None:
            self.of.crash(host.node, self.random.randint(0, len(host.disk.pending)))
            for other in self.of.alive():
                if self.random.random() < 0.5:
                    self.of.step(other.node, PeerDied(host.node))
        elif draw < 0.7:
            for other in self.of.hosts.values():
                if other.core is None and self.random.random() < 0.7:
                    self.of.start(other.node)
        elif draw < 0.88 and host is not None:
            self._netsplit(host.node)
        elif draw < 0.96 or host is None:
            self.of.cut.clear()
        elif draw < 0.98:
            peer = self.random.choice(self.of.members)
            self.of.step(host.node, Contact(peer, self.random.random() < 0.5))
        else:
            self.of.step(host.node, Gap(self.random.randint(1, 300)))

    def _wipe(self, host: Host) -> None:
        """Lose a disk, as long as enough members are whole to go on."""
        others = [self.of.hosts[v] for v in self.of.voters if v != host.node]
        rebuilding = sum(other.loss != 0 for other in others)
        if rebuilding < len(self.of.voters) // 2:
            self.of.wipe(host.node)
            self.of.start(host.node)

    def _netsplit(self, node: NodeId) -> None:
        """Cut one direction of one link, or a member off from all others."""
        other = self.random.choice(self.of.members)
        if self.random.random() < 0.5:
            self.of.cut.add((node, other))
            return
        for member in self.of.members:
            self.of.cut |= {(node, member), (member, node)}
            if member != node and self.random.random() < 0.5:
                self._false_notice(self.of.hosts[member])

    def _false_notice(self, host: Host) -> None:
        """A leader that lives is reported dead: that may cost an election, and nothing else."""
        if host.core is not None and host.core.raft_leader > 0:
            self.of.step(host.node, PeerDied(host.core.raft_leader))

    def heal(self) -> None:
        """End all faults; everybody must come to agree."""
        self.of.cut.clear()
        self.of.wire.clear()
        for host in self.of.hosts.values():
            if host.core is None:
                self.of.start(host.node)
        for turn in range(400):
            self.of.now_ms += 5
            self._tick()
            for host in self.of.alive():
                self.of.sync(host.node)
            for _ in range(len(self.of.wire)):
                self.of.deliver(0)
            if turn == 300:
                leader = next(h for h in self.of.alive() if h.core and serves(h.core, self.of.now))
                self.of.step(leader.node, Propose((b"last",)))
                self.of.step(leader.node, ReadIndex(10**9))
        hosts = self.of.alive()
        assert all(host.applied == hosts[0].applied for host in hosts), "members disagree"
        assert hosts[0].applied[-1] == "last"
        assert all(host.loss == 0 for host in hosts), "a member is not whole again"
        assert len({host.core.commit_index for host in hosts if host.core}) == 1

    def match_logs(self) -> None:
        """Logs with an equal entry are equal before it (looks at what disks hold)."""
        held: dict[tuple[int, int], tuple[Term | None, bytes]] = {}
        for host in self.of.hosts.values():
            before: Term | None = None
            for entry in host.disk.entries:
                known = held.setdefault((entry.index, entry.term), (before, entry.data))
                assert known[1] == entry.data, "logs differ in an entry"
                assert None in (known[0], before) or known[0] == before, "logs differ before"
                before = entry.term


def run(seed: int) -> Chaos:
    chaos = Chaos(seed)
    for step in range(STEPS):
        chaos.act()
        if step % 100 == 0:
            chaos.match_logs()
    chaos.heal()
    chaos.match_logs()
    return chaos


@pytest.mark.parametrize("first", range(0, 200, BATCH_SEEDS))
def test_safety_and_agreement(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    reads = commits = installed = changes = 0
    if first % 40 == 0:  # Half of the histories need snapshots for every follower behind.
        monkeypatch.setattr(log, "KEPT_ENTRIES_MAX", 0)
    for seed in range(first, first + BATCH_SEEDS):
        try:
            chaos = run(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        reads += chaos.judge.reads_served
        commits += len(chaos.judge.committed)
        installed += chaos.judge.installed
        changes += chaos.judge.changes
    assert commits > 20 * BATCH_SEEDS, "hardly anything was committed: the test tests nothing"
    assert reads > BATCH_SEEDS
    assert changes
    assert installed or first % 20


def test_same_seed_same_history() -> None:
    first, second = run(7), run(7)
    assert first.judge.committed == second.judge.committed
    assert first.of.now_ms == second.of.now_ms
    assert first.judge.leaders == second.judge.leaders
