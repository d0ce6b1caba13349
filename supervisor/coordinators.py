"""``odradek ensemble add|remove``: coordinators that come and go while the cluster runs.

The order of things: a new coordinator is started as an observer; the others are restarted in turn,
the leader last, so that they know of it; then it votes.  Whoever is to go votes no more first.
Each step is seen in the cluster itself, so the same command goes on where an earlier one broke off.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from nodes.config import EXIT_CONFIG
from supervisor import commands
from supervisor.control import NoSupervisor, ask
from supervisor.data_dir import Cluster, DataDir
from supervisor.ensemble import ask_all_health, change, find_member, leader_of, members_in
from supervisor.member import BROKER
from supervisor.moving import COORDINATOR
from transport.wire.ids import NodeName
from transport.wire.messages.cluster import DescribeNodeRequest, DescribeNodeResponse
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
)

SETTLE_MAX_S = 60.0
BEGIN_MAX_S = 5.0
"""Until a coordinator that was just started says who it is."""
LOOK_AGAIN_S = 0.1
ASK_MAX_MS = 1_000
END_MAX_MS = 70_000
"""Above what a node may take to end."""
FAILED = 1
REMOVE = "odradek ensemble remove"


def add(data_dir: DataDir, name: str) -> int:
    """Let a coordinator vote; without a name start a new one first, or go on with such a one."""
    if not name:
        name = _without_vote(data_dir)
        if name:
            print(f"{name} was added before and does not vote: this goes on with it")
    if not name:
        try:
            answer = ask(data_dir, AddNodeRequest(commands.key_of(data_dir), coordinator=True))
        except NoSupervisor as error:
            return _fail(str(error))
        assert isinstance(answer, AddNodeResponse)
        if answer.error:
            return _fail(answer.text, commands.exit_status(answer.error))
        name = answer.name
        print(f"{name} is started; if this breaks off, `odradek ensemble add {name}` goes on")
    find_member(members_in(data_dir), name)
    if not _introduce(data_dir, name):
        return FAILED
    if not settled(lambda: _is_ready(data_dir, name)):
        return _fail(f"{name} has not caught up yet; see `odradek ensemble status`")
    return change(data_dir, name, votes=True)


def remove(data_dir: DataDir, name: str, *, observe: bool) -> int:
    """Let a coordinator vote no more and, unless it is to ``observe``, end it for good.

    One of another host is ended there first, and then forgotten here.
    """
    cluster = data_dir.read_cluster()
    there = [one for one in cluster.elsewhere if one.name == name] if cluster is not None else []
    wrong = "" if observe or cluster is None else _cannot_end(data_dir, cluster, name)
    if wrong:  # before its vote is ended for that
        return _fail(wrong, EXIT_CONFIG)
    failed = change(data_dir, name, votes=False)
    if failed or observe:
        return failed
    # Its own word, by which the supervisor goes, may be a second old.
    until_s = time.monotonic() + SETTLE_MAX_S
    while True:
        order = RemoveNodeRequest(commands.key_of(data_dir), NodeName(name), observes=True)
        try:
            answer = ask(data_dir, order, timeout_ms=END_MAX_MS)
        except NoSupervisor as error:
            return _fail(str(error))
        assert isinstance(answer, RemoveNodeResponse)
        if "votes still" not in answer.text or time.monotonic() >= until_s:
            break
        time.sleep(LOOK_AGAIN_S)
    if answer.error:
        return _fail(answer.text, commands.exit_status(answer.error))
    if there:
        print(f"{name} is forgotten on this host")
    else:
        print(f"{name} is stopped; its data stays in {data_dir.node_dir(name)}")
    return 0


def _cannot_end(data_dir: DataDir, cluster: Cluster, name: str) -> str:
    """Return why a member of the quorum cannot be ended for good, or forgotten, here; empty: it can."""
    if any(one.name == name and BROKER in one.roles for one in cluster.everywhere):
        return (
            f"{name} is a broker too, and goes on; `{REMOVE} {name} --observe` ends its vote alone"
        )
    there = [one for one in cluster.elsewhere if one.name == name]
    if there and ask_all_health(data_dir, there) != [None]:
        done = f"once `{REMOVE} {name} --observe` is done"
        return f"{name} runs on another host: give the command there, {done}"
    return ""


def _introduce(data_dir: DataDir, name: str) -> bool:
    """Restart who does not know of a coordinator, the leader last; it hands over by itself."""
    from odradek.cluster.question import ask_all

    members = [member for member in members_in(data_dir) if member.name != name]
    told = ask_all(
        [member.clients for member in members],
        DescribeNodeRequest("odradek"),
        timeout_ms=ASK_MAX_MS,
        keys=data_dir.keys_file(),
    )
    strangers = [
        str(member.name)
        for member, answer in zip(members, told, strict=True)
        if not isinstance(answer, DescribeNodeResponse)
        or name not in [node.name for node in answer.nodes]
    ]
    leader = leader_of(members, ask_all_health(data_dir, members))
    for stranger in sorted(strangers, key=lambda each: (each == leader, each)):
        if commands.restart(data_dir, stranger) != 0:
            return False
    return True


def _without_vote(data_dir: DataDir) -> str:
    """Return the coordinator of an earlier command that has no vote yet; empty: there is none.

    It may be at its start; one that stays silent is taken for a voter that is down.
    """
    cluster = data_dir.read_cluster()
    added = [] if cluster is None else [one for one in cluster.nodes if one.name in cluster.added]
    members = [one for one in added if COORDINATOR in one.roles]
    until_s = time.monotonic() + BEGIN_MAX_S
    while members:
        words = ask_all_health(data_dir, members)
        for member, word in zip(members, words, strict=True):
            if word is not None and not word.figures.get("raft_voter", 1):
                return str(member.name)
        if None not in words or time.monotonic() >= until_s:
            break
        time.sleep(LOOK_AGAIN_S)
    return ""


def _is_ready(data_dir: DataDir, name: str) -> bool:
    [word] = ask_all_health(data_dir, [find_member(members_in(data_dir), name)])
    return word is not None and word.state == "ready"


def settled(condition: Callable[[], bool]) -> bool:
    """Wait until ``condition`` holds; False: it does not within a minute."""
    until_s = time.monotonic() + SETTLE_MAX_S
    while not condition():
        if time.monotonic() >= until_s:
            return False
        time.sleep(LOOK_AGAIN_S)
    return True


def _fail(text: str, status: int = FAILED) -> int:
    sys.stderr.write(f"odradek: {text}\n")
    return status
