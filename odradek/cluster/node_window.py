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
from typing import Any, NamedTuple, TypeVar

LOOK_MAX_S = 3.0
"""Above the time after which a node itself says that its loop is stuck."""
LOOKERS_MAX = 16

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
            sample = Sample(dict(_LABEL.findall(labels)), float(value))
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
    """Return what a node's ``/health`` says, also of one that is not ready; None: no answer."""
    status, text = _get(f"{http}/health")
    if status == 0:
        return None
    try:
        told = json.loads(text)
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def look_at_all(read: Callable[[str], T], places: Sequence[str]) -> list[T]:
    """Return what ``read`` says of each place, asked at once."""
    with ThreadPoolExecutor(LOOKERS_MAX) as lookers:
        return list(lookers.map(read, places))


def _get(url: str) -> tuple[int, str]:
    """Return (status, text); status 0: nobody answers there."""
    if not url.startswith("http://"):
        return 0, ""
    try:
        with urllib.request.urlopen(url, timeout=LOOK_MAX_S) as answer:  # noqa: S310 - http only
            return int(answer.status), answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    except (OSError, ValueError):
        return 0, ""
