"""Trying again."""

from __future__ import annotations

import pytest

from odradek.coordination.client import CoordinationClient
from odradek.coordination.retry import (
    ForceRetryError,
    KazooRetry,
    Retry,
    RetryFailedError,
    RetryInterruptedError,
)
from odradek.errors import (
    ClientClosedError,
    ConnectionLoss,
    NoNodeError,
    OdradekError,
    SessionExpiredError,
)


class Failing:
    """Fails with each of these, then returns its arguments."""

    def __init__(self, *errors: OdradekError) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self, *args: object, **kwargs: object) -> object:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return args, kwargs


def test_what_may_pass_is_tried_again_after_growing_pauses() -> None:
    slept: list[float] = []
    retry = Retry(
        max_tries=-1, delay=1, backoff=3, max_jitter=0, max_delay=5, sleep_func=slept.append
    )
    failing = Failing(ConnectionLoss(), SessionExpiredError(), ForceRetryError(), ConnectionLoss())
    assert retry(failing, 1, key=2) == ((1,), {"key": 2})
    assert slept == [1, 3, 5, 5]


def test_jitter_spreads_the_pauses() -> None:
    pauses = list(Retry(max_tries=200, delay=1, backoff=1, max_jitter=0.4).pauses())
    assert len(pauses) == 200
    assert 0.6 <= min(pauses) < 0.8
    assert 1.2 < max(pauses) <= 1.4


def test_tries_are_limited_and_the_cause_is_kept() -> None:
    failing = Failing(*(ConnectionLoss() for _ in range(9)))
    with pytest.raises(RetryFailedError) as raised:
        Retry(max_tries=2, delay=0)(failing)
    assert failing.calls == 3
    assert isinstance(raised.value.__cause__, ConnectionLoss)


@pytest.mark.parametrize("error", [NoNodeError(), ClientClosedError()])
def test_what_stays_wrong_is_not_tried_again(error: OdradekError) -> None:
    failing = Failing(error)
    with pytest.raises(type(error)):
        Retry(max_tries=5, delay=0)(failing)
    assert failing.calls == 1


def test_expiry_is_tried_again_only_when_it_is_to_be_ignored() -> None:
    with pytest.raises(SessionExpiredError):
        Retry(max_tries=5, delay=0, ignore_expire=False)(Failing(SessionExpiredError()))


def test_time_is_limited() -> None:
    with pytest.raises(RetryFailedError):
        Retry(max_tries=-1, delay=10, deadline=1)(Failing(ConnectionLoss()))


def test_an_interrupt_ends_it() -> None:
    asked: list[float] = []
    retry = Retry(max_tries=-1, delay=1, sleep_func=asked.append, interrupt=lambda: len(asked) == 3)
    with pytest.raises(RetryInterruptedError):
        retry(Failing(ConnectionLoss()))
    assert asked == [Retry.SLICE_S] * 3


def test_a_client_has_one_as_in_kazoo(client: CoordinationClient) -> None:
    assert client.retry(client.create, "/a", b"1") == "/a"
    copied = client.retry.copy()
    copied.max_tries = 7
    assert client.retry.max_tries == 1
    assert KazooRetry is Retry
    with pytest.raises(ValueError, match="jitter"):
        Retry(max_jitter=2)


def test_a_client_takes_its_settings() -> None:
    assert CoordinationClient("c:1", command_retry={"max_tries": 4}).retry.max_tries == 4
