"""``odradek migrate``: moves a running cluster from mode ``zookeeper`` to ``kraft``, and back.

The order of things: every coordinator is restarted once, in turn, so that it can be a controller
too; then one entry of their log hands the image over.  Each step is seen in the cluster itself, so
the same command goes on where an earlier one broke off.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from nodes.settings import ConfigError
from supervisor import commands
from supervisor.arguments import add_data_dir, data_dir_of
from supervisor.control import NoSupervisor, ask
from supervisor.coordinators import LOOK_AGAIN_S, SETTLE_MAX_S, settled
from supervisor.data_dir import DataDir
from supervisor.ensemble import ask_all_health, leader_of, members_in
from supervisor.moving import COORDINATOR, was_moved
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Message, Refusal
from transport.wire.messages.cluster import HealthResponse, NodeEndpoints
from transport.wire.messages.migration import (
    STAGE_NAMES,
    MigrateRequest,
    MigrateResponse,
    Stage,
)
from transport.wire.messages.supervision import MoveRequest, MoveResponse

ASK_MAX_MS = 2_000
ORDER_MAX_MS = 5_000
FAILED = 1

_EXAMPLES = """\
examples:
  odradek migrate start       coordinators become controllers; znodes and log hold the image
  odradek migrate status
  odradek migrate rollback    the brokers elect a controller again, and the znodes alone hold it
  odradek migrate finish      the log alone holds it: there is no way back
"""
_HEADINGS = ("NODE", "STAGE", "EPOCH", "VERSION", "HASH", "ZNODES")
_IMAGE_UNSEEN = dict.fromkeys(("epoch", "version", "hash", "znodes"))
_UNREACHABLE = "unreachable"
_ELSEWHERE = ErrorCode.CLUSTER_AUTHORIZATION_FAILED
"""A node of another host, which knows another key."""
_LATER = (ErrorCode.NOT_RAFT_LEADER, ErrorCode.REQUEST_TIMED_OUT)


class _NotRestarted(Exception):
    """A coordinator does not come back; to ask again and again would not bring it."""


def add_parser(tree: Any) -> None:
    """Mount ``migrate`` and its commands on the command line's tree."""
    migrate = tree.add_parser(
        "migrate", help="move a running cluster from mode zookeeper to kraft", epilog=_EXAMPLES
    )
    names = migrate.add_subparsers(dest="migrate_command", metavar="COMMAND", required=True)
    started = names.add_parser(
        "start",
        help="make the coordinators controllers, and move the image to their log",
        description="Restart every coordinator once, in turn, so that it can be a controller too; "
        "then move the cluster's image from the znodes to their log. Every change is written to "
        "the znodes as well, until `finish`.",
    )
    shown = names.add_parser(
        "status",
        help="show how far it is, and whether all hold the same",
        description="Show how far each coordinator is, and which image it holds. The exit status is 1 "
        "where one does not answer, is at another stage than the others, or says otherwise of the "
        "same version of the image.",
    )
    shown.add_argument("--json", action="store_true", help="for programs")
    finished = names.add_parser("finish", help="write to the znodes no more: no way back from here")
    returned = names.add_parser("rollback", help="let the znodes hold the image again, and brokers")
    started.set_defaults(run=lambda given: start(data_dir_of(given)))
    shown.set_defaults(run=lambda given: status(data_dir_of(given), as_json=given.json))
    finished.set_defaults(run=lambda given: finish(data_dir_of(given)))
    returned.set_defaults(run=lambda given: rollback(data_dir_of(given)))
    for parser in (started, shown, finished, returned):
        add_data_dir(parser)


