"""ApiVersions: the table of what is spoken, told; and the features that go by a number of their own."""

from __future__ import annotations

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.apis import APIS
from transport.gateway.kafka.messages.api_versions import (
    ApiVersion,
    ApiVersionsResponse,
    FinalizedFeature,
    SupportedFeature,
)
from transport.wire.errors import ErrorCode

FEATURES = {"group.version": 1, "transaction.version": 2}
"""Kafka's names and levels.  Groups whose coordinator divides (KIP-848); a producer epoch for each
transaction, whose partitions are added by those who write them (KIP-890).  They are not changed."""
FEATURES_EPOCH = 1
"""Of the above; must grow with each change, as clients believe the largest that they were told."""


def api_versions(exchange: Exchange) -> None:
    """Answer; whatever its client calls itself."""
    exchange.answer(spoken_here(ErrorCode.NONE))


def spoken_here(error: ErrorCode) -> ApiVersionsResponse:
    """Return the table."""
    told = tuple(
        ApiVersion(
            api_key=key,
            min_version=row.lowest if row.told_lowest is None else row.told_lowest,
            max_version=row.highest,
        )
        for key, row in sorted(APIS.items())
    )
    levels = FEATURES.items()
    return ApiVersionsResponse(
        error_code=error,
        api_keys=told,
        supported_features=tuple(
            SupportedFeature(name=name, min_version=level, max_version=level)
            for name, level in levels
        ),
        finalized_features_epoch=FEATURES_EPOCH,
        finalized_features=tuple(
            FinalizedFeature(name=name, max_version_level=level, min_version_level=level)
            for name, level in levels
        ),
    )
