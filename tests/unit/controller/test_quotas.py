"""Quotas of clients: which one counts, how its bytes are counted, and how they change."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from nodes.core import quotas
from nodes.core.controller import quotas as changes
from nodes.core.quotas import (
    Entities,
    Key,
    Limit,
    QuotaMeter,
    complaint_about,
    entities_in,
    entity_name,
    entity_of,
    limit_of,
)
from tests.unit.controller.cluster import Cluster, three
from transport.wire.errors import ErrorCode
from transport.wire.messages.quotas import (
    CONSUMER_BYTE_RATE,
    PRODUCER_BYTE_RATE,
    AlterClientQuotasRequest,
    QuotaEntity,
    QuotaValues,
)

EVERY: list[tuple[Key, Key]] = [
    (("alice", "app"), ("alice", "app")),
    (("alice", ""), ("alice", "app")),
    (("alice", None), ("alice", None)),
    (("", "app"), ("alice", "app")),
    (("", ""), ("alice", "app")),
    (("", None), ("alice", None)),
    ((None, "app"), (None, "app")),
    ((None, ""), (None, "app")),
]
"""Entities that fit alice's client ``app``, the most special first; whose bytes each counts."""


@pytest.mark.parametrize("best", range(len(EVERY)))
def test_the_most_special_quota_counts(best: int) -> None:
    entities = {key: {PRODUCER_BYTE_RATE: 1_000 + n} for n, (key, _) in enumerate(EVERY)}
    for key, _ in EVERY[:best]:
        del entities[key]
    entities |= {("bob", "app"): {PRODUCER_BYTE_RATE: 1}, (None, "other"): {PRODUCER_BYTE_RATE: 1}}
    expected = Limit(1_000 + best, EVERY[best][1])
    assert limit_of(entities, PRODUCER_BYTE_RATE, "alice", "app") == expected
    assert limit_of(entities, CONSUMER_BYTE_RATE, "alice", "app") is None


def test_a_quota_of_the_other_kind_hides_none() -> None:
    entities: Entities = {
        ("alice", "app"): {CONSUMER_BYTE_RATE: 1},
        ("alice", None): {PRODUCER_BYTE_RATE: 2},
    }
    assert limit_of(entities, PRODUCER_BYTE_RATE, "alice", "app") == Limit(2, ("alice", None))


@pytest.mark.parametrize(
    ("entity", "name"),
    [
        (QuotaEntity("alice", None), "user=alice"),
        (QuotaEntity("", None), "user=<default>"),
        (QuotaEntity(None, "a,b=c/<default>"), "client-id=a%2Cb%3Dc%2F%3Cdefault%3E"),
        (QuotaEntity("ü", ""), "user=%C3%BC,client-id=<default>"),
    ],
)
def test_an_entity_is_found_again_by_its_name(entity: QuotaEntity, name: str) -> None:
    assert entity_name(entity) == name
    assert entity_of(name) == entity


@pytest.mark.parametrize(
    ("entity", "values", "fault"),
    [
        (QuotaEntity("a"), {PRODUCER_BYTE_RATE: 1}, None),
        (QuotaEntity("", ""), {CONSUMER_BYTE_RATE: None}, None),
        (QuotaEntity(), {PRODUCER_BYTE_RATE: 1}, "name one"),
        (QuotaEntity("a" * 256), {}, "user"),
        (QuotaEntity(None, "a\n"), {}, "client_id"),
        (QuotaEntity("a"), {"request_percentage": 1}, "known: consumer_byte_rate"),
        (QuotaEntity("a"), {PRODUCER_BYTE_RATE: 0}, "at least 1"),
        (QuotaEntity("a"), {PRODUCER_BYTE_RATE: 2**63}, "at least 1"),
    ],
)
def test_which_are_legal(entity: QuotaEntity, values: Any, fault: str | None) -> None:
    complaint = complaint_about(entity, values)
    assert complaint is None if fault is None else complaint is not None and fault in complaint


def test_ten_seconds_worth_may_come_at_once_and_more_is_waited_for() -> None:
    meter = QuotaMeter(PRODUCER_BYTE_RATE)
    meter.use({("alice", None): {PRODUCER_BYTE_RATE: 1_000}})
    assert meter.take("alice", "", 10_000, 5_000) == 0
    assert meter.take("alice", "", 1_500, 5_000) == 1_500
    assert meter.wait_ms("alice", "", 5_600) == 900
    assert meter.wait_ms("alice", "", 6_500) == 0
    assert meter.take("alice", "", 10_000, 60_000) == 0, "idle time gives no more than a burst"


