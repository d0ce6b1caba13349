"""Calling again what failed for the moment: kazoo's ``client.retry`` and its rules.

Owns how often and how long; what may be tried again is said by the errors' own flags.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from odradek.errors import (
    ClientClosedError,
    ClientError,
    OdradekError,
    SessionExpiredError,
)

T = TypeVar("T")


class ForceRetryError(ClientError):
    """Raised by a function that wants to be called again by :class:`Retry`."""

    retriable = True


class RetryFailedError(ClientError):
    """Every try has failed; the cause is the last one's error."""


class RetryInterruptedError(ClientError):
    """``interrupt`` has said to stop trying."""


class Retry:
    """Calls a function, and again when it fails with an error that may pass.

    max_tries
        How often it is called again (-1: for ever).
    delay, backoff, max_delay
        Seconds before the second call, the factor by which they grow, and their limit.
    max_jitter
        Each pause is drawn from ``pause * (1 - max_jitter)`` to ``pause * (1 + max_jitter)``.
    ignore_expire
        Try again also after SessionExpiredError: in the session that follows.
    sleep_func
        Waits; asked in slices of at most a tenth of a second when there is an ``interrupt``.
    deadline
        Seconds for all tries together; None: no limit.
    interrupt
        Asked before and while it waits; True ends it with RetryInterruptedError.

    Tried again is what the table of errors calls retriable, and ForceRetryError.  Thread-safe, as
    no call leaves anything behind; ``reset`` and ``copy`` are there for kazoo's users.
    """

    SLICE_S = 0.1

    def __init__(  # noqa: PLR0913, PLR0917 - kazoo's arguments
        self,
        max_tries: int = 1,
        delay: float = 0.1,
        backoff: float = 2,
        max_jitter: float = 0.4,
        max_delay: float = 60.0,
        ignore_expire: bool = True,
        sleep_func: Callable[[float], object] = time.sleep,
        deadline: float | None = None,
        interrupt: Callable[[], bool] | None = None,
    ) -> None:
        if delay < 0 or max_delay < 0 or backoff < 1 or not 0 <= max_jitter <= 1:
            raise ValueError("delays are 0 or more, backoff 1 or more, max_jitter from 0 to 1")
        self.max_tries = max_tries
        self.delay = delay
        self.backoff = backoff
        self.max_jitter = max_jitter
        self.max_delay = max_delay
        self.ignore_expire = ignore_expire
        self.sleep_func = sleep_func
        self.deadline = deadline
        self.interrupt = interrupt

    def __call__(self, func: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Return what ``func(*args, **kwargs)`` returns in the end.

        RetryFailedError when tries or time are used up; other errors as they come.
        """
        pauses = self.pauses()
        while True:
            try:
                return func(*args, **kwargs)
            except OdradekError as error:
                if not self.again(error):
                    raise
                pause_s = next(pauses, None)
                if pause_s is None:
                    raise RetryFailedError(f"gave up: {error}") from error
                self._sleep(pause_s)

    def again(self, error: OdradekError) -> bool:
        """Say whether this error may pass."""
        if isinstance(error, SessionExpiredError):
            return self.ignore_expire
        return error.retriable and not isinstance(error, ClientClosedError)

    def pauses(self) -> Iterator[float]:
        """Give the seconds to wait before each further try, until tries or time are used up."""
        stop_s = None if self.deadline is None else time.monotonic() + self.deadline
        pause_s = self.delay
        tries = 0
        while tries != self.max_tries:
            tries += 1
            drawn_s = pause_s * random.uniform(1 - self.max_jitter, 1 + self.max_jitter)
            drawn_s = min(drawn_s, self.max_delay)
            if stop_s is not None and time.monotonic() + drawn_s >= stop_s:
                return
            yield drawn_s
            pause_s = min(pause_s * self.backoff, self.max_delay)

    def _sleep(self, pause_s: float) -> None:
        if self.interrupt is None:
            self.sleep_func(pause_s)
            return
        while not self.interrupt():
            if pause_s <= 0:
                return
            self.sleep_func(min(pause_s, self.SLICE_S))
            pause_s -= self.SLICE_S
        raise RetryInterruptedError("told to stop trying")

    def reset(self) -> None:
        """Do nothing: every call begins anew."""

    def copy(self) -> Retry:
        """Return one with the same settings."""
        made = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        return made


KazooRetry = Retry
