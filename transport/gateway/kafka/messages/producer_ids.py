"""Producer ids, for idempotent writes and for transactions."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Int16, Int32, Int64, Struct, Text, Versions


class InitProducerIdRequest(Struct, kw_only=True):
    """A new producer id, or (version 3) a new epoch for the one that is named."""

    transactional_id: Text | None
    transaction_timeout_ms: Int32
    producer_id: Annotated[Int64, Versions(3)] = -1
    producer_epoch: Annotated[Int16, Versions(3)] = -1


class InitProducerIdResponse(Struct, kw_only=True):
    """To be stamped into every batch from now on."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    producer_id: Int64 = -1
    producer_epoch: Int16
