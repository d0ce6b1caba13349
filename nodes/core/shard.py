"""What a shard is: the state of coordinators (groups, transactions), kept as a compacted log.

An internal topic keeps it; the broker that leads a partition runs one core for it, its shard.  The
log is the only store: the newest record of each key, replayed in order, *is* the state, so that
compaction is the snapshot, and a record without a value removes what its key names.

The contract between a core and its host (``nodes/broker/coordinators/shards.py``):

* ``apply(record)`` is the only mutator of replicated state: the host calls it while it loads, and
  the core calls it itself, within ``step``, for each record that it has decided on.
* ``step(event, now)`` decides, applies, and returns the records (``append``) with whatever is due
  *once they are committed*: answers (``reply``, also to those who were let wait) and ``orders``.
* One batch at a time: the host steps the core with all that has gathered, appends the records of
  these steps, and last of a tick if one is due by then, as one batch, and steps it no more until the high watermark has passed that batch.
  Then everything the steps have given goes out, and what came meanwhile makes the next batch.  So
  nothing is decided, and nothing told, on state that could be lost.
* When the broker leads no more, the core is dropped with all it holds; whoever waits is told
  NOT_COORDINATOR.  The next leader's core is made from the log, and ``loaded`` begins its soft
  state (who was heard of when), with a grace period.
* What must not survive its leader (heartbeats, who waits for what) is never in a record.
* A core is pure: time comes with each step, and is read when deciding, never in ``apply``.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from transport.kernel import Effects, Now, Tick
from transport.wire.messages import Message


class ShardRecord(NamedTuple):
    """One change of a shard's state; ``value`` None removes what ``key`` names."""

    key: bytes
    value: bytes | None

    @property
    def size_bytes(self) -> int:
        """What it weighs in a batch, about."""
        return len(self.key) + len(self.value or b"")


class UnreadableRecord(Exception):
    """A record of the log that this core cannot read: a shard without it would be another one."""


class Asked(NamedTuple):
    """A request. Every one ends in one ``reply`` of its ``token``, now or in a later step."""

    token: object
    body: Message


class Told(NamedTuple):
    """A fact that the host has learnt, such as which topics there are; nobody waits for an answer."""

    fact: object


ShardEvent = Asked | Told | Tick


class ShardEffects(Effects[ShardRecord]):
    """Effects of a shard's core; all of them wait until its ``append`` is committed."""

    orders: list[object] = []
    """Work for the host beyond answering, in the core's own terms."""


class ShardCore(Protocol):
    """The state machine of one partition of an internal topic."""

    def apply(self, record: ShardRecord) -> None:
        """Take over one record, the same way on every replica. Raises UnreadableRecord."""
        ...

    def loaded(self, now: Now) -> None:
        """The log has been applied to its end: whoever it names is given time to be heard."""
        ...

    def step(self, event: ShardEvent, now: Now) -> ShardEffects:
        """Decide on an event and apply it. Never raises for what a peer sent."""
        ...

    def delay(self, gap_ms: int) -> None:
        """Judge others later by a gap of our own loop."""
        ...

    def next_deadline_ms(self) -> int | None:
        """Return when to step a Tick."""
        ...

    def check(self) -> None:
        """Assert every invariant."""
        ...
