"""``odradek broker list|describe|move|drain|undrain``; ``add`` and ``remove`` are the supervisor's.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from odradek.admin.client import AdminClient, LogDirDescription
from odradek.commands import directories
from odradek.commands.administration import Verbs, print_table
from odradek.commands.arguments import whole
from odradek.commands.counting import counted
from odradek.commands.reassigning import (
    add_going,
    agreed,
    carry_out,
    placed_now,
    show,
    wait_for,
)
from odradek.commands.reassignment_plan import Move, away_from, moves
from odradek.errors import ClientTimeoutError
from transport.wire.ids import TopicPartition

FORGET_MAX_S = 20.0
SETTLE_MAX_S = 5.0


def add_commands(tree: Any) -> None:
    """Add the commands to a tree that may have others."""
    verbs = Verbs("broker", tree)
    verbs.add("list", _list, "print every live broker and what it has", prints="a JSON list")
    describe = verbs.add("describe", _describe, "print what one broker has", prints="a JSON object")
    describe.add_argument("id", type=whole, metavar="ID")
    text = "move replicas to another log directory of their broker"
    directories.add_arguments(verbs.add("move", directories.move, text, prints="a JSON list"))
    drain = verbs.add("drain", _drain, "move everything away from a broker")
    drain.add_argument("id", type=whole, metavar="ID")
    add_going(drain)
    undrain = verbs.add("undrain", _undrain, "let a broker lead and get replicas again")
    undrain.add_argument("id", type=whole, metavar="ID")


def _rows(admin: AdminClient) -> dict[int, dict[str, object]]:
    cluster = admin.describe_cluster()
    rows: dict[int, dict[str, object]] = {}
    topics = admin.describe_topics(include_internal=True)
    parts = [part for topic in topics for part in topic.partitions]
    for broker in sorted(cluster.brokers, key=lambda one: one.id):
        node = int(broker.id)
        rows[node] = {
            "id": node,
            "name": broker.name,
            "rack": broker.rack,
            "clients": broker.clients,
            "controller": node == cluster.controller_id,
            "draining": broker.draining,
            "leads": sum(part.leader == node for part in parts),
            "replicas": sum(node in part.replicas for part in parts),
            "out_of_sync": sum(node in part.replicas and node not in part.isr for part in parts),
        }
    return rows


def _list(given: argparse.Namespace, admin: AdminClient) -> None:
    rows = list(_rows(admin).values())
    if given.json:
        print(json.dumps(rows))
        return
    table = [("id", "name", "rack", "leads", "replicas", "out of sync", "")]
    for row in rows:
        notes = [word for word in ("controller", "draining") if row[word]]
        shown = [row[word] for word in ("id", "name", "rack", "leads", "replicas", "out_of_sync")]
        table.append((*(str(cell) for cell in shown), " ".join(notes)))  # type: ignore[arg-type]
    print_table(table)


def _row(admin: AdminClient, node: int) -> dict[str, object]:
    rows = _rows(admin)
    if node not in rows:
        known = ", ".join(map(str, rows))
        raise ValueError(f"there is no live broker {node}; there are: {known}")
    return rows[node]


def _describe(given: argparse.Namespace, admin: AdminClient) -> None:
    row = _row(admin, given.id)
    found = admin.describe_log_dirs(given.id)
    if given.json:
        print(json.dumps({**row, "log_dirs": [_directory(one) for one in found]}))
        return
    for name, value in row.items():
        print(
            f"{name.replace('_', ' ')}: {str(value).lower() if value in (True, False) else value}"
        )

    for one in found:
        state = f"offline: {one.failure}" if one.failure else f"{one.free_bytes:,} bytes free"
        print(
            f"log directory {one.path}: {counted(len(one.logs), 'log')}, {one.size_bytes:,} bytes, {state}"
        )
        for key, future in sorted(one.future_logs.items()):
            told = (
                f"{future.size_bytes:,} bytes copied, {counted(future.offset_lag, 'offset')} behind"
            )
            print(f"  {key.topic}-{key.partition} moves here: {told}")


def _directory(found: LogDirDescription) -> dict[str, object]:
    return {
        "path": found.path,
        "failure": found.failure,
        "free_bytes": found.free_bytes,
        "size_bytes": found.size_bytes,
        "logs": {str(key): size_bytes for key, size_bytes in found.logs.items()},
        "future_logs": {str(key): future._asdict() for key, future in found.future_logs.items()},
    }


def _drain(given: argparse.Namespace, admin: AdminClient) -> None:
    drained(given, admin, given.id)


def drained(given: argparse.Namespace, admin: AdminClient, node: int) -> bool:
    """Move everything away from a broker, after its plan was agreed to; False: it was not.

    True: it has nothing any more (with ``no_wait``: all that it has is on its way).
    """
    shown = _plan_away(admin, node)
    show(shown)
    if not agreed(given):
        return False
    admin.drain_broker(node)
    plan = _plan_away(admin, node)  # what was placed there until then goes as well
    if plan != shown:
        show(plan)
    if plan:
        carry_out(given, admin, plan)
    if not given.no_wait:
        _wait_until_empty(admin, node)
    print(f"broker {node} leads nothing" + ("" if given.no_wait else " and has no replicas"))
    return True


def _plan_away(admin: AdminClient, node: int) -> list[Move]:
    """Return the moves that leave a broker without replicas, but for those that have begun."""
    brokers = admin.describe_cluster().brokers
    before = placed_now(admin)
    racks = {int(one.id): one.rack for one in brokers if not one.draining}
    if node not in {int(one.id) for one in brokers} and all(
        node not in replicas for replicas in before.values()
    ):
        raise ValueError(f"there is no broker {node}; see `odradek broker list`")
    own = set(admin.list_topics(include_internal=True)) - set(admin.list_topics())
    return moves(before, away_from(before, racks, [node], may_shrink=own))


def _wait_until_empty(admin: AdminClient, node: int) -> None:
    """Wait for moves that had begun before, too: a broker that ends now may be all that they copy.

    What is neither gone nor on its way is looked at for a while: the broker that is asked may be behind.
    """
    until_s = time.monotonic() + SETTLE_MAX_S
    while held := _held(admin, node):
        if not set(held).isdisjoint(admin.list_partition_reassignments()):
            wait_for(admin, held)
            until_s = time.monotonic() + SETTLE_MAX_S
        elif time.monotonic() >= until_s:
            raise ValueError(
                f"broker {node} has {counted(len(held), 'replica')} still, as of {held[0]}: somebody "
                "has cancelled a move, or made one; give the command again"
            )
        else:
            time.sleep(0.05)


def _held(admin: AdminClient, node: int) -> list[TopicPartition]:
    return [
        TopicPartition(topic.name, part.partition)
        for topic in admin.describe_topics(include_internal=True)
        for part in topic.partitions
        if node in part.replicas
    ]


def forgotten(admin: AdminClient, node: int) -> None:
    """Forget a broker whose process has ended, once the cluster has noticed that it has."""
    until_s = time.monotonic() + FORGET_MAX_S
    while any(int(one.id) == node for one in admin.describe_cluster().brokers):
        if time.monotonic() >= until_s:
            raise ClientTimeoutError(
                f"broker {node} has ended, but the cluster has not noticed yet"
            )
        time.sleep(0.05)
    admin.unregister_broker(node)


def _undrain(given: argparse.Namespace, admin: AdminClient) -> None:
    admin.drain_broker(given.id, draining=False)
    print(f"broker {given.id} may lead and get replicas again")
