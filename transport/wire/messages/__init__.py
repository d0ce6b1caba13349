"""The typed messages, one file per conversation.

A message is a frozen ``msgspec`` struct, MessagePack array on the wire: decoding validates every
field's type, fields added at the end of a later version are passed over by an older reader, and
missing ones take their default.  Record batches are never inside a message: they travel as frames
of their own behind it, and a message names them by their place (``frame``).
"""

from __future__ import annotations

from typing import ClassVar

import msgspec

from transport.wire.apis import Api


class Message(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Whatever can be the body of an envelope.

    ``api`` names the conversation the message belongs to.  Values nested in messages are plain
    frozen structs (:class:`Part`); they are acyclic, so the collector need not follow them.
    """

    api: ClassVar[Api]

    @property
    def is_last(self) -> bool:
        """Of an answer: no other one to the same request follows."""
        return True


class Part(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A value inside messages."""


class Refusal(Message, frozen=True, array_like=True, gc=False):
    """The error answer to a request that got no answer of its own type."""

    api: ClassVar[Api] = Api.REFUSAL

    error: int
    text: str = ""
