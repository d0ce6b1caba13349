"""Syncs of a log that are put off while the disk is full."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from nodes.broker.partitions.log_durability import LogDurability
from nodes.storage.disk import DiskFull
from transport.kernel import Now

NOW = Now(0, 0)


class Log:
    """Of which something is not on the disk."""

    recovery_point, log_end_offset = 0, 1

    def sync(self) -> None:
        pass


class Place:
    """A pool and timers that are turned by hand."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Any, Callable[[Any, Now], None]]] = []
        self.timers: list[Callable[[Now], None]] = []
        self.synced: list[Log] = []
        pool = SimpleNamespace(submit=lambda job, done: self.jobs.append((job.__self__, done)))
        self.durability = LogDurability(
            SimpleNamespace(  # type: ignore[arg-type]
                ports=SimpleNamespace(pool=pool),
                timers=SimpleNamespace(after=lambda _now, _ms, then: self.timers.append(then)),
                count=lambda _name: None,
            )
        )

    def then(self, log: Any, _result: object, _now: Now) -> None:
        self.synced.append(log)

    def end(self, result: object) -> None:
        """End the oldest job."""
        self.jobs.pop(0)[1](result, NOW)


def test_a_sync_that_was_put_off_is_tried_again() -> None:
    place, log = Place(), Log()
    place.durability.sync(log, place.then)  # type: ignore[arg-type]
    place.end(DiskFull("full"))
    place.durability.sync(log, place.then)  # type: ignore[arg-type]
    assert place.jobs == []
    place.timers.pop()(NOW)
    place.end(1)
    assert place.synced == [log]


def test_what_was_put_off_of_one_log_keeps_no_other_one_from_the_disk() -> None:
    """A replica has moved to another directory, where there is room."""
    place, old, new = Place(), Log(), Log()
    place.durability.sync(old, place.then)  # type: ignore[arg-type]
    place.end(DiskFull("full"))
    place.durability.settle(new, place.then)  # type: ignore[arg-type]
    place.end(1)
    place.durability.sync(new, place.then)  # type: ignore[arg-type]
    place.timers.pop()(NOW)
    assert [log for log, _ in place.jobs] == [new]
    place.end(1)
    assert place.synced == [new, new]
