"""The table of what is spoken: each API's versions, and where its messages are declared."""

from __future__ import annotations

from enum import IntEnum
from functools import cache
from importlib import import_module
from typing import NamedTuple

from transport.gateway.kafka.fields import LATEST, Struct
from transport.gateway.kafka.schema import Codec, compile_message

_PACKAGE = "transport.gateway.kafka.messages"
NEVER = LATEST + 1


class ApiKey(IntEnum):
    """Kafka's names and numbers."""

    PRODUCE = 0
    FETCH = 1
    LIST_OFFSETS = 2
    METADATA = 3
    FIND_COORDINATOR = 10
    API_VERSIONS = 18
    INIT_PRODUCER_ID = 22
    OFFSET_FOR_LEADER_EPOCH = 23


class Spoken(NamedTuple):
    """One API as spoken here."""

    lowest: int
    highest: int
    flexible_from: int
    """The first version with compact lengths and tagged fields."""
    module: str
    name: str
    """``<name>Request`` and ``<name>Response`` in ``messages/<module>.py``."""
    told_lowest: int | None = None
    """The lowest version that clients are told of, where that is another one."""


APIS: dict[ApiKey, Spoken] = {
    # Clients judge by the lowest version of Produce what else there is: KAFKA-18659.
    ApiKey.PRODUCE: Spoken(3, 13, 9, "produce", "Produce", told_lowest=0),
    ApiKey.FETCH: Spoken(4, 17, 12, "fetch", "Fetch"),
    ApiKey.LIST_OFFSETS: Spoken(1, 10, 6, "offsets", "ListOffsets"),
    ApiKey.METADATA: Spoken(0, 13, 9, "metadata", "Metadata"),
    ApiKey.FIND_COORDINATOR: Spoken(0, 5, 3, "coordinators", "FindCoordinator"),
    ApiKey.API_VERSIONS: Spoken(0, 4, 3, "api_versions", "ApiVersions"),
    ApiKey.INIT_PRODUCER_ID: Spoken(0, 5, 2, "producer_ids", "InitProducerId"),
    ApiKey.OFFSET_FOR_LEADER_EPOCH: Spoken(2, 4, 4, "offsets", "OffsetForLeaderEpoch"),
}


class Conversation(NamedTuple):
    """An API in one version: how both its messages are read and written."""

    request: Codec
    response: Codec
    request_is_flexible: bool
    """Its header ends with tagged fields."""
    response_is_flexible: bool
    """As above; never that of ApiVersions, whose reader does not know yet what is spoken."""


@cache
def conversation(key: int, version: int) -> Conversation | None:
    """Return how ``key`` is spoken in ``version``; None: it is not."""
    spoken = APIS.get(key)  # type: ignore[call-overload]
    if spoken is None or not spoken.lowest <= version <= spoken.highest:
        return None
    module = import_module(f"{_PACKAGE}.{spoken.module}")
    flexible = version >= spoken.flexible_from
    request: type[Struct] = getattr(module, f"{spoken.name}Request")
    response: type[Struct] = getattr(module, f"{spoken.name}Response")
    return Conversation(
        compile_message(request, version, flexible),
        compile_message(response, version, flexible),
        flexible,
        flexible and key != ApiKey.API_VERSIONS,
    )
