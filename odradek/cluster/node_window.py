"""Looking into a node from outside: its ``/health`` and ``/metrics`` over HTTP, read as values.

For commands and tests; no client needs it.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any, NamedTuple, TypeVar

LOOK_MAX_S = 3.0
"""Above the time after which a node itself says that its loop is stuck."""
LOOKERS_MAX = 16
ANSWER_BYTES_MAX = 64 * 1024 * 1024
"""Above the metrics of a broker of a hundred thousand partitions."""
HEALTH_NUMBERS = (
    *("wall_ms", "descriptors", "descriptors_max"),
    *("disk_free_bytes", "disk_total_bytes"),
)
"""What ``/health`` says in numbers, and is looked at."""

T = TypeVar("T")
_SAMPLE = re.compile(r"^odradek_(\w+?)(\{.*\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


class Sample(NamedTuple):
    """One value of a metric."""

    labels: dict[str, str]
    value: float


class Metrics:
    """What ``/metrics`` said at one moment."""

    def __init__(self, text: str) -> None:
        self._samples: dict[str, list[Sample]] = {}
        for name, labels, value in _SAMPLE.findall(text):
            try:
                sample = Sample(dict(_LABEL.findall(labels)), float(value))
            except ValueError:
                continue  # no value of a metric
            self._samples.setdefault(name, []).append(sample)

    def samples(self, name: str) -> Sequence[Sample]:
        """Return the samples of a metric, named without its prefix."""
        return self._samples.get(name, ())

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all samples that have these labels; 0 where none has."""
        wanted = labels.items()
        return sum(each.value for each in self.samples(name) if wanted <= each.labels.items())


def read_metrics(http: str) -> Metrics | None:
    """Return a node's metrics, or None where it cannot be reached or its loop is stuck."""
    status, text = _get(f"{http}/metrics")
    return Metrics(text) if status == 200 else None


def read_health(http: str) -> dict[str, Any] | None:
    """Return what a node's ``/health`` says, also of one that is not ready; None: no node answers."""
    status, text = _get(f"{http}/health")
    if status == 0:
        return None
    try:
        told = json.loads(text)
    except ValueError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("version"), str):
        return None
    numbers = all(isinstance(told.get(name), int | float) for name in HEALTH_NUMBERS)
    return told if numbers else None


def look_at_all(read: Callable[[str], T], places: Sequence[str]) -> list[T]:
    """Return what ``read`` says of each place, asked at once."""
    with ThreadPoolExecutor(LOOKERS_MAX) as lookers:
        return list(lookers.map(read, places))


def _get(url: str) -> tuple[int, str]:
    """Return (status, text); status 0: nobody answers there."""
    if not url.startswith("http://"):
        return 0, ""
    try:
        try:
            answer = urllib.request.urlopen(url, timeout=LOOK_MAX_S)  # noqa: S310 - http only
        except urllib.error.HTTPError as error:
            answer = error  # it has a status and a text as well
        with answer:
            return int(answer.status or 0), answer.read(ANSWER_BYTES_MAX).decode()
    except (OSError, ValueError, HTTPException):
        return 0, ""  # whoever answers there is no node
