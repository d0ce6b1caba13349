"""``odradek broker …``: the client's commands, and ``add`` and ``remove``, which start and stop one.

A broker is removed in this order: everything moved away from it, its process ended, its name
forgotten; whoever is interrupted can ask again.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

from nodes.config import EXIT_CONFIG, QUORUM_ROLES
from supervisor import commands
from supervisor.arguments import data_dir_of
from supervisor.control import NoSupervisor, ask
from supervisor.data_dir import Cluster, DataDir
from supervisor.member import BROKER, JOINED_ID_MIN, number_in
from supervisor.settings import broker_id
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeName
from transport.wire.messages.supervision import (
    AddNodeRequest,
    AddNodeResponse,
    RemoveNodeRequest,
    RemoveNodeResponse,
)

WAIT_MAX_MS = 70_000
FAILED = 1

_EXAMPLES = """\
examples:
  odradek broker list
  odradek broker describe 2 --json
  odradek broker add
  odradek broker add --rack cellar
  odradek broker move 2 words-0 words-1 --to /mnt/two/broker-2
  odradek broker move 2 words-0 --to logs --throttle 10000000
  odradek broker move 2 words-0 --cancel
  odradek broker drain 2 --plan
  odradek broker drain 2 --yes
  odradek broker undrain 2
  odradek broker remove 4 --plan
  odradek broker remove 4 --yes
"""


def add_parser(tree: Any) -> None:
    """Mount ``broker`` and its commands on the command line's tree."""
    from odradek.commands import broker
    from odradek.commands.arguments import add_addresses, seconds, whole
    from odradek.commands.reassigning import add_going

    parser = tree.add_parser(
        "broker",
        help="list, add, drain and remove brokers",
        description="List, describe, add, drain and remove brokers, and move their logs between disks.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = parser.add_subparsers(dest="broker_command", metavar="COMMAND", required=True)
    broker.add_commands(names)
    added = names.add_parser(
        "add",
        help="start one more broker on this host; returns when it serves",
        description="Start one more broker on this host. It has no replicas yet: "
        "`odradek partition reassign --balance` gives it its share.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.add_argument("--rack", default="", metavar="R", help="where it stands (default: unknown)")
    add_addresses(added)
    added.set_defaults(run=lambda given: add(data_dir_of(given), given.rack))
    removed = names.add_parser(
        "remove",
        help="move everything away from a broker, then end it for good",
        description="Move everything away from a broker, by a plan that is shown first, then end "
        "it for good. Its data directory stays.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    removed.add_argument("id", type=whole, metavar="ID")
    add_addresses(removed)
    removed.add_argument(
        "--timeout", type=seconds, default=30.0, metavar="S", help="seconds to wait (default: 30)"
    )
    add_going(removed)
    removed.set_defaults(run=lambda given: remove(given, data_dir_of(given)))


def add(data_dir: DataDir, rack: str) -> int:
    """Start one more broker; returns the exit status."""
    try:
        answer = ask(
            data_dir, AddNodeRequest(commands.key_of(data_dir), rack), timeout_ms=WAIT_MAX_MS
        )
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, AddNodeResponse)
    if answer.error != ErrorCode.NONE:
        return _fail(answer.text, commands.exit_status(answer.error))
    print(f"{answer.name} is ready (pid {answer.pid}); give it its share of the replicas with")
    print("  odradek partition reassign --balance")
    return 0


def remove(given: argparse.Namespace, data_dir: DataDir) -> int:
    """Drain a broker, end it, forget it; returns the exit status."""
    from odradek.commands import broker
    from odradek.commands.administration import run

    if given.no_wait:
        return _fail("a broker is removed when it is empty: leave --no-wait out", EXIT_CONFIG)
    cluster = data_dir.read_cluster()
    name = _name_of(cluster, given.id)
    if cluster is None or name not in cluster.removed:  # else an earlier command broke off later
        wrong = _cannot_end(cluster, name, given.id)
        if wrong:  # before anything is moved away from it
            return _fail(wrong, EXIT_CONFIG)
        agreed: list[bool] = []
        status = run(
            "broker remove",
            given,
            lambda _, admin: agreed.append(broker.drained(given, admin, given.id)),
        )
        if status or agreed != [True]:
            return status
    request = RemoveNodeRequest(commands.key_of(data_dir), name)
    try:
        answer = ask(data_dir, request, timeout_ms=WAIT_MAX_MS)
    except NoSupervisor as error:
        return _fail(str(error))
    assert isinstance(answer, RemoveNodeResponse)
    if answer.error != ErrorCode.NONE:
        return _fail(answer.text, commands.exit_status(answer.error))
    status = run("broker remove", given, lambda _, admin: broker.forgotten(admin, given.id))
    if status == 0:
        print(f"{name} is removed; its data directory stays")
        for line in left_behind(data_dir.read_cluster()):
            print(line)
    return status


def left_behind(cluster: Cluster | None) -> list[str]:
    """Return what to say of the members of the quorum on a host, of several, that has no broker any more.

    They are nobody else's to place: the quorum has them where its settings name them.
    """
    if cluster is None or not cluster.elsewhere or any("broker" in n.roles for n in cluster.nodes):
        return []
    role = QUORUM_ROLES[cluster.mode]
    return [
        f"{node.name} runs here still and may vote: before this host goes for good, end its vote by"
        f" `odradek ensemble remove {node.name} --observe` on the host whose {role} leads (`odradek"
        " ensemble status`); without its vote fewer of the others may fail"
        for node in cluster.nodes
        if role in node.roles
    ]


def _cannot_end(cluster: Cluster | None, name: NodeName, number: int) -> str:
    """Return why a broker cannot be ended for good by a command here; empty: it can."""
    if cluster is None or (
        number < JOINED_ID_MIN and all(one.name != name for one in cluster.everywhere)
    ):
        return ""  # that there is none is told by who knows all of them
    here = {node.name: node for node in cluster.nodes}
    emptied = f"`odradek broker drain {number}` moves everything away from it"
    if name not in here:
        return (
            f"{name} does not run here: give the command on its own host; where that is gone for good,"
            f" {emptied}"
        )
    if here[name].roles != (BROKER,):
        return f"{name} is of the quorum itself: it cannot be removed; {emptied}"
    return ""


def _name_of(cluster: Cluster | None, node_id: int) -> NodeName:
    """Return the name of the broker with that id; where there is none, what it was or would be."""
    nodes = cluster.everywhere if cluster is not None else ()
    named = (node.name for node in nodes if node.id == node_id and "broker" in node.roles)
    removed = cluster.removed if cluster is not None else ()
    were = (
        name
        for name in removed
        if name.startswith(f"{BROKER}-") and broker_id(number_in(name)) == node_id
    )
    return next(named, None) or next(were, NodeName(f"{BROKER}-{node_id}"))


def _fail(text: str, status: int = FAILED) -> int:
    sys.stderr.write(f"odradek: {text}\n")
    return status
