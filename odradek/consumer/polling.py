"""Where a program's polls meet the loop; the blocking consumer's and asyncio's alike.

Begins polls, gives what they have brought (deserialized, and seen by interceptors), takes back what
nobody has got, and says what a rebalance listener is to hear.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Future

from odradek.arguments import wait_ms
from odradek.cluster.committing import OffsetAndMetadata
from odradek.cluster.engine import Engine, settle
from odradek.consumer.deserialization import Deserializers, Stop
from odradek.consumer.engine import ConsumerEngine
from odradek.consumer.fetched_records import first_offset
from odradek.consumer.iteration import Iteration, Polled
from odradek.consumer.listener import Listening
from odradek.consumer.rebalancing import Change
from odradek.errors import ClientClosedError, OdradekError
from odradek.interceptors import ConsumerInterceptor
from odradek.settings import Bounds, check_number
from transport.driver.ports import SLEEP_MAX_MS
from transport.kernel import Now
from transport.wire.ids import TopicPartition

WAIT_SLICE_MS = 3_600_000
"""An iterator that waits for ever asks again each hour."""
AT_LEAST_ONE = Bounds(1)


class Polling:
    """What one consumer polls, and how far its program has come with that."""

    def __init__(
        self,
        engine: Engine,
        program: ConsumerEngine,
        deserializers: Deserializers,
        interceptors: Sequence[ConsumerInterceptor],
        records_max: int,
    ) -> None:
        self._engine = engine
        self._program = program
        self._deserializers = deserializers
        self._interceptors = interceptors
        self._records_max = records_max
        self.iteration = Iteration()
        self.listening = Listening()
        self.came = False
        """The latest poll has had records, though interceptors may have kept all of them."""

    def records_max(self, given: int | None) -> int:
        """Return how many records a poll gives at most."""
        if given is None:
            return self._records_max
        check_number("max_records", given, AT_LEAST_ONE)
        return given

    def begin(self, future: Future[Polled | Change], records_max: int, timeout_ms: float) -> None:
        """Ask the loop for records; cancelled before any were taken, the future takes none."""
        if self.listening.is_called:
            raise RuntimeError("a rebalance listener cannot poll: the poll that calls it goes on")
        patience_ms = min(wait_ms("timeout_ms", timeout_ms), WAIT_SLICE_MS)
        began_s = time.monotonic()
        program = self._program

        def ask(future: Future[Polled | Change], now: Now) -> None:
            claim = future.set_running_or_notify_cancel
            left_ms = max(0, patience_ms - int((time.monotonic() - began_s) * 1000))
            program.poll(records_max, left_ms, settle(future), now, claim)

        if patience_ms < SLEEP_MAX_MS:  # its end may come before the loop's next turn
            self._engine.ask(ask, future)
        else:
            self._engine.ask(ask, future, has_time=lambda: program.has_nothing)

    def give_back(self, future: Future[Polled | Change]) -> None:
        """End a poll whose records nobody has got: the next one gives them, and none is committed.

        That was Ctrl-C, or a cancelled task, or what a deserializer or an interceptor has raised.
        """
        if future.cancel() or future.exception() is not None:
            return
        polled = future.result()  # at once: records are taken and told in one turn of the loop
        if not isinstance(polled, Change):
            offsets = {key: first_offset(records) for key, records in polled.items()}
            self.iteration.drop(offsets)
            with contextlib.suppress(ClientClosedError):
                self._engine.post(lambda _now: self._program.go_back(offsets))

    @property
    def gives_as_polled(self) -> bool:
        """True: ``given`` has nothing to do."""
        return self._deserializers.are_none and not self._interceptors

    def given(self, polled: Polled) -> Polled:
        """Return what was polled as the program gets it: deserialized, and seen by interceptors.

        Where a record cannot be deserialized, those before it are given, and reading stands at it:
        the next poll that would begin with it raises RecordDeserializationError.  Likewise where a
        batch cannot be taken apart.
        """
        found, stops = polled, list[Stop]()
        if not self._deserializers.are_none:
            found, stops = self._deserializers.all(polled)
        for stop in stops:
            with contextlib.suppress(ValueError):  # its group has taken the partition meanwhile
                self.seek(stop.partition, stop.offset)
        if stops and not found:
            raise stops[0].error
        for interceptor in self._interceptors:
            found = dict(interceptor.on_consume(found))
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Go on at ``offset``; ValueError: the partition is not assigned."""
        self.iteration.drop([partition])
        self._engine.run(lambda _now: self._program.seek(partition, offset))

    def standing(self, left: dict[TopicPartition, int]) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return where the program stands, given where iteration does; on the loop's thread."""
        group = self._program.rebalancing
        found = {} if group is None else group.positions()
        for key, offset in left.items():
            if key in found:  # what is ahead is of a topic that was made anew since it was polled
                found[key] = found[key]._replace(offset=min(offset, found[key].offset))
        return found

    # What a listener hears

    def heard(self, change: Change) -> None:
        """The listener has returned: its change goes on."""
        self._engine.run(lambda now: self._program.heard(change, now))

    def farewell(self, *, autocommit: bool = True) -> tuple[Change, ...]:
        """Commit (with auto commit), and return what the listener is to hear before a departure."""
        if self.listening.listener is None or self.listening.is_called or self._engine.closed:
            return ()
        left = self.iteration.positions()

        def ask(future: Future[tuple[Change, ...]], now: Now) -> None:
            standing = self.standing(left) if autocommit else {}
            self._program.farewell(standing, settle(future), now)

        with contextlib.suppress(OdradekError):  # nothing that a departure could do about it
            return self._engine.wait(self._engine.ask(ask))
        return ()
