"""Bugs in what listeners tell members, producers and administrators of other tongues."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from nodes.broker.kafka import fetch
from nodes.broker.kafka.exchange import Exchange
from nodes.coordinator.zookeeper import connection as zookeeper
from nodes.core.transaction.core import TransactionCore
from tests.simulation.mutations.registry import Patch, mutation
from transport.kernel import Now
from transport.wire.ids import Offset
from transport.wire.messages import groups
from transport.wire.messages.configs import AlterConfigsRequest
from transport.wire.messages.group_offsets import TxnOffsetCommitRequest

GROUPS = {"foreign_groups": 2}
"""As many members as partitions: who is alone reads all, and gives up half to the next one."""
LEDGERS = {"foreign_ledgers": 3}
PIPELINES = {"foreign_pipelines": 2}
ADMINISTRATORS = {"foreign_administrators": 2}
ZOOKEEPER_SETTERS = {"zookeeper_setters": 4}


@mutation("S36", victims="broker", clients=GROUPS)
def afresh_taken_for_let_go() -> list[Patch]:
    """A member of Kafka's that says everything anew is taken to have let go of what it was to."""
    honest = Exchange.ask

    def ask(self: Exchange, body: Any, then: Any, payload: Any = ()) -> None:
        beats = isinstance(body, groups.ConsumerGroupHeartbeatRequest)
        if beats and body.assignment_version == groups.AFRESH:
            body = replace(body, owned=())
        honest(self, body, then, payload)

    return [(Exchange, "ask", ask)]


@mutation("S40", clients=LEDGERS)
def aborted_not_named_to_others() -> list[Patch]:
    """A Kafka client that reads committed records is told of no aborted transaction."""
    return [(fetch, "_aborted", lambda *_: ())]


@mutation("S65", clients=LEDGERS)
def declared_epoch_not_kept() -> list[Patch]:
    """A coordinator goes on to the next epoch, as if it could tell a Kafka client of it."""
    honest = TransactionCore._prepare

    def prepare(
        self: TransactionCore,
        transactional_id: str,
        effects: Any,
        now: Now,
        *,
        committed: bool,
        fence: bool = False,
        by_producer: bool = False,
    ) -> bool:
        return honest(self, transactional_id, effects, now, committed=committed, fence=fence)

    return [(TransactionCore, "_prepare", prepare)]


@mutation("S61", clients=PIPELINES)
def offsets_of_transactions_lost() -> list[Patch]:
    """What a Kafka client commits in its transaction is where its group has begun, not where it is."""
    honest = Exchange.ask

    def ask(self: Exchange, body: Any, then: Any, payload: Any = ()) -> None:
        if isinstance(body, TxnOffsetCommitRequest):
            begun = tuple(replace(one, offset=Offset(0)) for one in body.offsets)
            body = replace(body, offsets=begun)
        honest(self, body, then, payload)

    return [(Exchange, "ask", ask)]


@mutation("S63", clients=ADMINISTRATORS)
def change_of_configs_judged_alone() -> list[Patch]:
    """A change of configs that a Kafka client asks for is judged, and not made."""
    honest = Exchange.ask

    def ask(self: Exchange, body: Any, then: Any, payload: Any = ()) -> None:
        if isinstance(body, AlterConfigsRequest):
            body = replace(body, validate_only=True)
        honest(self, body, then, payload)

    return [(Exchange, "ask", ask)]


@mutation("S64", victims="coordinator", clients=ZOOKEEPER_SETTERS)
def watches_not_taken_along() -> list[Patch]:
    """A ZooKeeper client's watches are not set where its session goes to."""
    return [(zookeeper, "set_watches", lambda *_: {})]
