"""What ``auto_offset_reset`` may be, and what it means."""

from __future__ import annotations

from datetime import timedelta

import pytest

from odradek.consumer.offset_reset import duration_ms, reset_policy, reset_timestamp_ms
from transport.kernel import Now

NOW = Now(5, 10_000_000)


@pytest.mark.parametrize(
    ("policy", "meant"),
    [
        ("earliest", -2),
        ("latest", -1),
        ("none", None),
        ("by_duration:PT1H", 10_000_000 - 3_600_000),
        (timedelta(seconds=1.5), 10_000_000 - 1_500),
        ("by_duration:P1DT2H3M4.5S", 0),
    ],
)
def test_what_a_policy_means_now(policy: str | timedelta, meant: int | None) -> None:
    assert reset_timestamp_ms(reset_policy(policy), NOW) == meant


@pytest.mark.parametrize(
    "policy", ["", "soonest", "by_duration:", "by_duration:P", "by_duration:1h"]
)
def test_what_is_no_policy_says_what_is(policy: str) -> None:
    with pytest.raises(ValueError, match="'earliest', 'latest', 'none'"):
        reset_policy(policy)


def test_durations_are_added_up() -> None:
    assert duration_ms("P1DT2H3M4.5S") == 93_784_500
