"""Quotas at this broker: what clients write and read here, and DESCRIBE_CLIENT_QUOTAS.

Nobody is made to wait here: an answer says how long its client should (``throttle_time_ms``), and
who reads before that gets nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from nodes.core.quotas import QuotaMeter, entities_in
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.quotas import (
    DescribeClientQuotasRequest,
    DescribeClientQuotasResponse,
    QuotaEntity,
    QuotaValues,
)

ANONYMOUS = "ANONYMOUS"
"""The user that quotas know those by who prove nothing; Kafka's word."""


class ClientQuotas:
    """Of one kind, by the image's configs."""

    def __init__(self, context: BrokerContext, quota: str) -> None:
        self._context = context
        self._quota = quota
        self._meter = QuotaMeter(quota)
        self._seen = -1

    def take(self, request: Request, client_id: str, size_bytes: int, now: Now) -> int:
        """Count what a request moves; return the milliseconds its client is to wait."""
        self._follow()
        user = request.origin.principal or ANONYMOUS
        return self._told(self._meter.take(user, client_id, size_bytes, now.mono_ms))

    def wait_ms(self, request: Request, client_id: str, now: Now) -> int:
        """Return the milliseconds that a request's client is to wait still."""
        self._follow()
        user = request.origin.principal or ANONYMOUS
        return self._told(self._meter.wait_ms(user, client_id, now.mono_ms))

    def _follow(self) -> None:
        image = self._context.image
        if self._seen != image.quota_changes:
            self._seen = image.quota_changes
            self._meter.use(entities_in(image.configs))

    def _told(self, wait_ms: int) -> int:
        if wait_ms:
            self._context.count(f"{self._quota}_throttles")
            self._context.count(f"{self._quota}_throttle_ms", wait_ms)
        return wait_ms


class QuotaApi:
    """Answers from the image."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeClientQuotasRequest: self._on_request
        }

    def _on_request(self, request: Request, _now: Now) -> None:
        entities = entities_in(self._context.image.configs)
        told = tuple(
            QuotaValues(QuotaEntity(*key), dict(sorted(values.items())))
            for key, values in entities.items()
        )
        self._context.reply(request, DescribeClientQuotasResponse(ErrorCode.NONE, told))
