"""What classic members tell each other: Kafka's bytes, whatever others send, and who gets what."""

from __future__ import annotations

from random import Random

import pytest

from odradek.cluster.consumer_protocol import (
    Subscription,
    decode_assignment,
    decode_subscription,
    encode_assignment,
    encode_subscription,
)
from odradek.consumer.classic_protocol import COOPERATIVE, STRATEGIES, divide
from transport.wire.ids import MemberId, TopicPartition

MINE = Subscription(frozenset({"t", "u"}), frozenset({TopicPartition("t", 3)}))


def test_the_bytes_are_kafkas() -> None:
    assert encode_subscription(MINE) == bytes.fromhex(
        "0001 00000002 0001 74 0001 75 ffffffff 00000001 0001 74 00000001 00000003"
    )
    assert encode_assignment([TopicPartition("t", 3)]) == bytes.fromhex(
        "0001 00000001 0001 74 00000001 00000003 ffffffff"
    )


def test_what_is_written_is_read() -> None:
    assert decode_subscription(encode_subscription(MINE)) == MINE
    assert decode_assignment(encode_assignment(MINE.owned)) == MINE.owned
    assert decode_assignment(b"") == frozenset()
    oldest = bytes.fromhex("0000 00000001 0001 74 00000002 ab cd")
    assert decode_subscription(oldest) == Subscription(frozenset({"t"}), frozenset())


def test_what_others_send_is_not_trusted() -> None:
    good = encode_subscription(MINE)
    random = Random(1)
    for size in range(len(good)):
        with pytest.raises(ValueError, match=r"cut short|a string|items|user data"):
            decode_subscription(good[:size])
    for _ in range(500):
        noise = bytearray(good)
        noise[random.randrange(len(noise))] = random.randrange(256)
        try:
            decode_subscription(bytes(noise))
        except ValueError:
            continue


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_rounds_end_with_everything_divided_evenly(strategy: str) -> None:
    for seed in range(60):
        random = Random(seed)
        partitions = {"t": random.randint(1, 9), "u": random.randint(1, 9)}
        members = {MemberId(f"m{n}"): MINE._replace(owned=frozenset()) for n in range(4)}
        everything = {TopicPartition(t, n) for t, count in partitions.items() for n in range(count)}
        owned: dict[MemberId, frozenset[TopicPartition]] = {}
        for key in sorted(everything):
            owner = random.choice(list(members))
            owned[owner] = owned.get(owner, frozenset()) | {key}
        for _ in range(2):
            asked = {m: one._replace(owned=owned.get(m, frozenset())) for m, one in members.items()}
            parts = divide(strategy, asked, partitions)
            given = [key for part in parts.values() for key in part]
            assert len(given) == len(set(given)), "nobody shares"
            if strategy == COOPERATIVE:
                for member, part in parts.items():
                    for other, theirs in owned.items():
                        assert other == member or not part & theirs, "given before it was let go"
            owned = {member: frozenset(part) for member, part in parts.items()}
        assert {key for part in owned.values() for key in part} == everything
