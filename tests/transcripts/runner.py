"""Runs transcripts: a text of commands, each with the full trace expected of it.

A transcript is blocks of ``command``, a line ``----``, the trace, and an empty line; lines with
``#`` are prose.  ``python -m tests.transcripts.runner [--rewrite] [FILE…]`` compares, or records
anew: then read the difference as carefully as code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from nodes.config import RaftConfig
from nodes.core.raft.events import (
    ChangeVoters,
    Contact,
    DiskSynced,
    Gap,
    PeerDied,
    Propose,
    RaftEffects,
    RaftEvent,
    ReadIndex,
    Received,
    SnapshotReady,
    TransferLeadership,
)
from tests.transcripts.ensemble import Ensemble, Watcher, serves
from transport.kernel import TICK, Tick
from transport.wire.ids import NodeId
from transport.wire.messages import Message
from transport.wire.messages.raft import (
    ENTRY_NOOP,
    ENTRY_VOTERS,
    AppendRequest,
    AppendResponse,
    Entry,
    ReadIndexRequest,
    ReadIndexResponse,
    SnapshotRequest,
    SnapshotResponse,
    TimeoutNow,
    VoteRequest,
    VoteResponse,
    decode_voters,
)

FOLDER = Path(__file__).parent
CONFIG = RaftConfig(
    election_timeout_min_ms=300,
    election_timeout_max_ms=600,
    heartbeat_interval_ms=60,
    append_bytes_max=1024,
    appends_in_flight_max=2,
)


def entry_text(entry: Entry) -> str:
    """Return an entry as ``term/index data``."""
    if entry.kind == ENTRY_VOTERS:
        return f"{entry.term}/{entry.index} voters {' '.join(map(str, decode_voters(entry.data)))}"
    data = "no-op" if entry.kind == ENTRY_NOOP else data_text(entry.data.decode())
    return f"{entry.term}/{entry.index} {data}"


def data_text(data: str) -> str:
    """Return a payload, long ones by their beginning and length."""
    return data if len(data) <= 16 else f"{data[:3]}({len(data)})"


def _vote(m: VoteRequest) -> str:
    kind = "pre-vote?" if m.pre else "vote?"
    forced = " forced" if m.forced else ""
    return f"{kind} term={m.term} last={m.last_term}/{m.last_index}{forced}"


def _voted(m: VoteResponse) -> str:
    kind = "pre-vote" if m.pre else "vote"
    return f"{kind} {'granted' if m.granted else 'refused'} term={m.term}"


def _append(m: AppendRequest) -> str:
    entries = ", ".join(entry_text(entry) for entry in m.entries)
    rejoin = f" rejoin at {m.rejoin_index}" if m.rejoin_index else ""
    return (
        f"append term={m.term} after {m.previous_term}/{m.previous_index} commit={m.commit_index}"
        f" round={m.round} [{entries}]{rejoin}"
    )


def _appended(m: AppendResponse) -> str:
    loss = f" rebuilding {m.rebuilding}" if m.rebuilding else ""
    if m.success:
        return f"appended term={m.term} match={m.match_index} round={m.round}{loss}"
    hint = f"hint={m.hint_term}/{m.match_index}"
    return f"append refused term={m.term} {hint} round={m.round}{loss}"


def _chunk(m: SnapshotRequest) -> str:
    end = m.position_bytes + len(m.data)
    done = " done" if m.done else ""
    where = f"{m.last_term}/{m.last_index}"
    return f"snapshot {where} term={m.term} bytes {m.position_bytes}..{end}{done}"


def _chunk_taken(m: SnapshotResponse) -> str:
    state = "installed" if m.installed else f"at byte {m.position_bytes}"
    return f"snapshot /{m.last_index} {state} term={m.term}"


_TEXTS: dict[type[Message], Callable[..., str]] = {
    VoteRequest: _vote,
    VoteResponse: _voted,
    AppendRequest: _append,
    AppendResponse: _appended,
    SnapshotRequest: _chunk,
    SnapshotResponse: _chunk_taken,
    TimeoutNow: lambda m: f"time-out now term={m.term}",
    # Numbers of requests start by chance: only that there is one matters.
    ReadIndexRequest: lambda m: f"read index? term={m.term}",
    ReadIndexResponse: lambda m: f"read index {m.index} term={m.term}",
}


def message_text(message: Message) -> str:
    """Return a message in one line."""
    return _TEXTS[type(message)](message)


def _effects_text(node: NodeId, effects: RaftEffects) -> list[str]:
    lines = []
    if effects.role is not None:
        lines.append(f"{effects.role.value}")
    if effects.raft_leader is not None:
        lines.append(f"leader {effects.raft_leader}")
    if effects.truncate_from is not None:
        lines.append(f"truncate from {effects.truncate_from}")
    lines += [f"append {entry_text(entry)}" for entry in effects.append]
    if effects.hard_state is not None:
        lines.append(f"promise term={effects.hard_state.term} vote={effects.hard_state.voted_for}")
    if effects.sequence:
        lines.append(f"sync {effects.sequence}")
    lines += [f"{node}->{o.to} {message_text(o.message)}" for o in effects.send_now]
    lines += [
        f"after sync {node}->{o.to} {message_text(o.message)}" for o in effects.send_after_sync
    ]
    lines += [f"commit {entry_text(entry)}" for entry in effects.committed]
    lines += [f"read {token} at {index}" for token, index in effects.reads]
    lines += [f"read {token} failed" for token in effects.reads_failed]
    lines += [f"rejected {payload.decode()}" for payload in effects.rejected]
    if effects.install is not None:
        lines.append(f"install snapshot {effects.install[1]}/{effects.install[0]}")
    if effects.voters_refused:
        lines.append(f"voters refused: {effects.voters_refused}")
    if effects.rejoined:
        lines.append("rejoined")
    if effects.snapshot_wanted:
        lines.append("snapshot wanted")
    return [f"  {line}" for line in lines]


def _event_text(event: RaftEvent) -> str:
    if isinstance(event, Received):
        return f"{event.message.sender}: {message_text(event.message)}"
    if isinstance(event, DiskSynced):
        return f"disk synced {event.sequence}"
    if isinstance(event, Tick):
        return "tick"
    if isinstance(event, SnapshotReady):
        return f"snapshot {event.last_term}/{event.last_index} of {len(event.data)} bytes"
    if isinstance(event, Propose):
        return "propose " + " ".join(data_text(payload.decode()) for payload in event.payloads)
    return str(event)


class _Trace(Watcher):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def event(self, node: NodeId, event: RaftEvent) -> None:
        self.lines.append(f"{node} <- {_event_text(event)}")

    def effects(self, node: NodeId, effects: RaftEffects) -> None:
        self.lines += _effects_text(node, effects)


class Transcript:
    """One run of commands over one ensemble."""

    def __init__(self) -> None:
        self._trace = _Trace()
        self._ensemble: Ensemble | None = None
        self._commands: dict[str, Callable[[list[str]], None]] = {
            "start": self._start,
            "campaign": self._campaign,
            "deliver": self._deliver,
            "propose": self._propose,
            "read": lambda a: self._step(a[0], ReadIndex(int(a[1]))),
            "drop": self._drop,
            "cut": self._cut,
            "heal": lambda _: self._of.cut.clear(),
            "crash": lambda a: self._of.crash(NodeId(int(a[0]))),
            "wipe": lambda a: self._of.wipe(NodeId(int(a[0]))),
            "restart": lambda a: self._of.start(NodeId(int(a[0]))),
            "sync": self._sync,
            "advance": self._advance,
            "tick": lambda a: self._step(a[0], TICK),
            "stabilize": lambda a: self._of.stabilize([NodeId(int(node)) for node in a]),
            "died": lambda a: self._step(a[0], PeerDied(NodeId(int(a[1])))),
            "link": lambda a: self._step(a[0], Contact(NodeId(int(a[1])), a[2] == "up")),
            "gap": lambda a: self._step(a[0], Gap(int(a[1]))),
            "transfer": self._transfer,
            "voters": lambda a: self._step(
                a[0], ChangeVoters(tuple(NodeId(int(voter)) for voter in a[1:]))
            ),
            "compact": lambda a: self._of.compact(NodeId(int(a[0]))),
            "state": self._state,
        }

    @property
    def _of(self) -> Ensemble:
        assert self._ensemble is not None, "begin with: start 1 2 3"
        return self._ensemble

    def run(self, command: str) -> str:
        """Carry out one line and return its trace."""
        self._trace.lines.clear()
        words = command.split()
        self._commands[words[0]](words[1:])
        return "\n".join(self._trace.lines) or "ok"

    def _step(self, node: str, event: RaftEvent) -> None:
        self._of.step(NodeId(int(node)), event)

    def _start(self, arguments: list[str]) -> None:
        learners = [int(word.removeprefix("learner:")) for word in arguments if ":" in word]
        voters = [int(word) for word in arguments if ":" not in word]
        self._ensemble = Ensemble(voters, learners=learners, config=CONFIG, watcher=self._trace)

    def _campaign(self, arguments: list[str]) -> None:
        """Move the clock to the time-out of one member, and tell only that one."""
        node = NodeId(int(arguments[0]))
        core = self._of.hosts[node].core
        assert core is not None
        due_ms = core.next_deadline_ms()
        assert due_ms is not None
        self._of.now_ms = max(self._of.now_ms, due_ms)
        self._of.step(node, TICK)

    def _links(self, arguments: list[str]) -> list[tuple[int, int]]:
        links = []
        for argument in arguments:
            source, to = argument.split("->")
            links.append((int(source), int(to)))
        return links

    def _deliver(self, arguments: list[str]) -> None:
        """Deliver what is in flight now (on the named links), not what comes of it."""
        links = self._links(arguments)
        chosen = [m for m in self._of.wire if not links or (m[0], m[1]) in links]
        for message in chosen:
            self._of.deliver(next(i for i, m in enumerate(self._of.wire) if m is message))

    def _drop(self, arguments: list[str]) -> None:
        links = self._links(arguments)
        kept = []
        for source, to, message in self._of.wire:
            if (source, to) in links:
                self._trace.lines.append(f"lost {source}->{to} {message_text(message)}")
            else:
                kept.append((source, to, message))
        self._of.wire = kept

    def _cut(self, arguments: list[str]) -> None:
        """Cut the named members off from all others, or the named links."""
        if "->" in arguments[0]:
            self._of.cut.update(self._links(arguments))
            return
        alone = {int(argument) for argument in arguments}
        for a in self._of.members:
            for b in self._of.members:
                if (a in alone) != (b in alone):
                    self._of.cut.add((a, b))

    def _propose(self, arguments: list[str]) -> None:
        payloads = tuple(argument.encode() for argument in arguments[1:])
        self._step(arguments[0], Propose(payloads))

    def _sync(self, arguments: list[str]) -> None:
        batches = int(arguments[1]) if len(arguments) > 1 else None
        self._of.sync(NodeId(int(arguments[0])), batches)

    def _advance(self, arguments: list[str]) -> None:
        """Move the clock, and tick (the named) members that are due."""
        self._of.now_ms += int(arguments[0])
        named = arguments[1:]
        for host in self._of.alive():
            assert host.core is not None
            due_ms = host.core.next_deadline_ms()
            chosen = not named or str(host.node) in named
            if chosen and due_ms is not None and due_ms <= self._of.now_ms:
                self._of.step(host.node, TICK)

    def _transfer(self, arguments: list[str]) -> None:
        to = NodeId(int(arguments[1])) if len(arguments) > 1 else None
        self._step(arguments[0], TransferLeadership(to))

    def _state(self, _: list[str]) -> None:
        for host in self._of.hosts.values():
            core = host.core
            if core is None:
                self._trace.lines.append(f"{host.node} down")
                continue
            self._trace.lines.append(
                f"{host.node} {core.role.value} term={core.term} leader={core.raft_leader}"
                f" last={core.last_index} commit={core.commit_index}"
                f" ready={serves(core, self._of.now)} applied={' '.join(data_text(data) for data in host.applied)}"
            )


def replay(text: str) -> str:
    """Run the commands of a transcript and return it with the traces they really give."""
    transcript = Transcript()
    out: list[str] = []
    in_trace = False
    for line in text.splitlines():
        if line == "----":
            in_trace = True
        elif in_trace:
            in_trace = bool(line)
        elif line.startswith("#"):
            out.append(line)
        elif line:
            out += [line, "----", transcript.run(line), ""]
    return "\n".join(out).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Compare or rewrite; returns the exit status."""
    rewrite = "--rewrite" in arguments
    named = [Path(argument) for argument in arguments if not argument.startswith("--")]
    status = 0
    for path in named or sorted(FOLDER.glob("*.txt")):
        recorded = path.read_text()
        replayed = replay(recorded)
        if rewrite:
            path.write_text(replayed)
        elif replayed != recorded:
            print(f"{path.name} differs")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
