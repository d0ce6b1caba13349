"""ApiVersions: the table of what is spoken, told."""

from __future__ import annotations

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.apis import APIS
from transport.gateway.kafka.messages.api_versions import ApiVersion, ApiVersionsResponse
from transport.wire.errors import ErrorCode


def api_versions(exchange: Exchange) -> None:
    """Answer; whatever its client calls itself."""
    exchange.answer(spoken_here(ErrorCode.NONE))


def spoken_here(error: ErrorCode) -> ApiVersionsResponse:
    """Return the table.

    No feature is told of: transactions have a new epoch only where the client asks for one.
    """
    told = tuple(
        ApiVersion(
            api_key=key,
            min_version=row.lowest if row.told_lowest is None else row.told_lowest,
            max_version=row.highest,
        )
        for key, row in sorted(APIS.items())
    )
    return ApiVersionsResponse(error_code=error, api_keys=told)
