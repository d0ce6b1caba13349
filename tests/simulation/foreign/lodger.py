"""A Kafka client that asks every broker for the metadata of a topic, again and again, as its user."""

from __future__ import annotations

from tests.simulation.foreign.program import ForeignProgram
from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.messages.metadata import MetadataRequest, MetadataRequestTopic
from transport.kernel import Now

PAUSE_MS = (20, 120)


class Lodger(ForeignProgram):
    """Lets in or not, it tries on."""

    answered = 0
    """How often somebody has answered it."""

    def __init__(self, *about: object) -> None:
        super().__init__(*about)  # type: ignore[arg-type]
        self._due_ms = 0

    def pump(self, now: Now) -> None:
        """Ask each broker that has answered the last time, or has sent this away."""
        if now.mono_ms < self._due_ms:
            return
        self._due_ms = self.later(PAUSE_MS, now)
        body = MetadataRequest(
            topics=(MetadataRequestTopic(name=self.topic),), allow_auto_topic_creation=False
        )
        for endpoint in self._bootstrap:
            if not self.connection(endpoint, now, "lodging").in_flight:
                self.ask(endpoint, ApiKey.METADATA, body, self._heard, now, "lodging")

    def _heard(self, response: object, _now: Now) -> None:
        self.answered += response is not None
