"""Each thing that can be wrong is found, named, and comes with what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from odradek.cluster.node_window import Metrics
from odradek.commands.examination import ERROR, WARNING, Report, examine
from odradek.commands.top import row
from transport.wire.ids import Incarnation, NodeId, NodeName
from transport.wire.messages.cluster import HealthResponse, NodeEndpoints


def answer(name: str, state: str = "ready") -> HealthResponse:
    return HealthResponse(0, NodeName(name), Incarnation(1), state, False, False)


def metrics(**values: float) -> Metrics:
    return Metrics("".join(f"odradek_{name} {value}\n" for name, value in values.items()))


def report(number: int, role: str = "broker", **values: float) -> Report:
    name = f"{role}-{number}"
    node = NodeEndpoints(
        NodeId(number),
        NodeName(name),
        (role,),
        "tcp://p:1",
        "tcp://c:1",
        "tcp://e:1",
        "",
        "http://h",
    )
    health = {
        "version": "1",
        "wall_ms": 1_700_000_000_000,
        "disk_free_bytes": 50,
        "disk_total_bytes": 100,
        "descriptors": 10,
        "descriptors_max": 65_536,
    }
    doors: dict[str, HealthResponse | None] = {"clients": answer(name), "peers": answer(name)}
    return Report(node, doors, True, health, 0.0, metrics(**values))


def cluster() -> list[Report]:
    return [
        report(1, "coordinator", raft_leads=1),
        report(1, active_controller=1),
        report(2),
    ]


def health_of(found: Report) -> dict[str, object]:
    assert found.health is not None
    return found.health


def all_silent(found: Report) -> None:
    found.doors = {"clients": None, "peers": None}


def one_silent(found: Report) -> None:
    found.doors["peers"] = None


def wrong_node(found: Report) -> None:
    found.doors["clients"] = answer("broker-9")


def starting(found: Report) -> None:
    found.doors = {door: answer("broker-2", "starting") for door in found.doors}


def events_shut(found: Report) -> None:
    found.events_open = False


def no_window(found: Report) -> None:
    found.health = found.metrics = None


def full_disk(found: Report) -> None:
    health_of(found)["disk_free_bytes"] = 0


def nearly_full_disk(found: Report) -> None:
    health_of(found)["disk_free_bytes"] = 5


def few_descriptors(found: Report) -> None:
    health_of(found)["descriptors_max"] = 1024


def descriptors_used_up(found: Report) -> None:
    health_of(found)["descriptors"] = 65_000


def wrong_clock(found: Report) -> None:
    found.clock_ahead_ms = -5_000


def old_version(found: Report) -> None:
    health_of(found)["version"] = "0"


def late(found: Report) -> None:
    found.metrics = metrics(loop_late_seconds_count=10, loop_late_seconds_sum=2)


def offline(found: Report) -> None:
    found.metrics = metrics(offline_partitions=3)


def one_offline(found: Report) -> None:
    found.metrics = metrics(offline_partitions=1)


def one_refusing(found: Report) -> None:
    found.metrics = metrics(under_min_isr_partitions=1)


def one_behind(found: Report) -> None:
    found.metrics = metrics(under_replicated_partitions=1)


def last_day_of_certificate(found: Report) -> None:
    found.metrics = metrics(tls_certificate_expires_seconds=1_700_000_000 + 86_400)


def refusing(found: Report) -> None:
    found.metrics = metrics(under_min_isr_partitions=3)


def behind(found: Report) -> None:
    found.metrics = metrics(under_replicated_partitions=3)


def directory_offline(found: Report) -> None:
    found.metrics = Metrics('odradek_log_directory_offline{directory="/mnt/two/broker-2"} 1\n')


def old_certificate(found: Report) -> None:
    found.metrics = metrics(tls_certificate_expires_seconds=1_700_000_000 - 1)


def late_certificate(found: Report) -> None:
    found.metrics = metrics(tls_certificate_expires_seconds=1_700_000_000 + 3 * 86_400)


def second_controller(found: Report) -> None:
    found.metrics = metrics(active_controller=1)


CASES: list[tuple[Callable[[Report], None], str, str, str]] = [
    (
        directory_offline,
        ERROR,
        "broker-2",
        "its log directory /mnt/two/broker-2 is offline",
    ),
    (old_certificate, ERROR, "broker-2", "its listeners' certificate has expired"),
    (late_certificate, WARNING, "broker-2", "its listeners' certificate expires in 3 days"),
    (all_silent, ERROR, "broker-2", "answers at no door"),
    (one_silent, ERROR, "broker-2", "does not answer at its peers door, tcp://p:1"),
    (wrong_node, ERROR, "broker-2", "leads to broker-9"),
    (starting, ERROR, "broker-2", "is starting"),
    (events_shut, ERROR, "broker-2", "events door"),
    (no_window, WARNING, "broker-2", "shows nothing at http://h"),
    (full_disk, ERROR, "broker-2", "0.0% free"),
    (nearly_full_disk, WARNING, "broker-2", "5.0% free"),
    (few_descriptors, WARNING, "broker-2", "10 of 1024 descriptors"),
    (descriptors_used_up, WARNING, "broker-2", "65000 of 65536"),
    (wrong_clock, WARNING, "", "5000 ms ahead of broker-2"),
    (old_version, WARNING, "", "different versions: 0, 1"),
    (late, WARNING, "broker-2", "200 ms late"),
    (offline, ERROR, "", "3 partitions have no leader"),
    (one_offline, ERROR, "", "1 partition has no leader"),
    (one_refusing, ERROR, "", "1 partition refuses acks=all"),
    (one_behind, WARNING, "", "1 partition is under-replicated"),
    (last_day_of_certificate, WARNING, "broker-2", "listeners' certificate expires in 1 day"),
    (refusing, ERROR, "", "3 partitions refuse acks=all"),
    (behind, WARNING, "", "3 partitions are under-replicated"),
    (second_controller, ERROR, "", "not exactly one active controller"),
]


def test_a_healthy_cluster_has_no_findings() -> None:
    assert examine(cluster()) == []


@pytest.mark.parametrize(("spoil", "severity", "node", "what"), CASES)
def test_what_is_wrong_is_found(
    spoil: Callable[[Report], None], severity: str, node: str, what: str
) -> None:
    reports = cluster()
    spoil(reports[2])
    findings = examine(reports)
    assert [(each.severity, each.node) for each in findings] == [(severity, node)]
    assert what in findings[0].what
    assert findings[0].advice
    assert "1 days" not in findings[0].what


def test_no_leader_is_found_where_all_were_seen() -> None:
    reports = cluster()
    reports[0].metrics = metrics()
    assert [each.what for each in examine(reports)] == ["the coordinators have no leader"]


def test_top_shows_what_grew_between_two_looks() -> None:
    old = metrics(request_seconds_count=10, request_seconds_sum=1, process_cpu_seconds=4)
    new = metrics(
        request_seconds_count=30, request_seconds_sum=2, process_cpu_seconds=5, active_controller=1
    )
    shown = row(report(1).node, old, new, 2.0)
    assert (shown.requests_per_s, shown.mean_ms, shown.cpu) == (10, 50, 0.5)
    assert shown.role == "broker *"
    assert row(report(1).node, None, new, 2.0).role == "unseen"


def test_top_leaves_waits_out_of_how_long_requests_take() -> None:
    def told(fetches: int, produces: int) -> Metrics:
        return Metrics(
            f'odradek_request_seconds_count{{api="FETCH"}} {fetches}\n'
            f'odradek_request_seconds_sum{{api="FETCH"}} {fetches * 0.5}\n'
            f'odradek_request_seconds_count{{api="PRODUCE"}} {produces}\n'
            f'odradek_request_seconds_sum{{api="PRODUCE"}} {produces * 0.002}\n'
        )

    shown = row(report(1).node, told(10, 10), told(40, 20), 2.0)
    assert (shown.requests_per_s, round(shown.mean_ms, 6)) == (20, 2)
    assert row(report(1).node, told(10, 10), told(40, 10), 2.0).mean_ms == 0
