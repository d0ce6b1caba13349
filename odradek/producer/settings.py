"""The arguments of a producer: their names, defaults and bounds, and the settings that they mean."""

from __future__ import annotations

from inspect import signature

from odradek.cluster.bootstrap import Hosts, find_seeds
from odradek.producer.sender import BATCH_SIZE_BYTES, REQUEST_BYTES_MAX, ProducerSettings
from odradek.settings import INT_MAX, Bounds, Kind, Text, Truth
from transport.wire.messages.produce import ACKS_ALL, ACKS_LEADER, ACKS_NONE
from transport.wire.records import CODECS

_ACKS = {"all": ACKS_ALL, -1: ACKS_ALL, 1: ACKS_LEADER, 0: ACKS_NONE, "1": 1, "0": 0, "-1": -1}


def producer_settings(  # noqa: PLR0913 - the arguments of Producer
    bootstrap_servers: Hosts = None,
    *,
    acks: str | int = "all",
    linger_ms: int = 0,
    batch_size: int = BATCH_SIZE_BYTES,
    max_request_size: int = REQUEST_BYTES_MAX,
    compression_type: str | None = None,
    enable_idempotence: bool | None = None,
    buffer_memory: int = 32 * 1024 * 1024,
    max_block_ms: int = 60_000,
    delivery_timeout_ms: int = 120_000,
    request_timeout_ms: int = 10_000,
    max_in_flight: int = 5,
    transactional_id: str | None = None,
    transaction_timeout_ms: int = 60_000,
    client_id: str = "odradek-producer",
) -> ProducerSettings:
    """Return the settings that these arguments mean; ValueError for one that cannot be."""
    if isinstance(acks, bool) or not isinstance(acks, str | int) or acks not in _ACKS:
        raise ValueError(f"acks={acks!r} is not possible; use 'all', 1 or 0")
    codec = CODECS.get("none" if compression_type in (None, "") else str(compression_type))
    if codec is None:
        names = ", ".join(sorted(CODECS))
        raise ValueError(f"compression_type={compression_type!r} is not known; use one of {names}")
    idempotent = _ACKS[acks] == ACKS_ALL if enable_idempotence is None else enable_idempotence
    return ProducerSettings(
        bootstrap=find_seeds(bootstrap_servers).endpoints,
        acks=_ACKS[acks],
        idempotent=idempotent,
        linger_ms=linger_ms,
        batch_size_bytes=min(batch_size, max_request_size),
        request_bytes_max=max_request_size,
        codec=codec,
        buffer_memory_bytes=buffer_memory,
        max_block_ms=max_block_ms,
        delivery_timeout_ms=delivery_timeout_ms,
        request_timeout_ms=request_timeout_ms,
        in_flight_max=max_in_flight,
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        client_id=client_id,
    )


SETTINGS = frozenset(signature(producer_settings).parameters) - {"bootstrap_servers"}
"""The names of what a producer takes beside what its class names."""

KINDS: dict[str, Kind] = {
    "transactional_id": Text(optional=True),
    "client_id": Text(),
    "enable_idempotence": Truth(optional=True),
    "linger_ms": Bounds(0, INT_MAX),
    "batch_size": Bounds(0, INT_MAX),
    "max_request_size": Bounds(1, INT_MAX),
    "buffer_memory": Bounds(1),
    "max_block_ms": Bounds(0, INT_MAX),
    "delivery_timeout_ms": Bounds(1, INT_MAX),
    "request_timeout_ms": Bounds(1, INT_MAX),
    "max_in_flight": Bounds(1),
    "transaction_timeout_ms": Bounds(1, INT_MAX),
}
