"""InitProducerId."""

from __future__ import annotations

from typing import Any

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.codes import foreign_code
from transport.gateway.kafka.messages.producer_ids import (
    InitProducerIdRequest,
    InitProducerIdResponse,
)
from transport.wire.errors import ErrorCode
from transport.wire.ids import ProducerEpoch, ProducerId
from transport.wire.messages import Refusal
from transport.wire.messages import produce as native

LOADING: dict[int, int] = dict.fromkeys(
    (
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.OVERLOADED,
        ErrorCode.NO_QUORUM,
        ErrorCode.DISCONNECTED,
    ),
    ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
)
"""There is no id at present: Kafka's brokers say it so, and there are producers that end at any other word."""
FENCED_FROM = 4
"""Older producers have no PRODUCER_FENCED: what they know of is the loss of their epoch."""


def init_producer_id(exchange: Exchange) -> None:
    """Ask as it stands."""
    asked: InitProducerIdRequest = exchange.body

    def then(answer: native.InitProducerIdResponse | Refusal, _payload: Any) -> None:
        error = LOADING.get(answer.error, answer.error)
        if error == ErrorCode.PRODUCER_FENCED and exchange.version < FENCED_FROM:
            error = ErrorCode.INVALID_PRODUCER_EPOCH
        exchange.answer(
            InitProducerIdResponse(
                error_code=foreign_code(error),
                producer_id=getattr(answer, "producer_id", -1),
                producer_epoch=getattr(answer, "producer_epoch", -1),
            )
        )

    exchange.ask(
        native.InitProducerIdRequest(
            asked.transactional_id,
            ProducerId(asked.producer_id),
            ProducerEpoch(asked.producer_epoch),
            asked.transaction_timeout_ms,
        ),
        then,
    )
