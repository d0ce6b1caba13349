"""What a node tells of itself, as values, and those as Prometheus's text format.

Written by hand: ``prometheus_client`` costs a node 9 MB and 90 ms at its start for these few lines
(docs/decisions/0009); a test reads the text with it.
Source: https://prometheus.io/docs/instrumenting/exposition_formats/, version 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from transport.driver.entrance import CERTIFICATE_EXPIRES
from transport.driver.loop import Loop
from transport.driver.meter import BOUNDS_MS, Histogram, Times
from transport.driver.ports import Program
from transport.kernel import Now

PREFIX = "odradek_"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
Labels = tuple[tuple[str, str], ...]


class Measure(NamedTuple):
    """One metric. Units stand last in names, in Prometheus's base units."""

    name: str
    help: str
    samples: Mapping[Any, float | Histogram]
    """By :data:`Labels`."""
    kind: str = "gauge"
    """``gauge``, ``counter`` (its name ends in ``_total``) or ``histogram`` (of Histograms)."""


class Outlook(NamedTuple):
    """How a node is at one moment; built by its loop, told by others."""

    state: str
    """``starting``, ``ready`` or ``stopping``."""
    leader: bool
    controller: bool
    measures: tuple[Measure, ...]


class NodeProgram(Program, Protocol):
    """A program that runs in a process of its own and can be looked at."""

    def outlook(self, now: Now) -> Outlook:
        """Return how the node is; called on the loop's thread, only when somebody asks."""
        ...


def gauge(name: str, text: str, value: float) -> Measure:
    """Return a gauge without labels."""
    return Measure(name, text, {(): value})


def listened(name: str, times: Times) -> Measure:
    """Return how long the requests of a listener took, by what its clients call them."""
    samples = {(("api", api),): each for api, each in sorted(times.latencies.items())}
    return Measure(name, "From arrival to answer, waits included.", samples, "histogram")


def counters(figures: Mapping[str, int]) -> Iterator[Measure]:
    """Yield a node's own counters: what was refused, dropped or repaired, by name."""
    for name, value in sorted(figures.items()):
        text = f"{name.replace('_', ' ').capitalize()} since the start of the process."
        yield Measure(f"{name}_total", text, {(): value}, "counter")


def merged(measures: Iterable[Measure]) -> tuple[Measure, ...]:
    """Return them with those of one name as one: counts of several parts of a process add up."""
    by_name: dict[str, Measure] = {}
    for measure in measures:
        known = by_name.get(measure.name)
        if known is not None:
            assert measure.kind == known.kind == "counter", measure.name
            sums = {**known.samples}
            for labels, value in measure.samples.items():
                sums[labels] = sums.get(labels, 0) + value  # type: ignore[operator]
            measure = measure._replace(samples=sums)
        by_name[measure.name] = measure
    return tuple(by_name.values())


def loop_measures(loop: Loop) -> Iterator[Measure]:
    """Yield what the loop knows: requests by API, its own punctuality, its doors."""
    requests = loop.requests
    timed = {(("api", api.name),): each for api, each in requests.latencies.items()}
    refused = {(("api", api.name),): count for api, count in requests.refused.items()}
    yield Measure("request_seconds", "From arrival to answer, waits included.", timed, "histogram")
    yield Measure("requests_refused_by_api_total", "Answered by a refusal.", refused, "counter")
    moved = {
        (("direction", "received"),): requests.received_bytes,
        (("direction", "sent"),): requests.sent_bytes,
    }
    yield Measure("door_bytes_total", "Bytes of messages at the doors.", moved, "counter")
    yield Measure(
        "loop_turn_seconds", "How long a turn held up the others.", {(): loop.turns}, "histogram"
    )
    yield Measure("loop_late_seconds", "How late a sleep ended.", {(): loop.lateness}, "histogram")
    doors = loop.routers.items()
    yield Measure(
        "connections",
        "Connections now, also of those that have said nothing.",
        {(("door", door.value),): router.connections for door, router in doors},
    )
    yield Measure(
        "unread_bytes",
        "Answers sent that were not yet read; the budget of one connection is 64 MiB.",
        {(("door", door.value),): router.unread_bytes() for door, router in doors},
    )
    yield Measure(
        "door_refusals_total",
        "Answers dropped for lack of credit, and connections refused.",
        {
            **{(("door", door.value), ("what", "reply")): r.replies_refused for door, r in doors},
            **{
                (("door", door.value), ("what", "connection")): r.connections_refused
                for door, r in doors
            },
        },
        "counter",
    )
    figures = dict(loop.figures)
    expires_s = figures.pop(CERTIFICATE_EXPIRES, None)
    if expires_s is not None:
        text = "When the listeners' certificate expires, in seconds since 1970."
        yield gauge(CERTIFICATE_EXPIRES, text, expires_s)
    yield from counters(figures)


def exposition(measures: Iterable[Measure]) -> str:
    """Return the measures as Prometheus reads them."""
    return "".join(line for measure in measures for line in _lines(measure))


def _lines(measure: Measure) -> Iterator[str]:
    name = PREFIX + measure.name
    yield f"# HELP {name} {measure.help}\n# TYPE {name} {measure.kind}\n"
    for labels, value in measure.samples.items():
        if isinstance(value, Histogram):
            yield from _histogram(name, labels, value)
        else:
            yield f"{name}{_labels(labels)} {value + 0}\n"  # a bool as 0 or 1


def _histogram(name: str, labels: Labels, value: Histogram) -> Iterator[str]:
    below = 0
    for bound_ms, count in zip((*BOUNDS_MS, None), value.counts, strict=True):
        below += count
        bound = "+Inf" if bound_ms is None else str(bound_ms / 1000)
        yield f"{name}_bucket{_labels((*labels, ('le', bound)))} {below}\n"
    yield f"{name}_sum{_labels(labels)} {value.total_ms / 1000}\n"
    yield f"{name}_count{_labels(labels)} {below}\n"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{key}="{_escaped(value)}"' for key, value in labels) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
