"""Interceptors: objects of the user that see, and may change, records on their way out and in.

A producer's are asked in order, before records are serialized; a consumer's in order, with records
as they are given.  Source: KIP-42.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from odradek.cluster.committing import OffsetAndMetadata
from odradek.records import ConsumerRecord, Headers, RecordMetadata
from transport.wire.ids import TopicPartition

_log = logging.getLogger("odradek")


class ProducerRecord(NamedTuple):
    """A record as it was handed to ``send``."""

    topic: str
    value: Any = None
    key: Any = None
    partition: int | None = None
    headers: Headers = ()
    timestamp_ms: int | None = None


class ProducerInterceptor:
    """To be extended; each method has a default that changes nothing."""

    def on_send(self, record: ProducerRecord) -> ProducerRecord:
        """Return the record to be sent; what it raises is raised by ``send``."""
        return record

    def on_acknowledgement(
        self, metadata: RecordMetadata | None, error: BaseException | None
    ) -> None:
        """Hear of a record's end, on the client's own thread: be quick."""

    def close(self) -> None:
        """The client was closed."""


class ConsumerInterceptor:
    """To be extended; each method has a default that changes nothing."""

    def on_consume(
        self, records: Mapping[TopicPartition, Sequence[ConsumerRecord]]
    ) -> Mapping[TopicPartition, Sequence[ConsumerRecord]]:
        """Return the records to be given; what it raises is raised by ``poll``."""
        return records

    def on_commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Hear of a commit that the program has asked for and that was done."""

    def close(self) -> None:
        """The client was closed."""


def guarded(call: Callable[..., object], *arguments: object) -> None:
    """Call what must not raise on the client's own thread, or while it closes; say so if it does."""
    try:
        call(*arguments)
    except (Exception, SystemExit):  # noqa: BLE001 - it is the user's; it must not end the loop
        _log.exception("an interceptor or a callback failed")


def checked(
    interceptors: Iterable[object], kind: type, argument: str = "interceptors"
) -> list[Any]:
    """Return them as a list; TypeError for one that is not of the kind."""
    found = list(interceptors)
    for one in found:
        if not isinstance(one, kind):
            raise TypeError(f"{argument}: {one!r} is no {kind.__name__}; extend that class")
    return found
