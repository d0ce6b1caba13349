"""``odradek broker list|describe|drain|undrain``; ``add`` and ``remove`` are the supervisor's.

Owns what these commands take and print; the admin client does the work.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

from odradek.admin import AdminClient
from odradek.commands.arguments import add_addresses, guarded, hosts
from odradek.commands.reassigning import add_going, agreed, carry_out, placed_now, show
from odradek.errors import ClientTimeoutError
from odradek.reassignment_plan import away_from, moves

FORGET_MAX_S = 20.0

Handler = Callable[[argparse.Namespace, AdminClient], None]

_EXAMPLES = """\
examples:
  odradek broker list
  odradek broker describe 2 --json
  odradek broker drain 2 --plan
  odradek broker drain 2 --yes
  odradek broker undrain 2
"""


def add_commands(tree: Any) -> None:
    """Add the commands to a tree that may have others."""
    list_ = _add(tree, "list", _list, "print every live broker and what it has")
    list_.add_argument("--json", action="store_true", help="print a JSON list")
    describe = _add(tree, "describe", _describe, "print what one broker has")
    describe.add_argument("id", type=int, metavar="ID")
    describe.add_argument("--json", action="store_true", help="print a JSON object")
    drain = _add(tree, "drain", _drain, "move everything away from a broker")
    drain.add_argument("id", type=int, metavar="ID")
    add_going(drain)
    undrain = _add(tree, "undrain", _undrain, "let a broker lead and get replicas again")
    undrain.add_argument("id", type=int, metavar="ID")


def _add(tree: Any, name: str, handler: Handler, text: str) -> argparse.ArgumentParser:
    examples = [line for line in _EXAMPLES.splitlines() if f" broker {name}" in line]
    parser: argparse.ArgumentParser = tree.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="\n".join(["examples:", *examples]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_addresses(parser)
    parser.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="seconds to wait (default: 30)"
    )
    parser.set_defaults(run=lambda given: run(given, handler))
    return parser


def run(given: argparse.Namespace, handler: Handler) -> int:
    """Run one command with a client of its own; returns the exit status."""

    def command() -> int:
        timeout_ms = max(1, int(given.timeout * 1000))
        with AdminClient(hosts(given), request_timeout_ms=timeout_ms, security=given.keys) as admin:
            handler(given, admin)
        return 0

    return guarded(f"broker {given.broker_command}", command)


def _rows(admin: AdminClient) -> dict[int, dict[str, object]]:
    cluster = admin.describe_cluster()
    rows: dict[int, dict[str, object]] = {}
    parts = [part for topic in admin.describe_topics() for part in topic.partitions]
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
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        print("  ".join(cells).rstrip())


def _row(admin: AdminClient, node: int) -> dict[str, object]:
    rows = _rows(admin)
    if node not in rows:
        known = ", ".join(map(str, rows))
        raise ValueError(f"there is no live broker {node}; there are: {known}")
    return rows[node]


def _describe(given: argparse.Namespace, admin: AdminClient) -> None:
    row = _row(admin, given.id)
    if given.json:
        print(json.dumps(row))
        return
    for name, value in row.items():
        print(
            f"{name.replace('_', ' ')}: {str(value).lower() if value in (True, False) else value}"
        )


def _drain(given: argparse.Namespace, admin: AdminClient) -> None:
    drained(given, admin, given.id)


def drained(given: argparse.Namespace, admin: AdminClient, node: int) -> bool:
    """Move everything away from a broker, after its plan was agreed to; False: it was not."""
    brokers = admin.describe_cluster().brokers
    before = placed_now(admin)
    racks = {int(one.id): one.rack for one in brokers if not one.draining}
    if node not in {int(one.id) for one in brokers} and all(
        node not in replicas for replicas in before.values()
    ):
        raise ValueError(f"there is no broker {node}; see `odradek broker list`")
    plan = moves(before, away_from(before, racks, [node]))
    show(plan)
    if not agreed(given):
        return False
    admin.drain_broker(node)
    if plan:
        carry_out(given, admin, plan)
    print(f"broker {node} leads nothing" + ("" if given.no_wait else " and has no replicas"))
    return True


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
