"""What people give to log clients as settings: names that do not exist, values that cannot be.

Told when the client is made, with the nearest right name or the bound.  Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from typing import NamedTuple

_ELSEWHERE = {
    "retries": "delivery_timeout_ms (records are sent again until then)",
    "max_in_flight_requests_per_connection": "max_in_flight",
    "message_timeout_ms": "delivery_timeout_ms",
    "partitioner_consistent_random": "partitioner",
    "max_partition_fetch_size": "max_partition_fetch_bytes",
    "ssl_cafile": "security",
    "security_protocol": "security",
}
"""Names of other clients that resemble none of ours."""


class Bounds(NamedTuple):
    """What a number may be; both ends are allowed."""

    low: int
    high: int | None = None


class Text(NamedTuple):
    """A setting that is text."""

    optional: bool = False
    """None means that there is none."""


def check_settings(
    client: str,
    given: Mapping[str, object],
    known: Collection[str],
    bounds: Mapping[str, Bounds | Text],
) -> None:
    """Raise TypeError for a name that is not known, no number or no text; ValueError out of bounds."""
    for name in given:
        if name not in known:
            raise TypeError(f"{client} has no setting {name!r}; {_nearest(name, known)}")
    for name, bound in bounds.items():
        if name not in given:
            continue
        if isinstance(bound, Text):
            check_text(name, given[name], optional=bound.optional)
        else:
            check_number(name, given[name], bound)


def check_text(name: str, value: object, *, optional: bool = False) -> None:
    """Raise TypeError for what is no text."""
    if not isinstance(value, str) and not (optional and value is None):
        raise TypeError(f"{name}={value!r} is not text")


def check_number(name: str, value: object, bound: Bounds) -> None:
    """Raise TypeError for what is no whole number, ValueError for one that is out of bounds."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name}={value!r} is not a whole number")
    low, high = bound
    if value < low or (high is not None and value > high):
        span = f"at least {low}" if high is None else f"{low} to {high}"
        raise ValueError(f"{name}={value} is not possible; give {span}")


def _nearest(name: str, known: Collection[str]) -> str:
    plain = name.lower().replace(".", "_").replace("-", "_")
    if plain in _ELSEWHERE:
        return f"here it is {_ELSEWHERE[plain]}"
    close = get_close_matches(plain, sorted(known), n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are {', '.join(sorted(known))}"
