"""The state of a cluster as text for people and as JSON for programs."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from odradek.commands.counting import counted
from transport.wire.messages.supervision import NodeStatus, SupervisorStatusResponse

_HEADINGS = ("NODE", "ROLES", "STATE", "PID", "MB", "UPTIME", "RESTARTS", "LEADS", "CLIENTS")


def status_json(status: SupervisorStatusResponse) -> dict[str, Any]:
    """Return what ``status --json`` prints: programs rely on every key of it."""
    return {
        "cluster": status.cluster,
        "mode": status.mode,
        "ready": status.ready,
        "supervisor": {"pid": status.pid},
        "tls": status.tls,
        "nodes": [
            {
                "name": node.name,
                "roles": list(node.roles),
                "id": node.id,
                "pid": node.pid or None,
                "state": node.state,
                "leader": node.leader,
                "controller": node.controller,
                "restarts": node.restarts,
                "note": node.note,
                "uptime_ms": node.uptime_ms,
                "rss_bytes": node.rss_bytes,
                "endpoints": {
                    "peers": node.peers,
                    "clients": node.clients,
                    "events": node.events,
                    **node.listeners,
                },
            }
            for node in status.nodes
        ],
    }


def status_text(status: SupervisorStatusResponse) -> str:
    """Return a table for people."""
    rows = [_HEADINGS, *(_row(node) for node in status.nodes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    state = "ready" if status.ready else "not ready"
    lines = [f"cluster {status.cluster} ({status.mode}), {state}, supervisor pid {status.pid}"]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        lines.append("  ".join(cells).rstrip())
    lines.extend(listeners_text(status))
    lines.extend(
        f"{node.name}: {node.note}"
        for node in status.nodes
        if node.note and node.state in ("failed", "restarting")
    )
    return "\n".join(lines)


def _row(node: NodeStatus) -> tuple[str, ...]:
    return (
        node.name,
        roles_text(node),
        node.state,
        str(node.pid or "-"),
        f"{node.rss_bytes / 1e6:.0f}",
        uptime_text(node.uptime_ms),
        str(node.restarts),
        str(node.leader_count) if "broker" in node.roles else "-",
        node.clients.removeprefix("tcp://"),
    )


def roles_text(node: NodeStatus) -> str:
    """Return a node's roles, with what it leads at present."""
    marks = [
        mark for mark, holds in (("leader", node.leader), ("controller", node.controller)) if holds
    ]
    roles = ",".join(node.roles)
    return f"{roles} ({', '.join(marks)})" if marks else roles


def uptime_text(uptime_ms: int) -> str:
    """Return a duration in its two largest units."""
    seconds = uptime_ms // 1000
    for size, unit, small, small_unit in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit} {seconds % size // small}{small_unit}"
    return f"{seconds // 60}m {seconds % 60}s" if seconds >= 60 else f"{seconds}s"


def bootstrap_text(status: SupervisorStatusResponse) -> str:
    """Return the brokers' addresses as clients take them."""
    brokers = (node.clients for node in status.nodes if "broker" in node.roles)
    return ",".join(clients.removeprefix("tcp://") for clients in brokers)


def listeners_text(status: SupervisorStatusResponse) -> list[str]:
    """Return a line for each tongue that is listened for: where, as its clients take it."""
    found: dict[str, list[str]] = {}
    for node in status.nodes:
        for name, endpoint in node.listeners.items():
            found.setdefault(name, []).append(endpoint.removeprefix("tcp://"))
    spoken = " (TLS)" if status.tls else ""
    return [f"{name}{spoken}: {','.join(endpoints)}" for name, endpoints in sorted(found.items())]


def describe_ready(status: SupervisorStatusResponse, data_dir: Path, default_dir: Path) -> str:
    """Return what a person wants to know of a cluster that has just become ready."""
    slowest_ms = max((node.uptime_ms for node in status.nodes), default=0)
    lines = [
        f"cluster {status.cluster!r} is ready after {slowest_ms / 1000:.1f} s "
        f"({counted(len(status.nodes), 'node')}, supervisor pid {status.pid})",
        f"bootstrap_servers: {bootstrap_text(status)}",
        *listeners_text(status),
    ]
    if data_dir.absolute() != default_dir.absolute():
        lines.append(f"for commands elsewhere: export ODRADEK_DATA_DIR={quote(str(data_dir))}")
    return "\n".join(lines)
