"""What a transaction's coordinator answers to leaders, and when its answer counts no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from nodes.broker.coordinators.verification import Verification
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.ids import NodeId, ProducerEpoch, ProducerId, TopicId
from transport.wire.messages import Message
from transport.wire.messages.transactions import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    TransactionMarker,
    TransactionPartition,
)

NOW = Now(1_000, 1_000_000)
PART = TransactionPartition(TopicId(b"t" * 16), 0)
QUESTION = AddPartitionsToTxnRequest("a", ProducerId(7), ProducerEpoch(0), (PART,))


class Coordinator:
    """Stands in for the context, the peers and the internal topics: the coordinator is here."""

    id = NodeId(1)

    def __init__(self) -> None:
        self.asked: list[Callable[[Message, Now], None]] = []

    def leader_of(self, key_type: int, key: str) -> NodeId:
        return self.id

    def ask(
        self, key_type: int, key: str, body: Message, on_reply: Callable[..., None], now: Now
    ) -> None:
        self.asked.append(on_reply)


@pytest.mark.parametrize(
    ("producer_id", "keeps_epoch", "expected"),
    [
        (7, True, ErrorCode.INVALID_TXN_STATE),
        (7, False, ErrorCode.NONE),  # The epoch tells them apart.
        (8, True, ErrorCode.NONE),
    ],
)
def test_an_answer_that_an_end_has_overtaken_counts_no_more(
    producer_id: int, keeps_epoch: bool, expected: ErrorCode
) -> None:
    here = cast("Any", Coordinator())
    verification = Verification(here, here, here)
    verdicts: list[ErrorCode] = []

    def note(error: ErrorCode, text: str, now: Now) -> None:
        verdicts.append(error)

    verification.verify(QUESTION, note, NOW)
    marker = TransactionMarker(
        ProducerId(producer_id), ProducerEpoch(0), 1, False, (PART,), keeps_epoch
    )
    verification.take_markers((marker,))
    verification.verify(QUESTION, note, NOW)
    for answer in here.asked:
        answer(AddPartitionsToTxnResponse(ErrorCode.NONE), NOW)
    assert verdicts == [expected, ErrorCode.NONE]
    assert not verification._open
