"""What a cluster's own words and the ways to it say about its health, and what to do about it.

Pure: judges reports that :mod:`odradek.commands.doctor` has gathered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from odradek.cluster.node_window import Metrics
from odradek.commands.counting import counted
from transport.sockets.certificate import EXPIRES_SOON_S
from transport.wire.messages.cluster import HealthResponse, NodeEndpoints

CLOCK_SPREAD_MAX_MS = 1_000
"""Between the clocks of two nodes; record timestamps and TTLs go by them."""
DISK_FREE_MIN = 0.10
DISK_FREE_LEAST = 0.01
DESCRIPTORS_MIN = 4_096
DESCRIPTORS_USED_MAX = 0.8
LATE_MEAN_MAX_MS = 50
DAY_S = 86_400

ERROR, WARNING = "error", "warning"


class Finding(NamedTuple):
    """Something that is not as it should be."""

    severity: str
    """``error``: it does not work; ``warning``: it will not for long."""
    node: str
    """Empty: the cluster."""
    what: str
    advice: str


@dataclass(slots=True)
class Report:
    """What was learnt of one node."""

    node: NodeEndpoints
    doors: dict[str, HealthResponse | None] = field(default_factory=dict)
    """``clients`` and ``peers`` -> who answered there, None: nobody."""
    events_open: bool = True
    health: dict[str, Any] | None = None
    """``/health``."""
    clock_ahead_ms: float = 0.0
    """Of the examiner's own clock, as seen through ``/health``."""
    metrics: Metrics | None = None


def examine(reports: Sequence[Report]) -> list[Finding]:
    """Return everything found, errors first."""
    findings = [finding for report in reports for finding in _of_node(report)]
    findings.extend(_of_cluster(reports))
    return sorted(findings, key=lambda finding: finding.severity != ERROR)


def _of_node(report: Report) -> Iterator[Finding]:
    name = report.node.name
    silent = [door for door, answer in report.doors.items() if answer is None]
    if len(silent) == len(report.doors):
        advice = f"see `odradek status` and `odradek logs {name}`"
        yield Finding(ERROR, name, "answers at no door: it is down, frozen or cut off", advice)
        return
    for door in silent:
        where = getattr(report.node, door)
        advice = f"open {where} in the firewall, or advertise an address that leads there"
        yield Finding(ERROR, name, f"does not answer at its {door} door, {where}", advice)
    if not report.events_open:
        advice = f"open {report.node.events}; heartbeats and metadata deltas travel there"
        yield Finding(
            ERROR, name, f"nobody listens at its events door, {report.node.events}", advice
        )
    for door, answer in report.doors.items():
        if answer is not None and answer.name != name:
            advice = "give each node its own address in [[node]]"
            yield Finding(ERROR, name, f"its {door} door leads to {answer.name}", advice)
    states = {answer.state for answer in report.doors.values() if answer is not None}
    if states != {"ready"}:
        advice = f"see `odradek logs {name}`"
        yield Finding(ERROR, name, f"is {' and '.join(sorted(states))}", advice)
    yield from _of_machine(report)
    yield from _of_directories(report)


def _of_machine(report: Report) -> Iterator[Finding]:
    name, health = report.node.name, report.health
    if health is None:
        if report.node.http:
            what = f"shows nothing at {report.node.http}"
            yield Finding(WARNING, name, what, "open that port to whoever watches the cluster")
        return
    free = health["disk_free_bytes"] / max(1, health["disk_total_bytes"])
    if free < DISK_FREE_MIN:
        severity = ERROR if free < DISK_FREE_LEAST else WARNING
        advice = "free space, or lower retention.ms or retention.bytes of its largest topics"
        yield Finding(severity, name, f"its disk has {free:.1%} free", advice)
    limit, used = health["descriptors_max"], health["descriptors"]
    if 0 <= limit < DESCRIPTORS_MIN or used > DESCRIPTORS_USED_MAX * limit > 0:
        advice = "raise the hard limit (ulimit -Hn, or LimitNOFILE= of its service) and restart it"
        yield Finding(WARNING, name, f"uses {used} of {limit} descriptors", advice)
    yield from _of_certificate(report, health["wall_ms"] / 1000)
    if report.metrics is not None:
        turns = report.metrics.total("loop_late_seconds_count")
        late_ms = 1000 * report.metrics.total("loop_late_seconds_sum") / max(1.0, turns)
        if late_ms > LATE_MEAN_MAX_MS:
            advice = "give it more CPU: sessions end when a loop is late by their time-out"
            yield Finding(WARNING, name, f"its loop is {late_ms:.0f} ms late on average", advice)


