"""The topics that a consumer reads as a whole: by their names or a pattern, those to come included.

Owns what has been seen of each, and the looks for topics that match.  With a group it tells the group
what to share out; without one it takes up every partition itself.  Where those begin is for
``beginnings`` to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from odradek.cluster.errands import Errands
from odradek.cluster.metadata import ClusterView
from odradek.consumer.beginnings import Beginnings
from odradek.consumer.rebalancing import Rebalancing
from odradek.consumer.subscription import Subscription
from odradek.errors import OdradekError, topic_error
from transport.kernel import Now
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import MetadataPosition, TopicId, TopicPartition
from transport.wire.messages import Message
from transport.wire.messages.metadata import MetadataRequest, MetadataResponse

PATTERN_INTERVAL_MS = 1_000
"""Between two looks for topics that match a pattern; a look is taken only after a change."""


class FollowedTopics:
    """Those of one consumer; none while partitions are assigned to it by hand."""

    def __init__(
        self,
        subscription: Subscription,
        view: ClusterView,
        errands: Errands,
        beginnings: Beginnings,
        group: Rebalancing | None,
    ) -> None:
        self._subscription = subscription
        self._view = view
        self._errands = errands
        self._beginnings = beginnings
        self._group = group
        self._ids: dict[str, TopicId] = {}
        """Topics of the subscription that have been seen, under which id."""
        self._absent: set[str] = set()
        """Topics that were not there when we first asked: all of their records are news."""
        self._generation = -1
        """Of the view, as it was last looked at."""
        self._pattern: re.Pattern[str] | None = None
        self._matched_at: MetadataPosition | None = None
        self._match_ms = 0
        self._matching = False

    def subscribe(self, topics: Iterable[str], now: Now) -> None:
        """Follow these topics instead of anything else."""
        self._pattern = None
        wanted = dict.fromkeys(topics)
        for name in wanted:
            self._view.watch(name, now)
        self._subscribe(wanted, now)

    def subscribe_pattern(self, pattern: re.Pattern[str], now: Now) -> None:
        """Follow every topic whose whole name matches, those to come included."""
        self._pattern = pattern
        self._matched_at = None
        self._match(now)

    def clear(self) -> None:
        """Follow none: partitions are read by themselves."""
        self._subscription.topics = {}
        self._ids.clear()
        self._absent.clear()
        self._pattern = None

    def end_turn(self, now: Now) -> None:
        """Take up what a change of the metadata has brought."""
        if self._generation != self._view.generation:
            self._generation = self._view.generation
            if self._group is None:
                self._follow(now)
            self._beginnings.begin_anew(now)
        self._match(now)

    def next_deadline_ms(self) -> int | None:
        """Return when to look for topics that match."""
        return self._match_ms if self._pattern is not None and self._must_match() else None

    def refused(self) -> OdradekError | None:
        """Return the error of a topic that no waiting will cure."""
        for name in self._subscription.topics:
            topic = self._view.topics.get(name)
            if topic is None or not topic.asked or topic.error == ErrorCode.NONE:
                continue
            if not meaning(topic.error).retriable:
                return topic_error(name, topic.error, topic.text)
        return None

    # Inside

    def _match(self, now: Now) -> None:
        """Look for topics that match, if there can be new ones."""
        if self._pattern is None or now.mono_ms < self._match_ms:
            return
        if not self._must_match():
            return
        self._matching, self._match_ms = True, now.mono_ms + PATTERN_INTERVAL_MS
        pattern = self._pattern

        def listed(body: Message, now: Now) -> None:
            self._matching = False
            if isinstance(body, MetadataResponse) and self._pattern is pattern:
                self._matched(pattern, body, now)

        self._errands.ask(MetadataRequest(None), listed, now, timeout_ms=PATTERN_INTERVAL_MS)

    def _matched(self, pattern: re.Pattern[str], told: MetadataResponse, now: Now) -> None:
        """Follow what matches; what has come to be since we looked first is news as a whole."""
        before, at = self._matched_at, MetadataPosition(told.controller_epoch, told.version)
        if before is not None and at < before:
            return  # of a broker that is behind: topics that are followed may not be there yet
        self._matched_at = at
        wanted = dict.fromkeys(filter(pattern.fullmatch, (topic.name for topic in told.topics)))
        if before is not None and self._group is None:  # which knows by itself what is news
            self._absent.update(wanted.keys() - self._subscription.topics.keys())
        self._subscribe(wanted, now)

    def _must_match(self) -> bool:
        known = self._matched_at
        return not self._matching and (known is None or self._view.position > known)

    def _subscribe(self, wanted: dict[str, None], now: Now) -> None:
        for name in wanted:
            self._view.follow(name, now)
        if self._group is not None:
            if not self._group.taking_part:
                self._subscription.assign(())
            self._subscription.topics = wanted
            if wanted or self._pattern is not None:
                self._group.read(wanted, now)
            return
        for key in [key for key in self._subscription.assigned if key.topic not in wanted]:
            self._subscription.drop(key)
        if not self._subscription.topics:
            self._subscription.assign(())
        for name in [name for name in self._subscription.topics if name not in wanted]:
            self._ids.pop(name, None)
            self._absent.discard(name)
        self._subscription.topics = wanted
        self._generation = -1

    def _follow(self, now: Now) -> None:
        """Take up topics and partitions that have come to be."""
        for name in self._subscription.topics:
            topic = self._view.topics.get(name)
            if topic is None or not topic.usable:
                if topic is not None and topic.asked and name not in self._ids:
                    self._absent.add(name)
                continue
            known_id = self._ids.get(name)
            fresh = known_id is not None or name in self._absent
            for partition in topic.partitions:
                key = TopicPartition(name, partition)
                if key not in self._subscription.assigned:
                    self._beginnings.take_up(self._subscription.add(key), now, fresh=fresh)
            self._ids[name] = topic.topic_id
