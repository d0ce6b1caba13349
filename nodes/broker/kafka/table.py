"""Which function translates which API; each file is imported when first asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.apis import ApiKey

Translator = Callable[[Exchange], None]

TRANSLATORS: dict[ApiKey, tuple[str, str]] = {
    ApiKey.PRODUCE: ("produce", "produce"),
    ApiKey.FETCH: ("fetch", "fetch"),
    ApiKey.LIST_OFFSETS: ("offsets", "list_offsets"),
    ApiKey.METADATA: ("metadata", "metadata"),
    ApiKey.FIND_COORDINATOR: ("coordinators", "find_coordinator"),
    ApiKey.API_VERSIONS: ("api_versions", "api_versions"),
    ApiKey.INIT_PRODUCER_ID: ("producer_ids", "init_producer_id"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: ("offsets", "offset_for_leader_epoch"),
}
"""(file beside this one, function in it)."""


@cache
def translator(key: int) -> Translator:
    """Return what translates an API that is spoken."""
    file, function = TRANSLATORS[ApiKey(key)]
    found: Translator = getattr(import_module(f"nodes.broker.kafka.{file}"), function)
    return found
