"""Quotas of clients as an admin client asks for them and changes them.

It must not know of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from odradek.admin.pieces import change_in_pieces
from odradek.arguments import mapping_of
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of, first_failure
from odradek.errors import OdradekError
from odradek.settings import Bounds, check_number, check_text
from transport.kernel import Now
from transport.wire.messages import Message
from transport.wire.messages import quotas as wire
from transport.wire.messages.quotas import (
    CONSUMER_BYTE_RATE,
    DEFAULT_ENTITY,
    PRODUCER_BYTE_RATE,
)

__all__ = [
    "CONSUMER_BYTE_RATE",
    "DEFAULT_ENTITY",
    "PRODUCER_BYTE_RATE",
    "QuotaAdmin",
    "QuotaEntity",
]


class QuotaEntity(NamedTuple):
    """Whose quota: of a user (a principal), of a client id, or of the two together.

    ``DEFAULT_ENTITY`` (the empty string) stands for each that has no quota of its own.
    """

    user: str | None = None
    client_id: str | None = None


RATES = Bounds(0, (1 << 63) - 1)
Quotas = dict[QuotaEntity, dict[str, int]]
OnDone = Callable[[OdradekError | None, Now], None]
OnQuotas = Callable[[Quotas | OdradekError, Now], None]


def quotas_of(
    given: Mapping[QuotaEntity, Mapping[str, int | None]],
) -> dict[QuotaEntity, dict[str, int | None]]:
    """Return the quotas; TypeError or ValueError for what is no entity, no name or no rate."""
    quotas = {}
    for entity, values in mapping_of(given).items():
        if not isinstance(entity, QuotaEntity):
            raise TypeError(f"whose quota is QuotaEntity(user, client_id), not {entity!r}")
        check_text("user", entity.user, optional=True)
        check_text("client_id", entity.client_id, optional=True)
        for name, value in mapping_of(values).items():
            check_text("a quota's name", name)
            if value is not None:
                check_number(name, value, RATES)
        quotas[entity] = dict(values)
    return quotas


class QuotaAdmin:
    """The part of an admin client that is about quotas."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def describe(self, timeout_ms: int, on_done: OnQuotas, now: Now) -> None:
        """Tell which quotas there are."""

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.DescribeClientQuotasResponse) or error_of(body):
                on_done(failure_of(body), now)
                return
            found = {
                QuotaEntity(entry.entity.user, entry.entity.client_id): {
                    name: value for name, value in entry.values.items() if value is not None
                }
                for entry in body.entries
            }
            on_done(found, now)

        request = wire.DescribeClientQuotasRequest()
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def alter(
        self,
        quotas: Mapping[QuotaEntity, Mapping[str, int | None]],
        timeout_ms: int,
        on_done: OnDone,
        now: Now,
    ) -> None:
        """Change quotas; done when it is committed. Setting twice is setting once."""
        deadline_ms = now.mono_ms + timeout_ms

        def alter(some: Sequence[wire.QuotaValues], on_altered: OnDone, now: Now) -> None:
            def altered(body: Message, now: Now) -> None:
                if not isinstance(body, wire.AlterClientQuotasResponse) or error_of(body):
                    on_altered(failure_of(body), now)
                else:
                    on_altered(first_failure(body.outcomes), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = wire.AlterClientQuotasRequest(tuple(some), left_ms)
            self._program.errands.ask(request, altered, now, timeout_ms=left_ms)

        entries = [
            wire.QuotaValues(wire.QuotaEntity(*entity), dict(values))
            for entity, values in quotas.items()
        ]
        # An entity may have two names, a user's and a client id, and brokers count names.
        change_in_pieces(entries, alter, on_done, now, names_each=2)