def _of_certificate(report: Report, now_s: float) -> Iterator[Finding]:
    for each in report.metrics.samples("tls_certificate_expires_seconds") if report.metrics else ():
        days = (each.value - now_s) / DAY_S
        advice = (
            "write the new certificate and key over the old ones: they are read again by themselves"
        )
        if days < 0:
            yield Finding(ERROR, report.node.name, "its listeners' certificate has expired", advice)
        elif days * DAY_S < EXPIRES_SOON_S:
            what = f"its listeners' certificate expires in {counted(round(days), 'day')}"
            yield Finding(WARNING, report.node.name, what, advice)


def _of_directories(report: Report) -> Iterator[Finding]:
    name = report.node.name
    for each in report.metrics.samples("log_directory_offline") if report.metrics else ():
        if each.value:
            advice = (
                f"see `odradek broker describe {report.node.id}` for the reason; mend the disk, or"
                f" empty or replace it, then `odradek restart {name}`: it catches up from others"
            )
            what = f"its log directory {each.labels['directory']} is offline"
            yield Finding(ERROR, name, what, advice)


def _of_cluster(reports: Sequence[Report]) -> Iterator[Finding]:
    told = [report for report in reports if report.health is not None]
    clocks = {report.node.name: report.clock_ahead_ms for report in told}
    if clocks and max(clocks.values()) - min(clocks.values()) > CLOCK_SPREAD_MAX_MS:
        first, last = min(clocks, key=lambda n: clocks[n]), max(clocks, key=lambda n: clocks[n])
        what = f"clocks differ: {last} is {clocks[last] - clocks[first]:.0f} ms ahead of {first}"
        yield Finding(
            WARNING, "", what, "run a time service (chrony, systemd-timesyncd) on every host"
        )
    versions = sorted({str(report.health["version"]) for report in told if report.health})
    if len(versions) > 1:
        what = f"nodes run different versions: {', '.join(versions)}"
        yield Finding(WARNING, "", what, "finish the upgrade: `odradek restart` each older node")
    metrics = [report.metrics for report in reports if report.metrics is not None]
    brokers = [r.metrics for r in reports if r.metrics is not None and "broker" in r.node.roles]
    yield from _leaders(reports, metrics)
    if brokers:
        yield from _partitions(brokers)


def _leaders(reports: Sequence[Report], metrics: Sequence[Metrics]) -> Iterator[Finding]:
    if len(metrics) < len(reports):
        return  # whoever is not seen may be it
    if sum(each.total("active_controller") for each in metrics) != 1:
        advice = "wait for the election; if it stays so, a majority of the quorum is missing"
        yield Finding(ERROR, "", "there is not exactly one active controller", advice)
    ensemble = [report for report in reports if "coordinator" in report.node.roles]
    if ensemble and sum(each.total("raft_leads") for each in metrics) != 1:
        advice = "start the coordinators that are missing: a majority must be up"
        yield Finding(ERROR, "", "the coordinators have no leader", advice)


def _partitions(brokers: Sequence[Metrics]) -> Iterator[Finding]:
    offline = max(each.total("offline_partitions") for each in brokers)
    if offline:
        advice = "start the brokers that hold their replicas; `odradek topic describe` names them"
        yield Finding(
            ERROR,
            "",
            counted(int(offline), "partition has no leader", "partitions have no leader"),
            advice,
        )
    refusing = sum(each.total("under_min_isr_partitions") for each in brokers)
    if refusing:
        advice = "bring brokers back until min.insync.replicas are in sync"
        yield Finding(
            ERROR,
            "",
            counted(int(refusing), "partition refuses acks=all", "partitions refuse acks=all"),
            advice,
        )
    behind = sum(each.total("under_replicated_partitions") for each in brokers)
    if behind:
        advice = "a broker is away or catching up; see `odradek status`, then look again"
        yield Finding(
            WARNING,
            "",
            counted(
                int(behind), "partition is under-replicated", "partitions are under-replicated"
            ),
            advice,
        )
