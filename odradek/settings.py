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


INT_MAX = (1 << 31) - 1
"""Of what Kafka keeps in 32 bits: times of 24 days, and sizes."""


class Text(NamedTuple):
    """A setting that is text."""

    optional: bool = False
    """None means that there is none."""


class Truth(NamedTuple):
    """A setting that is True or False."""

    optional: bool = False
    """None means that other settings decide."""


Kind = Bounds | Text | Truth


def check_settings(
    client: str,
    given: Mapping[str, object],
    known: Collection[str],
    kinds: Mapping[str, Kind],
) -> None:
    """Raise TypeError for a name that is not known or a value of another kind; ValueError for one
    that is out of bounds."""
    for name in given:
        if name not in known:
            raise TypeError(f"{client} has no setting {name!r}; {_nearest(name, known)}")
    for name, kind in kinds.items():
        if name not in given:
            continue
        if isinstance(kind, Text):
            check_text(name, given[name], optional=kind.optional)
        elif isinstance(kind, Truth):
            check_truth(name, given[name], optional=kind.optional)
        else:
            check_number(name, given[name], kind)


def check_text(name: str, value: object, *, optional: bool = False) -> None:
    """Raise TypeError for what is no text, ValueError for text that has no UTF-8."""
    if optional and value is None:
        return
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} is not text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{name}={value!r} has no UTF-8: half of a surrogate pair is no character"
        ) from None


def check_truth(name: str, value: object, *, optional: bool = False) -> None:
    """Raise TypeError for what is neither True nor False, as the text 'false', which counts as true."""
    if not isinstance(value, bool) and not (optional and value is None):
        raise TypeError(f"{name}={value!r} is neither True nor False")


def check_function(name: str, value: object) -> None:
    """Raise TypeError for what cannot be called; None is none."""
    if value is not None and not callable(value):
        raise TypeError(f"{name}={value!r} is no function")


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
