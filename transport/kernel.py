"""What a core is: plain values in, plain values out.

Every core (Raft, znode tree, controller, partition, the client's session and so on) is ordinary
synchronous Python without I/O, clocks or randomness of its own:

* ``step(event, now) -> Effects`` takes one fact and answers with orders for the driver;
* ``next_deadline_ms()`` names the monotonic time at which it wants a ``Tick`` (or None);
* ``check()`` asserts every invariant, and is called after each step in tests and simulation.

The *type* of :class:`Effects` carries durability: what may leave before the disk has answered and
what may not are different fields, so a driver cannot mix them up by accident.
"""

from __future__ import annotations

from typing import Generic, NamedTuple, Protocol, TypeVar

import msgspec

from transport.wire.ids import NodeId
from transport.wire.messages import Message


class Now(msgspec.Struct, frozen=True):
    """The two clocks, read once per turn of the loop.

    ``mono_ms`` measures time-outs and never goes back.  ``wall_ms`` (since the Unix epoch) is only
    ever *stamped into* entries; nothing may read it when an entry is applied.
    """

    mono_ms: int
    wall_ms: int


class Tick:
    """The event of a due deadline: nothing happened but time."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Tick()"


TICK = Tick()


class Outgoing(NamedTuple):
    """One message for one peer of the same ensemble or cluster."""

    to: NodeId
    message: Message
    payload: tuple[bytes, ...] = ()


class Answer(NamedTuple):
    """A reply to whoever asked under ``token`` (opaque to the core, known to its server)."""

    token: object
    message: Message
    payload: tuple[bytes, ...] = ()


AppendT = TypeVar("AppendT")


class Effects(msgspec.Struct, Generic[AppendT]):
    """The orders one step gives to its driver.

    append
        Entries or batches to write, in order, before anything of ``send_after_sync`` leaves.
    send_now
        Needs no disk: requests, and a Raft leader's appends.
    send_after_sync
        May leave only when everything appended so far is durable: a follower's acknowledgement
        can be put nowhere else.
    reply
        Answers that are due now: their change is committed and applied here.
    publish
        Committed facts for every subscriber; lost ones are repaired by request.
    """

    append: list[AppendT] = []
    send_now: list[Outgoing] = []
    send_after_sync: list[Outgoing] = []
    reply: list[Answer] = []
    publish: list[Message] = []


class Deadlines(Protocol):
    """Anything that wants to be woken: the loop sleeps until the earliest of all."""

    def next_deadline_ms(self) -> int | None:
        """Monotonic milliseconds at which this wants a turn, or None."""
        ...


def earliest(*deadlines_ms: int | None) -> int | None:
    """Return the smallest of the given deadlines, passing over None."""
    first: int | None = None
    for due_ms in deadlines_ms:
        if due_ms is not None and (first is None or due_ms < first):
            first = due_ms
    return first
