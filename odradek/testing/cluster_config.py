"""The config of a cluster for tests: small, on free ports, with every listener that may be there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

ANY_FREE_PORT = -1
LISTENERS = {"kafka_port": ("sasl", "tls_client_ca"), "zookeeper_port": ("tls_client_ca",)}
"""Setting of a listener -> those by one of which it asks who somebody is, as it has to with CURVE."""

Sections = Mapping[str, Mapping[str, Any]]


def config_text(brokers: int, coordinators: int, mode: str, settings: Sections) -> str:
    """Return the TOML of such a cluster; ``settings`` win over what it would have."""
    return _toml(_sections(brokers, coordinators, mode, settings))


def _sections(
    brokers: int, coordinators: int, mode: str, settings: Sections
) -> dict[str, dict[str, Any]]:
    security = settings.get("security", {})
    listening = {
        port: ANY_FREE_PORT
        for port, proofs in LISTENERS.items()
        if not security.get("curve") or any(security.get(name) for name in proofs)
    }
    sections: dict[str, dict[str, Any]] = {
        "cluster": {
            "name": "test",
            "mode": mode,
            "brokers": brokers,
            "controllers" if mode == "kraft" else "coordinators": coordinators,
            **listening,
        },
        "broker": {
            "num_partitions": 3,
            "default_replication_factor": min(3, brokers),
            "min_insync_replicas": min(2, brokers),
        },
    }
    for name, content in settings.items():
        sections[name] = {**sections.get(name, {}), **content}
    return sections


def _toml(sections: Sections) -> str:
    lines = []
    for name, content in sections.items():
        lines.append(f"[{name}]")
        lines.extend(f"{key} = {json.dumps(value, default=str)}" for key, value in content.items())
    return "\n".join(lines) + "\n"
