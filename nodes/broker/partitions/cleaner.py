"""Compacting logs: the dirtiest first, one at a time, in small steps in the disk pool.

Owns the pass under way.  Each step is a millisecond or two of work, and a pause follows it, so that
a produce waits for none of it.  What the steps write the log takes over on the loop, by renaming.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from nodes.broker.context import BrokerContext
from nodes.broker.partitions.replica import Replica, ReplicaState
from nodes.core.partition.events import MarkersCleaned
from nodes.storage.cleaning import Cleaning, CleaningPlan, Group
from nodes.storage.compaction import Dirt, dirt_of
from nodes.storage.disk import DiskFull, StorageError
from nodes.storage.partition_log import PartitionLog
from transport.kernel import Now
from transport.wire.ids import PartitionKey

PAUSE_MS = 2
"""After each step: the loop has more than half of the time."""
AGAIN_AFTER_MS = 300_000
"""A log that could not be cleaned lets the others go first for so long."""


class _Pass:
    """One log being cleaned."""

    __slots__ = ("cleaning", "generation", "log", "replica", "steps", "swaps")

    def __init__(self, replica: Replica, log: PartitionLog, cleaning: Cleaning) -> None:
        self.replica = replica
        self.log = log
        self.generation = log.generation
        self.cleaning = cleaning
        self.steps: Iterator[Group | None] = cleaning.steps()
        self.swaps = False
        """Files of the log are being renamed: until that is durable a failure leaves it half done."""

    def step(self) -> tuple[Group | None, bool]:
        """In the pool: return a group whose place is to be taken, if any, and whether all is done."""
        try:
            group = next(self.steps)
        except StopIteration:
            return None, True
        if group is not None:
            self.swaps = True
            if not self.log.swap.offer(group, self.generation):
                raise _LogMovedOn("the log was cut, or let some of it go")
        return group, False

    @property
    def is_current(self) -> bool:
        """The log is still the one that is being cleaned."""
        return self.replica.log is self.log and self.log.generation == self.generation


class _LogMovedOn(StorageError):
    """Nothing is wrong, but the pass cannot go on."""


class LogCleaner:
    """Compacts the logs of this broker whose topics want it."""

    def __init__(self, context: BrokerContext, replicas: Callable[[], Iterable[Replica]]) -> None:
        self._context = context
        self._replicas = replicas
        self._again_ms: dict[PartitionKey, int] = {}
        self._replica: Replica | None = None
        self._started = False

    def start(self, now: Now) -> None:
        """Begin to keep time; again does nothing."""
        if not self._started:
            self._started = True
            self._wait(now)

    def is_at(self, replica: Replica) -> bool:
        """Tell whether its log is being cleaned just now."""
        return self._replica is replica

    def _wait(self, now: Now) -> None:
        interval_ms = self._context.config.log.cleaner_interval_ms
        self._context.timers.after(now, interval_ms, self._on_round)

    # Choosing

    def _on_round(self, now: Now) -> None:
        self._replica = None
        self._again_ms = {
            key: until_ms for key, until_ms in self._again_ms.items() if until_ms > now.mono_ms
        }
        best: tuple[Dirt, Replica] | None = None
        for replica in self._replicas():
            passed_over = replica.is_moving or replica.key in self._again_ms
            dirt = None if passed_over else self._look_at(replica, now)
            if dirt is not None and dirt.is_due and (best is None or dirt.ratio > best[0].ratio):
                best = dirt, replica
        if best is None:
            self._wait(now)
        else:
            self._begin(best[1], best[0], now)

    def _look_at(self, replica: Replica, now: Now) -> Dirt | None:
        log, core = replica.log, replica.core
        compaction = None if log is None else log.settings.compaction
        if log is None or core is None or compaction is None:
            return None
        try:
            if log.log_end_offset > log.cleaned_to:
                log.roll_aged(compaction.lag_max_ms, now.wall_ms)
            up_to = core.last_stable_offset
            return dirt_of(log.segments, compaction, log.cleaned_to, up_to, now.wall_ms)
        except StorageError as error:
            self._fail(replica, log, error, now)
            return None

    # A pass

    def _begin(self, replica: Replica, dirt: Dirt, now: Now) -> None:
        log, core = replica.log, replica.core
        assert log is not None, "it was looked at"
        assert core is not None, "it was looked at"
        compaction = log.settings.compaction
        assert compaction is not None, "it was looked at"
        self._replica = replica
        end = dirt.sources[-1].next_offset
        plan = CleaningPlan(
            log.folder,
            dirt.sources,
            log.cleaned_to,
            log.log_start_offset,
            log.settings.segment_bytes,
            log.settings.index_interval_bytes,
            self._context.config.log.cleaner_keys_max,
            now.wall_ms,
            compaction.delete_retention_ms,
            core.producers.last_offsets(),
            tuple(core.aborted_within(end, end)),
        )
        self._step(_Pass(replica, log, Cleaning(self._context.disk, plan)), now)

    def _step(self, work: _Pass, now: Now) -> None:
        if not work.is_current:
            self._give_up(work, _LogMovedOn("the log is another one now"), now)
            return

        def done(result: tuple[Group | None, bool] | BaseException, now: Now) -> None:
            if isinstance(result, BaseException):
                self._give_up(work, result, now)
            elif result[0] is not None:
                self._take_over(work, result[0], now)
            elif result[1]:
                self._finish(work, now)
            else:
                self._context.timers.after(now, PAUSE_MS, lambda now: self._step(work, now))

        self._context.ports.pool.submit(work.step, done)

    def _take_over(self, work: _Pass, group: Group, now: Now) -> None:
        try:
            aside = work.log.swap.take_over(group, work.generation) if work.is_current else None
        except StorageError as error:
            self._give_up(work, error, now)
            return
        if aside is None:
            self._give_up(work, _LogMovedOn("the log was cut"), now)
            return
        if group.gone_markers:
            work.replica.step(MarkersCleaned(group.gone_markers), now)
        self._context.count("segments_cleaned", len(group.replaced))

        def done(result: BaseException | None, now: Now) -> None:
            if isinstance(result, BaseException):
                self._give_up(work, result, now)
            else:
                work.swaps = False
                self._step(work, now)

        self._context.ports.pool.submit(lambda: self._settle(work.log, group, aside), done)

    def _settle(self, log: PartitionLog, group: Group, aside: Sequence[str]) -> None:
        log.swap.settle(group)
        for path in aside:
            self._context.disk.remove(path)

    def _finish(self, work: _Pass, now: Now) -> None:
        if work.is_current:
            work.replica.cleaned(work.cleaning.cleaned_to)
            self._context.count("logs_cleaned")
        self._on_round(now)

    def _give_up(self, work: _Pass, error: BaseException, now: Now) -> None:
        if not isinstance(error, StorageError):
            raise error
        if not isinstance(error, _LogMovedOn):
            self._fail(work.replica, work.log, error, now, swaps=work.swaps)
        # The generator first: it may be the one that holds files open.
        work.steps = iter(())

        def done(result: BaseException | None, now: Now) -> None:
            self._on_round(now)

        self._again_ms[work.replica.key] = now.mono_ms + AGAIN_AFTER_MS
        self._context.ports.pool.submit(work.cleaning.give_up, done)

    def _fail(
        self,
        replica: Replica,
        log: PartitionLog,
        error: StorageError,
        now: Now,
        *,
        swaps: bool = False,
    ) -> None:
        self._context.report("cleanings_failed", f"{replica.name} is not cleaned: {error}")
        # Of what could not be read, written or synced nobody else may tell.  Where the disk is full
        # the log goes on, but not one of whose files some are renamed: that a start mends only.
        is_unusable = swaps or not isinstance(error, DiskFull)
        if is_unusable and replica.log is log and replica.state is ReplicaState.ONLINE:
            replica.fail(error, now)
