"""``odradek ensemble`` and ``odradek quorum``: people's view of those who hold the quorum's log.

Asks them themselves, by the addresses in the data directory; only ``rebuild`` is the
supervisor's work.
"""

from __future__ import annotations

import json
import sys
import time
from types import ModuleType
from typing import Any

from nodes.config import QUORUM_ROLES
from nodes.settings import ConfigError, nearest
from supervisor import commands
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.data_dir import DataDir
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import NO_NODE, NodeId, NodeName
from transport.wire.messages.cluster import HealthRequest, HealthResponse, NodeEndpoints

ASK_MAX_MS = 1_000
ORDER_MAX_MS = 30_000
SETTLE_MAX_S = 5.0
FAILED = 1

_EXAMPLES = """\
examples:
  odradek ensemble status
  odradek ensemble add
  odradek ensemble add observer-1
  odradek ensemble remove coordinator-3
  odradek ensemble remove coordinator-3 --observe
  odradek ensemble transfer coordinator-2
  odradek ensemble snapshot
  odradek ensemble rebuild coordinator-2
"""
_QUORUM_EXAMPLES = """\
examples:
  odradek quorum describe
  odradek quorum add observer-1
  odradek quorum remove node-3
"""
_HEADINGS = ("NODE", "ID", "ROLE", "STATE", "TERM", "COMMITTED", "APPLIED", "ZXID", "SESSIONS")


def add_parser(tree: Any) -> None:
    """Mount ``ensemble`` and its commands on the command line's tree."""
    ensemble = tree.add_parser(
        "ensemble", help="look after the coordinators, or controllers", epilog=_EXAMPLES
    )
    names = ensemble.add_subparsers(dest="ensemble_command", metavar="COMMAND", required=True)
    shown = names.add_parser("status", help="show who leads, and how far each coordinator is")
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=lambda given: status(data_dir_of(given), as_json=given.json))
    handed = names.add_parser("transfer", help="let another coordinator lead")
    handed.add_argument("node", metavar="NODE", nargs="?", default="", help="who (default: any)")
    handed.set_defaults(run=lambda given: transfer(data_dir_of(given), given.node))
    added = names.add_parser(
        "add",
        help="start one more coordinator, or let an observer vote, once it has caught up",
        description="Start one more coordinator on this host and let it vote. The others are "
        "restarted in turn, the leader last, so that they know of it. One that was added before and "
        "does not vote yet goes on instead. With the name of an observer: let that one vote.",
    )
    added.add_argument("node", metavar="NODE", nargs="?", default="", help="(default: a new one)")
    added.set_defaults(run=lambda given: _coordinators().add(data_dir_of(given), given.node))
    removed = names.add_parser(
        "remove", help="let a coordinator vote no more, and stop it for good"
    )
    removed.add_argument("node", metavar="NODE")
    removed.add_argument("--observe", action="store_true", help="let it go on without a vote")
    removed.set_defaults(
        run=lambda given: _coordinators().remove(
            data_dir_of(given), given.node, observe=given.observe
        )
    )
    taken = names.add_parser("snapshot", help="write a snapshot now, and cut the log before it")
    taken.add_argument("node", metavar="NODE", nargs="?", default="", help="where (default: all)")
    taken.set_defaults(run=lambda given: snapshot(data_dir_of(given), given.node))
    rebuilt = names.add_parser(
        "rebuild",
        help="fill a coordinator whose data is damaged or gone anew; returns when it serves",
        description="Move a coordinator's data aside and let the others fill it anew. Until it "
        "holds everything again it does not vote, so a majority of all must be ready without it.",
    )
    rebuilt.add_argument("node", metavar="NODE")
    rebuilt.set_defaults(run=lambda given: rebuild(data_dir_of(given), given.node))
    for parser in (shown, handed, added, removed, taken, rebuilt):
        add_data_dir(parser)
    _add_quorum_parser(tree)


def _add_quorum_parser(tree: Any) -> None:
    """Mount ``quorum``: the same under the names that Kafka's users look for."""
    quorum = tree.add_parser(
        "quorum", help="see and change who votes in the quorum", epilog=_QUORUM_EXAMPLES
    )
    names = quorum.add_subparsers(dest="quorum_command", metavar="COMMAND", required=True)
    shown = names.add_parser("describe", help="show who leads, who votes, and how far each is")
    shown.add_argument("--json", action="store_true", help="for programs")
    shown.set_defaults(run=lambda given: status(data_dir_of(given), as_json=given.json))
    added = names.add_parser("add", help="let an observer vote, once it has caught up")
    removed = names.add_parser("remove", help="let a member observe, and vote no more")
    for parser, votes in ((added, True), (removed, False)):
        parser.add_argument("node", metavar="NODE")
        parser.set_defaults(
            run=lambda given, votes=votes: change(data_dir_of(given), given.node, votes=votes)
        )
    for parser in (shown, added, removed):
        add_data_dir(parser)