def start(data_dir: DataDir) -> int:
    """Prepare the coordinators of this host, then hand the image over to their log."""
    members = _members(data_dir)
    failure = _note(data_dir, finished=False)
    if failure:
        return _fail(failure)
    try:
        prepared = settled(lambda: _are_prepared(data_dir, members))
    except _NotRestarted:
        return FAILED  # the restart has said why
    if not prepared:
        return _fail("not every coordinator is ready; see `odradek ensemble status`")
    answers = _asked(data_dir)
    here = _here(data_dir)
    others = [name for name in answers if not isinstance(answers[name], MigrateResponse)]
    if any(name in here for name in others):  # one that was ready a moment ago
        return _fail(f"{', '.join(others)} did not answer: nothing is moved yet; try again")
    if others:
        print(f"the coordinators of this host are prepared, but not {', '.join(others)} of others")
        return 0
    answer = _order(data_dir, members, Stage.MIRRORING)
    if isinstance(answer, str):
        return _fail(answer)
    print(
        f"{_image_in(answer)} is in the coordinators' log, and the znodes are kept up with it.\n"
        "`odradek migrate finish` ends that, `odradek migrate rollback` goes back"
    )
    return 0


def finish(data_dir: DataDir) -> int:
    """Let the log alone hold the image, and every later start here be one of mode ``kraft``."""
    answer = _order(data_dir, _members(data_dir), Stage.FINISHED)
    if isinstance(answer, str):
        return _fail(answer)
    failure = _note(data_dir, finished=True)
    if failure:
        return _fail(failure)
    print("the cluster is of mode kraft now; nothing has to be restarted for it")
    return 0


def rollback(data_dir: DataDir) -> int:
    """Let the znodes hold the image again, and the brokers elect a controller."""
    answer = _order(data_dir, _members(data_dir), Stage.ROLLED_BACK)
    if isinstance(answer, str):
        return _fail(answer)
    print(f"{_image_in(answer)} is in the znodes alone; the brokers elect a controller")
    return 0


