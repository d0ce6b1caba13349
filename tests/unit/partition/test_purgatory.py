"""Produces that wait: who is let go of, and when."""

from __future__ import annotations

from weakref import ref

from nodes.core.partition.events import Produced
from nodes.core.partition.purgatory import LEFT_MAX, ParkedProduce, ProducePurgatory
from transport.wire.errors import ErrorCode
from transport.wire.ids import Offset


class Token:
    """Stands for what a request takes in memory."""


def test_who_tries_again_while_the_high_watermark_stands_still_leaves_nothing_behind() -> None:
    """One waits for long meanwhile, so that there is never nobody."""
    purgatory = ProducePurgatory()
    produced: list[Produced] = []
    purgatory.park(ParkedProduce("long", Offset(7), 10_000_000, Offset(6)))
    tokens: list[ref[Token]] = []
    for turn in range(1_000):
        token = Token()
        tokens.append(ref(token))
        purgatory.park(ParkedProduce(token, Offset(9 - turn % 3), turn + 1, Offset(6)))
        del token
        purgatory.expire(turn + 1, produced)
        purgatory.check(Offset(6))
    assert [one.error for one in produced] == [ErrorCode.REQUEST_TIMED_OUT] * 1_000
    produced.clear()
    assert sum(1 for token in tokens if token() is not None) <= LEFT_MAX + 2
    purgatory.park(ParkedProduce("last", Offset(8), 10_000_000, Offset(7)))
    purgatory.release(Offset(9), produced)
    assert [one.token for one in produced] == ["long", "last"]


def test_who_could_have_waited_for_long_leaves_nothing_behind() -> None:
    """Another one's time is up earlier, and it waits still: all others' are behind that."""
    purgatory = ProducePurgatory()
    produced: list[Produced] = []
    purgatory.park(ParkedProduce("early", Offset(10_000), 10, Offset(6)))
    tokens: list[ref[Token]] = []
    for turn in range(1_000):
        token = Token()
        tokens.append(ref(token))
        purgatory.park(ParkedProduce(token, Offset(turn + 1), 1_000_000 + turn, Offset(turn)))
        del token
        purgatory.release(Offset(turn + 1), produced)
        purgatory.check(Offset(turn + 1))
    assert len(produced) == 1_000
    produced.clear()
    assert sum(1 for token in tokens if token() is not None) <= LEFT_MAX + 3
    assert purgatory.next_deadline_ms() == 10
    purgatory.expire(10, produced)
    assert [one.token for one in produced] == ["early"]