def _coordinators() -> ModuleType:
    from supervisor import coordinators

    return coordinators


def status(data_dir: DataDir, *, as_json: bool) -> int:
    """Print the ensemble; the exit status is 1 where nobody leads."""
    members = members_in(data_dir)
    words = ask_all_health(data_dir, members)
    if as_json:
        rows = [_as_json(*pair) for pair in zip(members, words, strict=True)]
        print(json.dumps({"leader": leader_of(members, words), "members": rows}, indent=2))
    else:
        table = [_HEADINGS, *(_row(*pair) for pair in zip(members, words, strict=True))]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            print("  ".join(cells).rstrip())
    return 0 if leader_of(members, words) is not None else FAILED


def transfer(data_dir: DataDir, name: str) -> int:
    """Let another coordinator lead; returns when it does."""
    from odradek.cluster.question import ask_one
    from transport.wire.messages.ensemble import (
        TransferLeadershipRequest,
        TransferLeadershipResponse,
    )

    keys = data_dir.keys_file()
    members = members_in(data_dir)
    to = find_member(members, name).id if name else NO_NODE
    leader = leader_of(members, ask_all_health(data_dir, members))
    if leader is None:
        return _fail("nobody leads the ensemble now; see `odradek ensemble status`")
    if leader == name:
        print(f"{name} leads already")
        return 0
    order = TransferLeadershipRequest(data_dir.key(), NodeId(to))
    answer = ask_one(
        find_member(members, leader).clients, order, timeout_ms=ORDER_MAX_MS, keys=keys
    )
    if not isinstance(answer, TransferLeadershipResponse) or answer.error:
        return _fail(f"{leader} leads still: {_why(answer)}")
    now = next((member.name for member in members if member.id == answer.leader), "another")
    print(f"{now} leads now")
    return 0


def change(data_dir: DataDir, name: str, *, votes: bool) -> int:
    """Let a member vote, or not vote any more; returns when that is committed.

    Whether it is so already is the leader's to say: the member's own word may be of before the last change.
    """
    from odradek.cluster.question import ask_one
    from transport.wire.messages.ensemble import ChangeVotersRequest, ChangeVotersResponse

    keys = data_dir.keys_file()
    members = members_in(data_dir)
    node = find_member(members, name)
    leads = leader_of(members, ask_all_health(data_dir, members)) == name
    if not votes and leads and transfer(data_dir, "") != 0:
        return FAILED
    order = ChangeVotersRequest(data_dir.key(), node.id, votes)
    until_s = time.monotonic() + SETTLE_MAX_S
    while True:
        leader = leader_of(members, ask_all_health(data_dir, members))
        if leader is None:
            answer = None
        else:
            answer = ask_one(
                find_member(members, leader).clients, order, timeout_ms=ORDER_MAX_MS, keys=keys
            )
        if not _may_pass(answer) or time.monotonic() >= until_s:
            break
        time.sleep(0.1)  # A new leader, or a member that is still catching up.
    if not isinstance(answer, ChangeVotersResponse) or answer.error:
        command = f"add {name}" if votes else f"remove {name} --observe"
        text = _why(answer, f"{leader} does it, there: `odradek ensemble {command}`")
        return _fail(f"{name} is not {'added' if votes else 'removed'}: {text}")
    if answer.text:
        print(f"{name} {'votes' if votes else 'observes'} already")
        return 0
    voters = ", ".join(member.name for member in members if member.id in answer.voters)
    print(f"{name} {'votes' if votes else 'observes'} now; the voters are {voters}")
    return 0


def snapshot(data_dir: DataDir, name: str) -> int:
    """Write a snapshot on one coordinator, or on each."""
    from odradek.cluster.question import ask_one
    from transport.wire.messages.ensemble import TakeSnapshotRequest, TakeSnapshotResponse

    keys = data_dir.keys_file()
    members = members_in(data_dir)
    failed = 0
    for member in [find_member(members, name)] if name else members:
        order = TakeSnapshotRequest(data_dir.key())
        answer = ask_one(member.clients, order, timeout_ms=ORDER_MAX_MS, keys=keys)
        if isinstance(answer, TakeSnapshotResponse) and not answer.error:
            print(f"{member.name}: a snapshot up to entry {answer.last_index}")
        else:
            failed = _fail(f"{member.name}: {_why(answer)}")
    return failed