def test_nobody_is_told_to_wait_for_longer_than_an_answer_can_say() -> None:
    meter = QuotaMeter(PRODUCER_BYTE_RATE)
    meter.use({("alice", None): {PRODUCER_BYTE_RATE: 1}})
    assert meter.take("alice", "", 3_000_000, 0) == 2**31 - 1
    assert meter.wait_ms("alice", "", 1_000) == 2**31 - 1


def test_whoever_waits_as_told_gets_the_rate_and_no_more() -> None:
    random, meter = Random(4), QuotaMeter(PRODUCER_BYTE_RATE)
    meter.use({("alice", None): {PRODUCER_BYTE_RATE: 1_000}})
    now_ms = moved = 0
    while now_ms < 1_000_000:
        size_bytes = random.randint(1, 4_000)
        moved += size_bytes
        now_ms += meter.take("alice", "", size_bytes, now_ms) or random.randint(0, 50)
    assert 1.0 <= moved / now_ms < 1.02


def test_clients_of_one_quota_share_it_and_others_have_their_own() -> None:
    meter = QuotaMeter(PRODUCER_BYTE_RATE)
    assert meter.take("alice", "app", 10**9, 0) == 0, "without a quota nothing is counted"
    meter.use({("alice", None): {PRODUCER_BYTE_RATE: 1}, ("", None): {PRODUCER_BYTE_RATE: 1}})
    assert meter.take("alice", "app", 11, 0) == 1_000
    assert meter.wait_ms("alice", "other", 0) == 1_000
    assert meter.wait_ms("bob", "app", 0) == 0
    assert meter.take("bob", "app", 12, 0) == 2_000
    meter.use({("alice", None): {PRODUCER_BYTE_RATE: 1_000}})
    assert meter.wait_ms("alice", "app", 0) == 0, "a new rate counts at once"


def test_what_is_kept_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas, "METERS_MAX", 3)
    meter = QuotaMeter(PRODUCER_BYTE_RATE)
    meter.use({(None, ""): {PRODUCER_BYTE_RATE: 1}})
    for number in range(9):
        meter.take("u", "busy", 100, 0)
        meter.take("u", f"{number}", 100, 0)
    assert len(meter._throttles) == 3
    assert len(meter._limits) <= 3
    assert meter.take("u", "busy", 0, 0) > 0, "who moves bytes is not forgotten"
    assert meter.wait_ms("u", "0", 0) == 0


def alter(cluster: Cluster, *entries: QuotaValues) -> list[int]:
    told: Any = cluster.ask(AlterClientQuotasRequest(entries, 1_000))
    return [outcome.error for outcome in told.outcomes]


def test_quotas_change_one_by_one_and_end_with_the_last() -> None:
    cluster = three()
    alice = QuotaEntity("alice")
    both: dict[str, int | None] = {PRODUCER_BYTE_RATE: 1, CONSUMER_BYTE_RATE: 2}
    seen = cluster.image.quota_changes
    assert alter(cluster, QuotaValues(alice, both), QuotaValues(QuotaEntity(), both)) == [
        0,
        ErrorCode.INVALID_REQUEST,
    ]
    assert cluster.image.quota_changes > seen
    assert entities_in(cluster.image.configs) == {("alice", None): both}
    alter(cluster, QuotaValues(alice, {PRODUCER_BYTE_RATE: None}))
    assert entities_in(cluster.image.configs) == {("alice", None): {CONSUMER_BYTE_RATE: 2}}
    none: dict[str, int | None] = {CONSUMER_BYTE_RATE: None}
    cluster.ask(AlterClientQuotasRequest((QuotaValues(alice, none),), 1_000, validate_only=True))
    assert entities_in(cluster.image.configs) == {("alice", None): {CONSUMER_BYTE_RATE: 2}}
    alter(cluster, QuotaValues(alice, none))
    assert cluster.image.configs == {}


def test_they_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes, "ENTITIES_MAX", 1)
    cluster = three()
    entries = [QuotaValues(QuotaEntity(name), {PRODUCER_BYTE_RATE: 1}) for name in "aab"]
    assert alter(cluster, *entries) == [0, 0, ErrorCode.INVALID_REQUEST]


def test_what_a_later_version_has_written_is_left_out() -> None:
    configs = {("client", "user=a"): {PRODUCER_BYTE_RATE: "x", "new": "1", CONSUMER_BYTE_RATE: "7"}}
    assert entities_in(configs) == {("a", None): {CONSUMER_BYTE_RATE: 7}}