def status(data_dir: DataDir, *, as_json: bool) -> int:
    """Print how far the move is, member by member; 0 where nothing is in the way of the next step.

    1: one does not answer, is at another stage (for a moment while a step is taken), or says
    otherwise of the same version of the image.
    """
    rows = [_row(name, answer) for name, answer in _asked(data_dir).items()]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        table = [_HEADINGS, *(tuple(map(_cell, row.values())) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for line in table:
            cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            print("  ".join(cells).rstrip())
    hashes = {row["version"]: row["hash"] for row in rows}
    same = all(hashes[row["version"]] == row["hash"] for row in rows)
    stages = {row["stage"] for row in rows}
    return 0 if same and len(stages) == 1 and _UNREACHABLE not in stages else FAILED


def _cell(value: object) -> str:
    return "-" if value is None else str(value)


def _row(name: str, answer: Message | None) -> dict[str, Any]:
    if not isinstance(answer, MigrateResponse):
        stage = "not prepared" if _knows_nothing_of_it(answer) else _UNREACHABLE
        return {"name": name, "stage": stage, **_IMAGE_UNSEEN}
    return {
        "name": name,
        "stage": STAGE_NAMES[answer.stage],
        **(_IMAGE_UNSEEN if answer.error == _ELSEWHERE else _image(answer)),
    }


def _image_in(answer: MigrateResponse) -> str:
    if answer.error == _ELSEWHERE:
        return "the image"
    return f"version {answer.version} of the image (hash {answer.digest[:12]})"


def _image(answer: MigrateResponse) -> dict[str, Any]:
    return {
        "epoch": answer.controller_epoch,
        "version": answer.version,
        "hash": answer.digest[:12],
        "znodes": "the same" if answer.mirrored else "other",
    }


def _members(data_dir: DataDir) -> list[NodeEndpoints]:
    """Return the coordinators, or what they have become. Raises ConfigError."""
    members = members_in(data_dir)
    cluster = data_dir.read_cluster()
    if was_moved(cluster) or any(COORDINATOR in member.roles for member in members):
        return members
    raise ConfigError("the cluster was made in mode kraft: there is nothing to move")


def _note(data_dir: DataDir, *, finished: bool) -> str:
    """Let the supervisor start nodes accordingly from now on; returns why not."""
    if was_moved(data_dir.read_cluster()):
        return "" if finished else "the cluster has moved to mode kraft: there is no way back"
    try:
        answer = ask(data_dir, MoveRequest(data_dir.key(), finished))
    except NoSupervisor as error:
        return str(error)
    assert isinstance(answer, MoveResponse)
    return answer.text


def _are_prepared(data_dir: DataDir, members: list[NodeEndpoints]) -> bool:
    """Restart who is no controller yet, the leader last; tell whether all here are, and ready.

    Nobody is restarted while another one is away, whatever keeps it: the majority is to stay.
    """
    answers = _asked(data_dir)
    here = _here(data_dir)
    words = ask_all_health(data_dir, members)
    leader = leader_of(members, words)
    plain = [name for name in here if _knows_nothing_of_it(answers.get(name))]
    for name in sorted(plain, key=lambda each: (each == leader, each)):
        if not _are_ready(data_dir, [member for member in members if member.name != name]):
            return False
        if commands.restart(data_dir, name) != 0:
            raise _NotRestarted
    able = all(isinstance(answers.get(name), MigrateResponse) for name in here)
    return able and _all_ready(words)


def _are_ready(data_dir: DataDir, members: list[NodeEndpoints]) -> bool:
    return _all_ready(ask_all_health(data_dir, members))


def _all_ready(words: list[HealthResponse | None]) -> bool:
    return all(word is not None and word.state == "ready" for word in words)


def _here(data_dir: DataDir) -> list[str]:
    """Return the names of the coordinators of this host."""
    cluster = data_dir.read_cluster()
    mine = {str(node.name) for node in cluster.nodes} if cluster is not None else set()
    return [str(member.name) for member in members_in(data_dir) if member.name in mine]


def _knows_nothing_of_it(answer: Message | None) -> bool:
    return isinstance(answer, Refusal) and answer.error == ErrorCode.UNKNOWN_API


def _asked(data_dir: DataDir) -> dict[str, Message | None]:
    """Ask every coordinator how far it is; returns the answers by name."""
    from odradek.cluster.question import ask_all

    members = _members(data_dir)
    answers = ask_all(
        [member.clients for member in members],
        MigrateRequest(data_dir.key()),
        timeout_ms=ASK_MAX_MS,
        keys=data_dir.keys_file(),
    )
    return {str(member.name): answer for member, answer in zip(members, answers, strict=True)}


def _order(data_dir: DataDir, members: list[NodeEndpoints], to: Stage) -> MigrateResponse | str:
    """Give an order to whoever leads, until it is done; returns why not otherwise."""
    from odradek.cluster.question import ask_one

    until_s = time.monotonic() + SETTLE_MAX_S
    while True:
        leader = leader_of(members, ask_all_health(data_dir, members))
        answer: Message | None = None
        for member in members:
            if member.name == leader:
                order = MigrateRequest(data_dir.key(), to)
                keys = data_dir.keys_file()
                answer = ask_one(member.clients, order, timeout_ms=ORDER_MAX_MS, keys=keys)
        if isinstance(answer, MigrateResponse) and answer.error == ErrorCode.NONE:
            return answer
        if isinstance(answer, MigrateResponse) and answer.error == _ELSEWHERE:
            if answer.stage is to:
                return answer
            return f"{leader} leads, on another host: give the command there"
        if _knows_nothing_of_it(answer):
            return "it has not begun: `odradek migrate start` prepares the coordinators first"
        passing = not isinstance(answer, MigrateResponse) or answer.error in _LATER
        if not passing or time.monotonic() >= until_s:
            break
        time.sleep(LOOK_AGAIN_S)  # a new leader, or a quorum that is busy
    if not isinstance(answer, MigrateResponse):
        return "nobody leads the coordinators now; see `odradek ensemble status`"
    return answer.text or meaning(answer.error).text


def _fail(text: str) -> int:
    sys.stderr.write(f"odradek: {text}\n")
    return FAILED
