"""The arguments of a consumer: their names, defaults and bounds, and the settings that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from inspect import signature

from odradek.cluster.bootstrap import Hosts, find_seeds
from odradek.consumer.fetching import ConsumerSettings
from odradek.consumer.membership import GroupSettings
from odradek.consumer.offset_reset import reset_policy
from odradek.settings import INT_MAX, Bounds, Kind, Text, Truth


def consumer_settings(  # noqa: PLR0913 - the arguments of Consumer
    bootstrap_servers: Hosts = None,
    *,
    group_id: str | None = None,
    group_instance_id: str | None = None,
    group_protocol: str = "consumer",
    group_remote_assignor: str | None = None,
    partition_assignment_strategy: str | Sequence[str] = ("cooperative-sticky",),
    session_timeout_ms: int = 10_000,
    max_poll_interval_ms: int = 300_000,
    enable_auto_commit: bool = True,
    auto_commit_interval_ms: int = 5_000,
    auto_offset_reset: str | timedelta = "latest",
    fetch_max_bytes: int = 50 * 1024 * 1024,
    max_partition_fetch_bytes: int = 1024 * 1024,
    fetch_min_bytes: int = 1,
    fetch_max_wait_ms: int = 500,
    prefetch_bytes: int = 16 * 1024 * 1024,
    check_crcs: bool = True,
    allow_auto_create_topics: bool = True,
    isolation_level: str = "read_uncommitted",
    client_id: str = "odradek-consumer",
    client_rack: str = "",
) -> ConsumerSettings:
    """Return the settings that these arguments mean; ValueError for one that cannot be."""
    strategies = partition_assignment_strategy
    group = None
    if group_id is not None:
        group = GroupSettings(
            group_id=group_id,
            instance_id=group_instance_id,
            protocol=group_protocol,
            assignor=group_remote_assignor,
            strategies=(strategies,) if isinstance(strategies, str) else tuple(strategies),
            session_timeout_ms=session_timeout_ms,
            max_poll_interval_ms=max_poll_interval_ms,
            auto_commit=enable_auto_commit,
            auto_commit_interval_ms=auto_commit_interval_ms,
            client_id=client_id,
        )
    return ConsumerSettings(
        bootstrap=find_seeds(bootstrap_servers).endpoints,
        group=group,
        auto_offset_reset=reset_policy(auto_offset_reset),
        fetch_min_bytes=fetch_min_bytes,
        fetch_max_wait_ms=fetch_max_wait_ms,
        fetch_max_bytes=fetch_max_bytes,
        partition_fetch_bytes=max_partition_fetch_bytes,
        prefetch_bytes=prefetch_bytes,
        check_crcs=check_crcs,
        auto_create=allow_auto_create_topics,
        isolation_level=isolation_level,
        client_id=client_id,
        client_rack=client_rack,
    )


SETTINGS = frozenset(signature(consumer_settings).parameters) - {"bootstrap_servers"}
"""The names of what a consumer takes beside what its class names."""

KINDS: dict[str, Kind] = {
    "group_id": Text(optional=True),
    "group_instance_id": Text(optional=True),
    "group_remote_assignor": Text(optional=True),
    "client_id": Text(),
    "client_rack": Text(),
    "enable_auto_commit": Truth(),
    "check_crcs": Truth(),
    "allow_auto_create_topics": Truth(),
    "max_poll_records": Bounds(1, INT_MAX),
    "session_timeout_ms": Bounds(1, INT_MAX),
    "max_poll_interval_ms": Bounds(1, INT_MAX),
    "auto_commit_interval_ms": Bounds(0, INT_MAX),
    "fetch_max_bytes": Bounds(1, INT_MAX),
    "max_partition_fetch_bytes": Bounds(1, INT_MAX),
    "fetch_min_bytes": Bounds(0, INT_MAX),
    "fetch_max_wait_ms": Bounds(0, INT_MAX),
    "prefetch_bytes": Bounds(1),
}
