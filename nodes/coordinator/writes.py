"""Writes on their way to the log: gathered in the turn, proposed as one batch or sent to the leader.

Keeps nothing beyond the turn.  What gets lost (no leader, a broken link, a lost leadership) is
offered again by whoever still waits for it, and applied once all the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import cast

from nodes.coordinator.admission import weight_bytes
from nodes.coordinator.context import CoordinatorContext
from nodes.coordinator.quorum import Quorum
from nodes.core.znode.operations import WRITES
from transport.kernel import Now
from transport.wire.codec import Envelope
from transport.wire.ids import NO_NODE
from transport.wire.messages.coordination import ForwardWrites, ProposedWrite, encode_write

FORWARD_BYTES_MAX = 1024 * 1024
"""A message to the leader is closed when it has reached this; as large as an append."""


class Writes:
    """The outbox of one turn."""

    def __init__(self, context: CoordinatorContext, quorum: Quorum) -> None:
        self._context = context
        self._quorum = quorum
        self._outbox: list[ProposedWrite] = []
        self.unsent = False
        """Some were lost on our side lately: whoever waits should offer them again soon."""

    def submit(self, writes: Iterable[ProposedWrite]) -> None:
        """Offer writes to the log, in this order, at the end of the turn."""
        self._outbox += writes

    def on_forwarded(self, envelope: Envelope, now: Now) -> None:
        """Take what another coordinator sends us as its leader; nothing but clients' writes."""
        message = cast("ForwardWrites", envelope.body)
        if not self._quorum.leads:
            self._context.count("forwarded_writes_lost", len(message.writes))
            return
        for write in message.writes:
            fit = all(type(item.operation) in WRITES for item in write.operations)
            if fit and not (write.expire or write.died or write.sweep):
                self._outbox.append(write)
            else:
                self._context.count("forwarded_writes_refused")

    def flush(self, now: Now) -> None:
        """Propose everything as one batch, or send it to the leader; without one it is lost."""
        if not self._outbox:
            return
        outbox, self._outbox = self._outbox, []
        if self._quorum.leads:
            payloads = tuple([encode_write(_stamped(write, now)) for write in outbox])
            self._quorum.propose(payloads, now)
        elif self._quorum.leader != NO_NODE:
            for chunk in _chunks(outbox):
                if not self._quorum.tell_leader(ForwardWrites(chunk)):
                    self.unsent = True

    def take_unsent(self) -> bool:
        """Return ``unsent``, and clear it."""
        unsent, self.unsent = self.unsent, False
        return unsent


def _stamped(write: ProposedWrite, now: Now) -> ProposedWrite:
    return ProposedWrite(
        write.session_id,
        now.wall_ms,
        write.lowest_unanswered,
        write.operations,
        write.open,
        write.expire,
        write.died,
        write.identities,
        write.sweep,
    )


def _chunks(writes: list[ProposedWrite]) -> Iterator[tuple[ProposedWrite, ...]]:
    chunk: list[ProposedWrite] = []
    chunk_bytes = 0
    for write in writes:
        chunk.append(write)
        chunk_bytes += sum(weight_bytes(item.operation) for item in write.operations)
        if chunk_bytes >= FORWARD_BYTES_MAX:
            yield tuple(chunk)
            chunk, chunk_bytes = [], 0
    if chunk:
        yield tuple(chunk)