def rebuild(data_dir: DataDir, name: str) -> int:
    """Start a member anew without its log; return when its peers have filled it again."""
    from supervisor.control import NoSupervisor, ask
    from transport.wire.messages.supervision import RebuildNodeRequest, RebuildNodeResponse

    cluster = data_dir.read_cluster()
    elsewhere = cluster.elsewhere if cluster is not None else ()
    roles = frozenset(QUORUM_ROLES.values())
    others = [member for member in elsewhere if not roles.isdisjoint(member.roles)]
    words = ask_all_health(data_dir, others) if others else []
    voters = [word for one, word in zip(others, words, strict=True) if _votes(one, word)]
    ready = sum(word is not None and word.state == "ready" for word in voters)
    order = RebuildNodeRequest(commands.key_of(data_dir), NodeName(name), len(voters), ready)
    try:
        answer = ask(data_dir, order, timeout_ms=commands.RESTART_MAX_MS)
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, RebuildNodeResponse)
    if answer.error != ErrorCode.NONE:
        _fail(answer.text)
        return commands.exit_status(answer.error)
    print(f"{name} is filled anew and ready (pid {answer.pid}); what it held is kept beside it")
    return 0


def _votes(member: NodeEndpoints, word: HealthResponse | None) -> bool:
    """Tell whether a member votes: by its own word, or by its settings where it says nothing, or does
    not serve yet and may have forgotten."""
    named = "observer" not in member.roles
    if word is None or word.state != "ready":
        return named
    return bool(word.figures.get("raft_voter", named))


def members_in(data_dir: DataDir) -> list[NodeEndpoints]:
    """Return the coordinators of the cluster that lives here. Raises ConfigError."""
    cluster = data_dir.read_cluster()
    if cluster is None:
        raise ConfigError(f"no cluster lives in {data_dir}; start one with `odradek start`")
    return [node for node in cluster.everywhere if QUORUM_ROLES[cluster.mode] in node.roles]


def find_member(members: list[NodeEndpoints], name: str) -> NodeEndpoints:
    """Return the coordinator of that name; ConfigError names the nearest."""
    for member in members:
        if member.name == name:
            return member
    known = [str(member.name) for member in members]
    raise ConfigError(f"{name!r} is no member of the quorum; {nearest(name, known)}")


def ask_all_health(data_dir: DataDir, members: list[NodeEndpoints]) -> list[HealthResponse | None]:
    """Return each one's word about itself; None: it does not answer."""
    from odradek.cluster.question import ask_all

    answers = ask_all(
        [member.clients for member in members],
        HealthRequest(),
        timeout_ms=ASK_MAX_MS,
        keys=data_dir.keys_file(),
    )
    return [answer if isinstance(answer, HealthResponse) else None for answer in answers]


def leader_of(members: list[NodeEndpoints], words: list[HealthResponse | None]) -> str | None:
    """Return who leads the newest term, and is heard by a majority."""
    leading = [
        (word.figures.get("raft_term", 0), str(member.name))
        for member, word in zip(members, words, strict=True)
        if word is not None and word.leader and word.state == "ready"
    ]
    return max(leading)[1] if leading else None


def _role(word: HealthResponse | None) -> str:
    if word is None:
        return "unknown"
    if word.figures.get("raft_rebuilding"):
        return "rebuilding"
    if word.leader:
        return "leader"
    return "follower" if word.figures.get("raft_voter", 1) else "observer"


def _as_json(member: NodeEndpoints, word: HealthResponse | None) -> dict[str, Any]:
    figures = word.figures if word is not None else {}
    return {
        "name": member.name,
        "id": member.id,
        "role": _role(word),
        "state": word.state if word is not None else "unreachable",
        "term": figures.get("raft_term"),
        "commit_index": figures.get("raft_commit_index"),
        "last_index": figures.get("raft_last_index"),
        "applied_index": figures.get("applied_index"),
        "zxid": figures.get("zxid"),
        "sessions": figures.get("sessions_served"),
    }


def _row(member: NodeEndpoints, word: HealthResponse | None) -> tuple[str, ...]:
    row = _as_json(member, word)
    keys = ("term", "commit_index", "applied_index", "zxid", "sessions")
    figures = ("-" if row[key] is None else str(row[key]) for key in keys)
    return (row["name"], str(row["id"]), row["role"], row["state"], *figures)


def _may_pass(answer: Any) -> bool:
    """Tell whether it may be done the next time: whoever led a moment ago may lead no more, or be gone."""
    return answer is None or meaning(answer.error).retriable or _why(answer).endswith("try again")


def _why(answer: Any, there: str = "give the command there") -> str:
    if answer is None:
        return "it does not answer; see `odradek ensemble status`"
    if answer.error == ErrorCode.CLUSTER_AUTHORIZATION_FAILED:
        return f"whoever is to do it takes orders from its own host alone: {there}"
    return str(answer.text or meaning(answer.error).text)


def _fail(text: str) -> int:
    sys.stderr.write(f"odradek: {text}\n")
    return FAILED
