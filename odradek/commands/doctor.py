"""``odradek doctor``: dials back every advertised endpoint, and says what is wrong and what to do.

Exit status: 0 nothing is wrong, 1 something does not work, 2 a wrong argument.
"""

from __future__ import annotations

import argparse
import json
import socket
import time
from pathlib import Path
from typing import Any

from odradek.cluster.bootstrap import Seeds, find_seeds
from odradek.cluster.node_window import look_at_all, read_health, read_metrics
from odradek.cluster.question import ask_all
from odradek.commands.arguments import EXIT_FAILED, add_addresses, guarded, hosts, seconds
from odradek.commands.counting import counted
from odradek.commands.examination import ERROR, Finding, Report, examine
from odradek.errors import NoClusterError
from transport.sockets.curve import read_keys
from transport.sockets.keys_error import KeysError
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.cluster import (
    DescribeNodeRequest,
    DescribeNodeResponse,
    HealthRequest,
    HealthResponse,
    NodeEndpoints,
)

_EXAMPLES = """\
examples:
  odradek doctor
  odradek doctor --bootstrap 10.0.0.1:9001 --json
"""


def add_parser(subparsers: Any) -> None:
    """Mount ``doctor`` on the command line's tree."""
    parser = subparsers.add_parser(
        "doctor",
        help="check every node and say what to do",
        description="Dial every advertised endpoint from here, compare clocks and versions, look at\n"
        "disks, descriptor limits and partitions, and say what to do. Exit status 1: something\n"
        "does not work.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_addresses(parser)
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=3.0,
        metavar="S",
        help="seconds for each door (default: 3)",
    )
    parser.set_defaults(run=lambda given: guarded("doctor", lambda: _run(given)))


def _run(given: argparse.Namespace) -> int:
    timeout_ms = int(given.timeout * 1000)
    seeds = find_seeds(hosts(given), given.keys)
    cluster = describe_cluster(seeds, timeout_ms)
    reports = _visit(cluster.nodes, seeds.keys, timeout_ms)
    findings = examine(reports)
    if given.json:
        print(json.dumps(_as_json(cluster, findings), indent=2))
    else:
        _show(cluster, findings)
    return EXIT_FAILED if any(each.severity == ERROR for each in findings) else 0


def describe_cluster(seeds: Seeds, timeout_ms: int) -> DescribeNodeResponse:
    """Return how the node that knows most of it describes the cluster. Raises NoClusterError."""
    try:
        answers = ask_all(
            seeds.endpoints, DescribeNodeRequest("odradek"), timeout_ms=timeout_ms, keys=seeds.keys
        )
    except KeysError as error:
        raise NoClusterError(str(error)) from None
    described = [answer for answer in answers if isinstance(answer, DescribeNodeResponse)]
    if described:
        return max(described, key=lambda one: len(one.nodes))
    remedy = "" if seeds.keys else "; a secured cluster answers only with keys (--keys)"
    raise NoClusterError(f"none of {', '.join(seeds.endpoints)} answers ({seeds.source}){remedy}")


def _visit(nodes: tuple[NodeEndpoints, ...], keys: Path | None, timeout_ms: int) -> list[Report]:
    reports = [Report(node) for node in nodes]
    for door in doors_open_to(keys):
        doors = [getattr(node, door) for node in nodes]
        answers = ask_all(doors, HealthRequest(), timeout_ms=timeout_ms, keys=keys)
        for report, answer in zip(reports, answers, strict=True):
            report.doors[door] = answer if isinstance(answer, HealthResponse) else None
    windows = [node.http for node in nodes]
    opened = look_at_all(lambda place: _opens(place, timeout_ms), [node.events for node in nodes])
    healths = look_at_all(_read_health, windows)
    metrics = look_at_all(read_metrics, windows)
    for report, is_open, health, seen in zip(reports, opened, healths, metrics, strict=True):
        report.events_open, report.metrics = is_open, seen
        report.health, report.clock_ahead_ms = health
    return reports


def doors_open_to(keys: Path | None) -> tuple[str, ...]:
    """Return the doors that answer to these keys: that of peers only to the cluster's own."""
    if keys is None or read_keys(keys).principal == CLUSTER_PRINCIPAL:
        return ("clients", "peers")
    return ("clients",)


def _opens(endpoint: str, timeout_ms: int) -> bool:
    """Tell whether somebody listens there: an events door says nothing by itself."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout_ms / 1000):
            return True
    except OSError:
        return False


def _read_health(http: str) -> tuple[dict[str, Any] | None, float]:
    """Return a node's /health, and how far its clock is ahead of ours (half a round trip fair)."""
    before_ms = time.time() * 1000
    health = read_health(http)
    after_ms = time.time() * 1000
    if health is None:
        return None, 0.0
    return health, float(health["wall_ms"]) - (before_ms + after_ms) / 2


def _as_json(cluster: DescribeNodeResponse, findings: list[Finding]) -> dict[str, Any]:
    return {
        "cluster_id": cluster.cluster_id,
        "nodes": [node.name for node in cluster.nodes],
        "healthy": not any(each.severity == ERROR for each in findings),
        "findings": [each._asdict() for each in findings],
    }


def _show(cluster: DescribeNodeResponse, findings: list[Finding]) -> None:
    for each in findings:
        subject = f"{each.node} {each.what}" if each.node else each.what
        print(f"{each.severity}: {subject}\n  {each.advice}")
    if not findings:
        print(f"all is well: {counted(len(cluster.nodes), 'node')}, every door open")
