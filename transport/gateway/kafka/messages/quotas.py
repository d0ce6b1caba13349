"""Quotas of clients (KIP-546): described and changed."""

from __future__ import annotations

from transport.gateway.kafka.fields import Bool, Float64, Int8, Int16, Int32, Struct, Text


class ComponentData(Struct, kw_only=True):
    """What an entity must have: of ``entity_type`` this name (0), the default (1), or any (2)."""

    entity_type: Text
    match_type: Int8
    match: Text | None


class DescribeClientQuotasRequest(Struct, kw_only=True):
    """``strict``: an entity has no other types than these."""

    components: tuple[ComponentData, ...]
    strict: Bool


class EntityData(Struct, kw_only=True):
    """One component of an entity; without a name: each that has no quota of its own."""

    entity_type: Text
    entity_name: Text | None


class ValueData(Struct, kw_only=True):
    """One quota."""

    key: Text
    value: Float64


class DescribedQuotas(Struct, kw_only=True):
    """The quotas of one entity."""

    entity: tuple[EntityData, ...]
    values: tuple[ValueData, ...]


class DescribeClientQuotasResponse(Struct, kw_only=True):
    """Entities that fit; None with an error."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None
    entries: tuple[DescribedQuotas, ...] | None


class OpData(Struct, kw_only=True):
    """A quota to set, or to remove."""

    key: Text
    value: Float64
    remove: Bool


class AlteredQuotas(Struct, kw_only=True):
    """Changes of one entity."""

    entity: tuple[EntityData, ...]
    ops: tuple[OpData, ...]


class AlterClientQuotasRequest(Struct, kw_only=True):
    """To any broker here."""

    entries: tuple[AlteredQuotas, ...]
    validate_only: Bool


class QuotasOutcome(Struct, kw_only=True):
    """What became of one entity."""

    error_code: Int16
    error_message: Text | None
    entity: tuple[EntityData, ...]


class AlterClientQuotasResponse(Struct, kw_only=True):
    """One outcome per entity, in order."""

    throttle_time_ms: Int32 = 0
    entries: tuple[QuotasOutcome, ...]
