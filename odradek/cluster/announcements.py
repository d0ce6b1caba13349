"""Listening to one or two brokers: heartbeats and metadata deltas as they publish them.

Owns the SUB links of a client: which brokers it listens to, and when it gives one up for another.
It must not know what the events mean.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from transport.driver.ports import LinkId, Ports
from transport.kernel import Now, earliest
from transport.wire.codec import Envelope, Kind
from transport.wire.ids import NodeId
from transport.wire.messages import Message
from transport.wire.messages.metadata import EVENT_BEAT, EVENT_METADATA, BrokerInfo

ANNOUNCERS = 2
"""Two, so that the death of one loses no announcement; more would only repeat them."""
SILENCE_MS = 1_000
"""Ten heartbeats of the default interval: a broker silent for longer is hung or cut off."""
AVOID_MS = 5_000
"""For how long a broker that fell silent is the last choice."""


@dataclass(slots=True)
class _Announcer:
    broker: BrokerInfo
    heard_ms: int


class Announcements:
    """Subscriptions to a few of the live brokers. Events may be lost: beats tell, requests repair."""

    def __init__(self, on_event: Callable[[Message, Now], None]) -> None:
        self._on_event = on_event
        self._ports: Ports | None = None
        self._brokers: tuple[BrokerInfo, ...] = ()
        self._announcers: dict[LinkId, _Announcer] = {}
        self._avoided_until_ms: dict[NodeId, int] = {}

    def attach(self, ports: Ports) -> None:
        """Take the ports, once the program has them."""
        self._ports = ports

    def listening_to(self) -> list[NodeId]:
        """Return the brokers listened to: by their beats the likeliest to answer."""
        return [announcer.broker.id for announcer in self._announcers.values()]

    def choose(self, brokers: Sequence[BrokerInfo], now: Now) -> None:
        """Listen to some of ``brokers`` (the live ones), staying with those listened to already."""
        assert self._ports is not None
        self._brokers = tuple(brokers)
        for link, announcer in list(self._announcers.items()):
            if announcer.broker not in self._brokers:
                self._leave(link)
        self._fill(now)

    def on_message(self, link: LinkId, envelope: Envelope, now: Now) -> bool:
        """Take an event; False: not from one of our subscriptions."""
        announcer = self._announcers.get(link)
        if announcer is None:
            return False
        announcer.heard_ms = now.mono_ms
        if envelope.kind == Kind.EVENT:
            self._on_event(envelope.body, now)
        return True

    def on_link(self, link: LinkId, up: bool, now: Now) -> bool:
        """Take a change of a subscription; one that went down is replaced where there is another."""
        announcer = self._announcers.get(link)
        if announcer is None:
            return False
        if not up:
            self._replace(link, now)
        return True

    def end_turn(self, now: Now) -> None:
        """Replace the silent."""
        for link, announcer in list(self._announcers.items()):
            if now.mono_ms >= announcer.heard_ms + SILENCE_MS:
                self._replace(link, now)

    def next_deadline_ms(self) -> int | None:
        """Return when the next announcer has been silent for too long."""
        return earliest(*[one.heard_ms + SILENCE_MS for one in self._announcers.values()])

    def delay(self, gap_ms: int) -> None:
        """Add a gap of the loop: the beats may be waiting to be read."""
        for announcer in self._announcers.values():
            announcer.heard_ms += gap_ms

    def _replace(self, link: LinkId, now: Now) -> None:
        announcer = self._announcers[link]
        self._avoided_until_ms[announcer.broker.id] = now.mono_ms + AVOID_MS
        announcer.heard_ms = now.mono_ms
        spare = self._spare(now)
        if spare is not None and not self._avoided(spare, now):
            self._leave(link)
            self._listen(spare, now)

    def _fill(self, now: Now) -> None:
        while len(self._announcers) < ANNOUNCERS:
            spare = self._spare(now)
            if spare is None:
                return
            self._listen(spare, now)

    def _spare(self, now: Now) -> BrokerInfo | None:
        """Return a broker not listened to, if there is one; of those not avoided, any by chance."""
        assert self._ports is not None
        taken = set(self.listening_to())
        free = [broker for broker in self._brokers if broker.id not in taken]
        good = [broker for broker in free if not self._avoided(broker, now)]
        return self._ports.random.choice(good or free) if free else None

    def _avoided(self, broker: BrokerInfo, now: Now) -> bool:
        return self._avoided_until_ms.get(broker.id, 0) > now.mono_ms

    def _listen(self, broker: BrokerInfo, now: Now) -> None:
        assert self._ports is not None
        link = self._ports.wire.subscribe(broker.events, (EVENT_METADATA, EVENT_BEAT))
        self._announcers[link] = _Announcer(broker, now.mono_ms)

    def _leave(self, link: LinkId) -> None:
        assert self._ports is not None
        del self._announcers[link]
        self._ports.wire.disconnect(link)
