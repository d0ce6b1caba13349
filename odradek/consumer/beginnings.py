"""Where a consumer begins to read its partitions: at what its group has committed, or by its policy.

Acts on positions only; what is read at all is for ``followed_topics`` and the group to say.  It must
not know how records are fetched.
"""

from __future__ import annotations

from functools import partial

from odradek.cluster.committing import GroupOffsets, OffsetAndMetadata
from odradek.cluster.metadata import ClusterView
from odradek.consumer.offset_reset import reset_timestamp_ms
from odradek.consumer.rebalancing import AGAIN_MS
from odradek.consumer.subscription import Assigned, Subscription
from odradek.errors import OdradekError
from transport.driver.timers import Timers
from transport.kernel import Now
from transport.wire.ids import TopicPartition
from transport.wire.messages.fetch import TIMESTAMP_EARLIEST

COMMITS_TIMEOUT_MS = 30_000


class Beginnings:
    """Those of all partitions of one consumer."""

    def __init__(
        self,
        auto_offset_reset: str,
        subscription: Subscription,
        view: ClusterView,
        timers: Timers,
    ) -> None:
        self._auto_offset_reset = auto_offset_reset
        self._subscription = subscription
        self._view = view
        self._timers = timers

    def take_up(self, one: Assigned, now: Now, *, fresh: bool = False) -> None:
        """Begin to read: what came to be after we began is read from its beginning."""
        timestamp_ms = reset_timestamp_ms(self._auto_offset_reset, now)
        if fresh and timestamp_ms is not None:
            timestamp_ms = TIMESTAMP_EARLIEST
        one.reset(timestamp_ms)  # None: the fetcher says that there is no position, until a seek

    def take_up_without_commit(self, one: Assigned, born: bool, now: Now) -> None:
        """Begin a partition that the group gives and has no commit of."""
        name = one.key.topic
        self._view.follow(name, now)
        self.take_up(one, now, fresh=born or self._view.topics[name].former_id is not None)

    def begin_at_commits(self, commits: GroupOffsets, added: list[Assigned], now: Now) -> None:
        """Begin at what the group has committed, once that is known."""
        for one in added:
            one.busy = True
        begun = {one.key: (one, one.generation) for one in added}
        for keys in commits.apart(begun):
            self._fetch_commits(commits, [begun[key] for key in keys], now)

    def begin_anew(self, now: Now) -> None:
        """Read topics that were made again from their beginning: no offset of before counts there."""
        for key, one in self._subscription.assigned.items():
            topic = self._view.topics.get(key.topic)
            if topic is None or not topic.usable or one.topic_id == topic.topic_id:
                continue
            if one.topic_id is None:
                one.topic_id = topic.topic_id
            elif one.topic_id == topic.former_id:  # else the group has told of one to come
                one.topic_id = topic.topic_id
                self.take_up(one, now, fresh=True)

    def _fetch_commits(
        self, commits: GroupOffsets, begun: list[tuple[Assigned, int]], now: Now
    ) -> None:
        # The program may have sought meanwhile, or read something else.
        begun = [(one, generation) for one, generation in begun if one.generation == generation]

        def fetched(
            found: dict[TopicPartition, OffsetAndMetadata] | OdradekError, now: Now
        ) -> None:
            if isinstance(found, OdradekError) and found.retriable:
                self._timers.after(now, AGAIN_MS, partial(self._fetch_commits, commits, begun))
                return
            for one, generation in begun:
                if one.generation != generation:
                    continue
                one.busy = False
                if isinstance(found, OdradekError):
                    one.fail(found)
                elif one.key in found:
                    one.resume(found[one.key].offset, found[one.key].leader_epoch)
                else:
                    self.take_up(one, now)

        keys = [one.key for one, _ in begun]
        if keys:
            commits.fetch(keys, fetched, now, timeout_ms=COMMITS_TIMEOUT_MS)
