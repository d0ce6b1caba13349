"""Quotas of clients: how many bytes a second they may write and read (KIP-55, KIP-546)."""

from __future__ import annotations

from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import MetadataVersion
from transport.wire.messages import Message, Part

PRODUCER_BYTE_RATE = "producer_byte_rate"
CONSUMER_BYTE_RATE = "consumer_byte_rate"
"""Bytes per second and broker; ten seconds' worth may move at once."""
DEFAULT_ENTITY = ""
"""In the place of a user or a client id: each that has no quota of its own."""


class QuotaEntity(Part, frozen=True, array_like=True, gc=False):
    """Whose quota: of a user (a principal), of a client id, or of the two together."""

    user: str | None = None
    client_id: str | None = None


class QuotaValues(Part, frozen=True, array_like=True, gc=False):
    """The quotas of one entity by name. In a change, None: let it have none any more."""

    entity: QuotaEntity
    values: dict[str, int | None] = {}


class DescribeClientQuotasRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker: which quotas are there?"""

    api: ClassVar[Api] = Api.DESCRIBE_CLIENT_QUOTAS


class DescribeClientQuotasResponse(Message, frozen=True, array_like=True, gc=False):
    """As the answering broker has applied them."""

    api: ClassVar[Api] = Api.DESCRIBE_CLIENT_QUOTAS

    error: int
    entries: tuple[QuotaValues, ...] = ()


class AlterClientQuotasRequest(Message, frozen=True, array_like=True, gc=False):
    """Change the quotas that are named, and no others."""

    api: ClassVar[Api] = Api.ALTER_CLIENT_QUOTAS

    entries: tuple[QuotaValues, ...]
    timeout_ms: int
    validate_only: bool = False
    """Judge, and change nothing."""


class QuotaOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one entity; ``text`` names the argument and the fix."""

    error: int
    text: str = ""


class AlterClientQuotasResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per entity, in order, once the change is committed."""

    api: ClassVar[Api] = Api.ALTER_CLIENT_QUOTAS

    error: int
    outcomes: tuple[QuotaOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""
