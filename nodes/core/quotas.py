"""Quotas of clients: which one counts for whom, and how long its owner has to wait.

The precedence is Kafka's, and so is the burst: ten seconds' worth may move at once (Kafka's eleven
samples of a second, the last of them not whole); beyond it the rate is kept.  What is kept of each
client is bounded, and soft: it never enters a log.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from nodes.core.throttle import Throttle
from transport.wire.messages.configs import KIND_CLIENT
from transport.wire.messages.quotas import (
    CONSUMER_BYTE_RATE,
    DEFAULT_ENTITY,
    PRODUCER_BYTE_RATE,
    QuotaEntity,
)

QUOTAS = frozenset({PRODUCER_BYTE_RATE, CONSUMER_BYTE_RATE})
NAME_CHARACTERS_MAX = 255
RATE_MAX = 2**63 - 1
BURST_MS = 10_000
WAIT_MAX_MS = 2**31 - 1
"""What an answer to Kafka's clients can say: nearly 25 days."""
METERS_MAX = 10_000
"""Clients whose bytes are counted; beyond it those are forgotten that moved none for the longest."""

_DEFAULT_SHOWN = "<default>"

Key = tuple[str | None, str | None]
"""(user, client id) that share one count; None: whatever it is."""


class Limit(NamedTuple):
    """A rate, and whose bytes count towards it."""

    bytes_per_second: int
    key: Key


def entity_name(entity: QuotaEntity) -> str:
    """Return the name of an entity's config record, as ``user=alice,client-id=<default>``."""
    parts = (("user", entity.user), ("client-id", entity.client_id))
    return ",".join(
        f"{kind}={_DEFAULT_SHOWN if name == DEFAULT_ENTITY else quote(name, safe='')}"
        for kind, name in parts
        if name is not None
    )


def entity_of(name: str) -> QuotaEntity:
    """Return the entity of that name. What it does not say is no part of it."""
    said = dict(part.partition("=")[::2] for part in name.split(",") if part)
    found = {
        kind: DEFAULT_ENTITY if text == _DEFAULT_SHOWN else unquote(text)
        for kind, text in said.items()
    }
    return QuotaEntity(found.get("user"), found.get("client-id"))


def complaint_about(entity: QuotaEntity, values: Mapping[str, int | None]) -> str | None:
    """Return why these cannot be quotas, naming the argument and the fix; None: they can."""
    if entity.user is None and entity.client_id is None:
        return "a quota is of a user, of a client id, or of both; name one"
    for what, name in (("user", entity.user), ("client_id", entity.client_id)):
        if name and (len(name) > NAME_CHARACTERS_MAX or not name.isprintable()):
            return f"{what} must have 1 to {NAME_CHARACTERS_MAX} printable characters"
    for name, value in values.items():
        if name not in QUOTAS:
            return f"there is no quota {name[:80]!r}; known: {', '.join(sorted(QUOTAS))}"
        if value is not None and not 1 <= value <= RATE_MAX:
            return f"{name} must be at least 1 byte a second, not {value}"
    return None


def stored(configs: Mapping[str, str]) -> dict[str, int]:
    """Return the quotas in a config record; what a later version may have put there is left out."""
    return {
        name: int(text)
        for name, text in configs.items()
        if name in QUOTAS and text.isascii() and text.isdecimal() and int(text) > 0
    }


Entities = dict[Key, dict[str, int]]


def entities_in(configs: Mapping[tuple[str, str], Mapping[str, str]]) -> Entities:
    """Return the quotas among dynamic configs, by (user, client id)."""
    found: Entities = {}
    for (kind, name), values in configs.items():
        if kind == KIND_CLIENT:
            entity = entity_of(name)
            found[entity.user, entity.client_id] = stored(values)
    return found


def limit_of(entities: Entities, quota: str, user: str, client_id: str) -> Limit | None:
    """Return the quota that counts for a client, the most special one; None: it has none."""
    for key, shared_by in _by_precedence(user, client_id):
        rate = entities.get(key, {}).get(quota)
        if rate is not None:
            return Limit(rate, shared_by)
    return None


def _by_precedence(user: str, client_id: str) -> Iterator[tuple[Key, Key]]:
    """Yield (entity, whose bytes it counts together), in Kafka's order."""
    for of_user in (user, DEFAULT_ENTITY):
        for of_client in (client_id, DEFAULT_ENTITY):
            yield (of_user, of_client), (user, client_id)
        yield (of_user, None), (user, None)
    for of_client in (client_id, DEFAULT_ENTITY):
        yield (None, of_client), (None, client_id)


class QuotaMeter:
    """Counts the bytes of clients that have a quota of one kind."""

    def __init__(self, quota: str) -> None:
        self._quota = quota
        self._entities: Entities = {}
        self._limits: dict[Key, Limit | None] = {}
        self._throttles: dict[Key, Throttle] = {}
        """The one that has moved bytes least lately first."""

    def use(self, entities: Entities) -> None:
        """Judge by these from now on; what was counted still counts."""
        self._entities = entities
        self._limits.clear()

    def take(self, user: str, client_id: str, size_bytes: int, now_ms: int) -> int:
        """Count bytes of a client; return the milliseconds that it should wait before more."""
        limit = self._limit(user, client_id)
        if limit is None:
            return 0
        throttle = self._throttles.pop(limit.key, None) or Throttle(BURST_MS)
        self._throttles[limit.key] = throttle
        if len(self._throttles) > METERS_MAX:
            del self._throttles[next(iter(self._throttles))]
        return min(WAIT_MAX_MS, throttle.take(size_bytes, limit.bytes_per_second, now_ms))

    def wait_ms(self, user: str, client_id: str, now_ms: int) -> int:
        """Return the milliseconds that a client should wait."""
        limit = self._limit(user, client_id)
        throttle = None if limit is None else self._throttles.get(limit.key)
        if limit is None or throttle is None:
            return 0
        return min(WAIT_MAX_MS, throttle.take(0, limit.bytes_per_second, now_ms))

    def _limit(self, user: str, client_id: str) -> Limit | None:
        if not self._entities:
            return None
        client_id = client_id[:NAME_CHARACTERS_MAX]
        key = user, client_id
        if key not in self._limits:
            if len(self._limits) >= METERS_MAX:
                self._limits.clear()
            self._limits[key] = limit_of(self._entities, self._quota, user, client_id)
        return self._limits[key]
