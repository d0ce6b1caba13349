"""What a node measures reads as Prometheus's own client reads it."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from nodes.runtime.measures import Measure, counters, exposition, gauge, merged
from odradek.cluster.node_window import Metrics
from transport.driver.meter import BOUNDS_MS, OPEN_REQUESTS_MAX, Histogram, RequestMeter
from transport.driver.ports import Door, Origin
from transport.wire.apis import Api
from transport.wire.codec import Envelope, Kind
from transport.wire.messages import Refusal
from transport.wire.messages.cluster import HealthRequest

HERE = Origin(Door.CLIENTS, b"one")


def histogram(*took_ms: float) -> Histogram:
    made = Histogram()
    for each in took_ms:
        made.add(each)
    return made


def test_the_text_is_what_prometheus_reads() -> None:
    odd = 'quote " slash \\ line \n end'
    text = exposition(
        [
            gauge("active_controller", "One.", True),
            Measure("log_bytes", "Sizes.", {(("topic", odd),): 12_345_678_901}),
            Measure(
                "wait_seconds",
                "Waits.",
                {(("api", "FETCH"),): histogram(0.5, 7, 7, 99_999)},
                "histogram",
            ),
            *counters({"replies_dropped": 3}),
        ]
    )
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["odradek_active_controller"].samples[0].value == 1
    assert families["odradek_log_bytes"].samples[0].labels == {"topic": odd}
    assert families["odradek_log_bytes"].samples[0].value == 12_345_678_901
    assert families["odradek_replies_dropped"].type == "counter"
    waits = {
        (sample.name.removeprefix("odradek_wait_seconds"), sample.labels.get("le")): sample.value
        for sample in families["odradek_wait_seconds"].samples
    }
    assert waits["_bucket", "0.001"] == 1
    assert waits["_bucket", "0.01"] == 3
    assert waits["_bucket", "10.0"] == 3
    assert waits["_bucket", "+Inf"] == waits["_count", None] == 4
    assert waits["_sum", None] == (0.5 + 7 + 7 + 99_999) / 1000


def test_our_own_reader_sums_by_labels() -> None:
    sizes = {(("topic", "a"), ("tier", "x")): 1, (("topic", "b"), ("tier", "x")): 2}
    metrics = Metrics(exposition([Measure("bytes", "B.", sizes), gauge("one", "1.", 1)]))
    assert metrics.total("bytes", tier="x") == 3
    assert metrics.total("bytes", topic="b", tier="x") == 2
    assert metrics.total("one") == 1
    assert metrics.total("nothing") == 0


def test_counters_of_one_name_add_up() -> None:
    both = merged([*counters({"a": 1, "b": 2}), gauge("g", "G.", 5), *counters({"b": 3})])
    metrics = Metrics(exposition(both))
    assert [metrics.total(name) for name in ("a_total", "b_total", "g")] == [1, 5, 5]
    assert len(both) == 3


def test_a_bound_counts_in_its_own_bucket() -> None:
    assert histogram(BOUNDS_MS[0]).counts[0] == 1
    assert histogram(BOUNDS_MS[-1] + 1).counts[-1] == 1


def request(number: int) -> Envelope:
    return Envelope(Kind.REQUEST, HealthRequest(), correlation_id=number)


def test_a_request_is_timed_from_arrival_to_answer() -> None:
    clock = iter([0, 30_000_000, 50_000_000])
    meter = RequestMeter(lambda: next(clock))
    meter.arrived(HERE, request(1))
    meter.arrived(HERE, request(2))
    refusal = Envelope(Kind.REFUSAL, Refusal(1), correlation_id=1)
    meter.answered(HERE, refusal)
    meter.answered(HERE, refusal)  # a second answer is none
    assert meter.latencies[Api.HEALTH].count == 1
    assert meter.latencies[Api.HEALTH].total_ms == 50
    assert meter.refused == {Api.HEALTH: 1}


def test_requests_that_are_never_answered_do_not_gather() -> None:
    meter = RequestMeter(lambda: 0)
    for number in range(OPEN_REQUESTS_MAX + 10):
        meter.arrived(HERE, request(number))
    assert len(meter._open) == OPEN_REQUESTS_MAX
