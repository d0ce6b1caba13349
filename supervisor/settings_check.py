"""What no cluster can be made of: settings out of their bounds, or that contradict each other.

Pure.  Each ConfigError names the settings, and what to write instead.
"""

from __future__ import annotations

import json

from nodes.config import check_combination
from nodes.settings import ConfigError, check_all_bounds, nearest
from supervisor.member import LISTENERS
from supervisor.sections import PORT_MAX
from supervisor.settings import Settings, new_cluster_id

_PROOFS = {"kafka": ("sasl", "tls_client_ca"), "zookeeper": ("tls_client_ca",)}
"""Listener -> settings of ``[security]`` by one of which it asks who somebody is."""


def check_settings(settings: Settings) -> None:
    """Raise ConfigError unless a cluster can be made of these."""
    check_all_bounds(settings)
    check_combination(settings.raft, settings.coordinator, settings.broker)
    cluster, broker, supervisor = settings.cluster, settings.broker, settings.supervisor
    if not cluster.name or not cluster.host:
        raise ConfigError("[cluster] name and host must not be empty")
    for name in ("min_insync_replicas", "default_replication_factor"):
        replicas = getattr(broker, name)
        if replicas > cluster.brokers:
            raise ConfigError(
                f"[broker] {name} = {replicas} can never be reached "
                f"with [cluster] brokers = {cluster.brokers}; lower the one or raise the other"
            )
    if supervisor.restart_delay_min_ms > supervisor.restart_delay_max_ms:
        raise ConfigError(
            "[supervisor] restart_delay_min_ms must not be above restart_delay_max_ms"
        )
    _check_listeners(settings)
    _check_overrides(settings)
    _check_hosts(settings)


def _check_listeners(settings: Settings) -> None:
    """Raise ConfigError where a listener would let in whom the keys are to keep out, or the reverse."""
    security = settings.security
    if bool(security.tls_certificate) is not bool(security.tls_key):
        there, missing = "tls_certificate", "tls_key"
        if not security.tls_certificate:
            there, missing = missing, there
        raise ConfigError(f"[security] {there} is nothing without {missing}: set both, or none")
    if security.tls_client_ca and not security.tls_certificate:
        raise ConfigError(
            "[security] tls_client_ca asks for certificates, which are shown by TLS alone: set "
            "tls_certificate and tls_key"
        )
    if security.tls_client_ca and not security.curve:
        raise ConfigError(
            "[security] tls_client_ca guards the listeners, while this project's own clients come in "
            "without keys: set curve = true, or leave tls_client_ca out (TLS needs neither)"
        )
    if security.sasl and not security.curve:
        raise ConfigError(
            "[security] sasl guards Kafka's listener, while this project's own clients come in without "
            "keys: set curve = true, or sasl = false"
        )
    for name in LISTENERS:
        if not security.curve or not getattr(settings.cluster, f"{name}_port"):
            continue
        if not any(getattr(security, proof) for proof in _PROOFS[name]):
            raise ConfigError(
                f"[cluster] {name}_port asks nobody who he is, and [security] curve = true lets nobody "
                f"in without: set {' or '.join(_PROOFS[name])} in [security], or {name}_port = 0"
            )


def _check_hosts(settings: Settings) -> None:
    """Raise ConfigError unless hosts that do not see each other's choices can be one cluster."""
    addresses = [host.address for host in settings.hosts]
    if not all(addresses) or len(set(addresses)) < len(addresses):
        raise ConfigError("each [[host]] needs an address of its own")
    members = settings.members()
    if len({member.host for member in members}) < 2:
        return
    if not settings.cluster.id:
        raise ConfigError(
            "a cluster of several hosts needs an id that is the same on all of them; write "
            f"[cluster] id = {json.dumps(new_cluster_id())}"
        )
    for member in members:
        if 0 in member.ports:
            raise ConfigError(
                f"{member.name} has to be found from other hosts: give [cluster] base_port, or all "
                "its ports in a [[node]]"
            )


def _check_overrides(settings: Settings) -> None:
    members = settings.members()
    names = [str(member.name) for member in members]
    seen: set[str] = set()
    for override in settings.overrides:
        if override.name not in names:
            raise ConfigError(
                f"[[node]] name = {override.name!r} is not a node of this cluster; "
                f"{nearest(override.name, names)}"
            )
        if override.name in seen:
            raise ConfigError(f"[[node]] name = {override.name!r} is there twice; join the two")
        seen.add(override.name)
    owners: dict[tuple[str, int | None], str] = {}
    for member in members:
        for port in member.ports:
            if port is not None and port > PORT_MAX:
                raise ConfigError(
                    f"{member.name} would have port {port}, and {PORT_MAX} is the last there is: "
                    "begin lower, or have fewer nodes"
                )
            owner = owners.setdefault((member.host, port), member.name)
            if port and (owner != member.name or member.ports.count(port) > 1):
                raise ConfigError(
                    f"port {port} is given to {owner} and to {member.name} on {member.host}; "
                    "give each its own, or 0 for any free one"
                )
