"""Where to begin without a position: ``auto_offset_reset``, and what it means now. Pure.

``earliest``, ``latest``, ``none``, or ``by_duration:`` and an ISO 8601 duration (KIP-1106): the
first record that is not older than that.
"""

from __future__ import annotations

import re
from datetime import timedelta

from odradek.errors import OdradekError, error_for
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST, TIMESTAMP_LATEST

BY_DURATION = "by_duration:"
_FIXED: dict[str, int | None] = {
    "earliest": TIMESTAMP_EARLIEST,
    "latest": TIMESTAMP_LATEST,
    "none": None,
}
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?")


def reset_policy(given: str | timedelta) -> str:
    """Return the policy as text; ValueError for one that cannot be."""
    policy = f"{BY_DURATION}PT{given.total_seconds()}S" if isinstance(given, timedelta) else given
    known = isinstance(policy, str) and (
        policy in _FIXED or duration_ms(policy.removeprefix(BY_DURATION)) is not None
    )
    if not known:
        raise ValueError(
            f"auto_offset_reset={given!r} is not possible; use 'earliest', 'latest', 'none', "
            "a timedelta or 'by_duration:PT1H'"
        )
    return policy


def duration_ms(text: str) -> int | None:
    """Return an ISO 8601 duration of days and less in milliseconds; None if it is none."""
    found = _DURATION.fullmatch(text)
    if found is None or not any(found.groups()):
        return None
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return int((((days * 24 + hours) * 60 + minutes) * 60 + seconds) * 1_000)


def reset_timestamp_ms(policy: str, now: Now) -> int | None:
    """Return the time to look for: −1 for the end, −2 for the beginning; None: an error instead."""
    if policy in _FIXED:
        return _FIXED[policy]
    back_ms = duration_ms(policy.removeprefix(BY_DURATION))
    assert back_ms is not None, "checked by reset_policy"
    return max(0, now.wall_ms - back_ms)


def unknown_offset() -> OdradekError:
    """Return the error of a partition that has no position and no policy to find one."""
    return error_for(
        ErrorCode.OFFSET_OUT_OF_RANGE,
        "no position, and auto_offset_reset='none'; seek() first, or choose earliest or latest",
    )
