"""``odradek top``: what every node does, once a second, out of its ``/metrics``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from odradek.cluster.bootstrap import find_seeds
from odradek.cluster.node_window import Metrics, look_at_all, read_metrics
from odradek.commands.arguments import add_addresses, guarded, hosts, seconds
from odradek.commands.doctor import describe_cluster
from transport.wire.apis import Api
from transport.wire.messages.cluster import NodeEndpoints

ASK_MAX_MS = 3_000

_EXAMPLES = """\
examples:
  odradek top
  odradek top --once --json
"""


WAITING = (Api.FETCH, Api.CONSUMER_GROUP_HEARTBEAT, Api.JOIN_GROUP, Api.SYNC_GROUP)
"""Answered when something has come, or when patience has ended: how long they took says nothing."""


class Row(NamedTuple):
    """One node during one interval."""

    node: str
    role: str
    requests_per_s: float
    mean_ms: float
    """Of the requests that were answered, but for those that may wait for something to come."""
    in_bytes_per_s: float
    out_bytes_per_s: float
    cpu: float
    """In cores."""
    resident_bytes: float
    leaders: float
    under_replicated: float
    log_bytes: float
    late_ms: float
    """How late the loop woke on average."""


_COLUMNS = (
    ("NODE", lambda row: row.node),
    ("DOES", lambda row: row.role),
    ("REQ/S", lambda row: f"{row.requests_per_s:,.0f}"),
    ("MEAN MS", lambda row: f"{row.mean_ms:.1f}"),
    ("IN MB/S", lambda row: f"{row.in_bytes_per_s / 1e6:.2f}"),
    ("OUT MB/S", lambda row: f"{row.out_bytes_per_s / 1e6:.2f}"),
    ("CPU %", lambda row: f"{100 * row.cpu:.0f}"),
    ("MB", lambda row: f"{row.resident_bytes / 1e6:.0f}"),
    ("LEADS", lambda row: f"{row.leaders:.0f}"),
    ("UNDER-REPL", lambda row: f"{row.under_replicated:.0f}"),
    ("LOG MB", lambda row: f"{row.log_bytes / 1e6:,.1f}"),
    ("LATE MS", lambda row: f"{row.late_ms:.1f}"),
)


def add_parser(subparsers: Any) -> None:
    """Mount ``top`` on the command line's tree."""
    parser = subparsers.add_parser(
        "top",
        help="show what every node does, live",
        description="Show what every node does, live; Ctrl-C ends it.  REQ/S counts all requests, "
        "MEAN MS leaves out those that wait for something to come (fetches, members of groups).",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_addresses(parser)
    parser.add_argument("--interval", type=seconds, default=1.0, metavar="S", help="(default: 1)")
    parser.add_argument("--once", action="store_true", help="measure one interval and end")
    parser.add_argument("--json", action="store_true", help="with --once: print a JSON list")
    parser.set_defaults(run=lambda given: guarded("top", lambda: _run(given)))


def _run(given: argparse.Namespace) -> int:
    if given.interval <= 0:
        raise ValueError("--interval must be above 0 seconds")
    if given.json and not given.once:
        raise ValueError("--json goes with --once")
    nodes = describe_cluster(find_seeds(hosts(given), given.keys), ASK_MAX_MS).nodes
    if given.once:
        rows = _measure(nodes, _look(nodes), given.interval)[1]
        print(json.dumps([row._asdict() for row in rows], indent=2) if given.json else _text(rows))
        return 0
    try:
        _live(nodes, given.interval)
    except KeyboardInterrupt:
        pass
    return 0


def _live(nodes: Sequence[NodeEndpoints], interval_s: float) -> None:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    seen = _look(nodes)
    shows = Console(file=sys.stdout)
    with Live(Text("measuring…"), console=shows, auto_refresh=False) as live:
        while True:
            seen, rows = _measure(nodes, seen, interval_s)
            live.update(Text(_text(rows)), refresh=True)


def _look(nodes: Sequence[NodeEndpoints]) -> list[Metrics | None]:
    return look_at_all(read_metrics, [node.http for node in nodes])


def _measure(
    nodes: Sequence[NodeEndpoints], before: list[Metrics | None], interval_s: float
) -> tuple[list[Metrics | None], list[Row]]:
    began_s = time.monotonic()
    time.sleep(interval_s)
    after = _look(nodes)
    took_s = time.monotonic() - began_s
    rows = [
        row(node, old, new, took_s) for node, old, new in zip(nodes, before, after, strict=True)
    ]
    return after, rows


def row(node: NodeEndpoints, old: Metrics | None, new: Metrics | None, took_s: float) -> Row:
    """Return what a node did between two looks; zeros where it was not seen twice."""
    if old is None or new is None:
        return Row(node.name, "unseen", *(0.0,) * (len(Row._fields) - 2))

    def grown(name: str, **labels: str) -> float:
        return max(0.0, new.total(name, **labels) - old.total(name, **labels))

    requests, wakes = grown("request_seconds_count"), grown("loop_late_seconds_count")
    prompt = requests - sum(grown("request_seconds_count", api=api.name) for api in WAITING)
    prompt_s = grown("request_seconds_sum") - sum(
        grown("request_seconds_sum", api=api.name) for api in WAITING
    )
    role = "/".join(node.roles)
    if new.total("active_controller") or new.total("raft_leads"):
        role += " *"
    return Row(
        node.name,
        role,
        requests / took_s,
        1000 * max(0.0, prompt_s) / prompt if prompt > 0 else 0.0,
        grown("door_bytes_total", direction="received") / took_s,
        grown("door_bytes_total", direction="sent") / took_s,
        grown("process_cpu_seconds") / took_s,
        new.total("process_resident_bytes"),
        new.total("leaders"),
        new.total("under_replicated_partitions"),
        new.total("log_bytes"),
        1000 * grown("loop_late_seconds_sum") / wakes if wakes else 0.0,
    )


def _text(rows: Sequence[Row]) -> str:
    table = [[name for name, _ in _COLUMNS]]
    table.extend([show(row) for _, show in _COLUMNS] for row in rows)
    widths = [max(len(line[column]) for line in table) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in table
    )
