"""Who may ask what: the one place where a request meets the ACLs, before any handler sees it.

A request that demands what its sender may not do is refused; of one that is about several things,
those parts are, and the rest is done.  At the peers' door everything is CLUSTER_ACTION, which the
nodes' own keys stand for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from nodes.broker.access import CODES, OPEN, ROWS, DemandById, May, Parts, Row
from nodes.broker.context import BrokerContext, Request
from nodes.core.acls import AclJudge, Actor, Demand
from transport.driver.ports import Door, Origin
from transport.wire.errors import ErrorCode, meaning
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages import Message, Refusal
from transport.wire.messages.acls import (
    CLUSTER_NAME,
    AclOperation,
    CreateAclsRequest,
    DeleteAclsRequest,
    DescribeAclsRequest,
    ResourceType,
)
from transport.wire.messages.produce import ACKS_NONE, ProduceRequest
from transport.wire.messages.users import AlterUserScramCredentialsRequest

Refused = dict[int, Any]
"""Place among the parts -> its outcome, or None where it is left out."""
Verdict = tuple[ErrorCode, str]
Verdicts = dict[Demand, Verdict]
"""Of one request, by what is not allowed."""

ABOUT_ACLS = (CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest)
EVERYTHING = Demand(AclOperation.CLUSTER_ACTION, ResourceType.CLUSTER, CLUSTER_NAME)
"""What the nodes themselves may do; while no ACL is known, nobody else but super users."""
OF_NODES = Row(lambda _body, _image: (EVERYTHING,))


class Authorizer:
    """Judges requests by the image's ACLs, if the cluster judges at all."""

    def __init__(self, context: BrokerContext, knows_acls: Callable[[], bool]) -> None:
        self._context = context
        self._knows_acls = knows_acls
        self._judge = AclJudge((CLUSTER_PRINCIPAL, *context.config.super_users))
        self._seen = -1

    def admit(self, request: Request) -> Request | None:
        """Return the request as it may be handled; None: it was refused, and answered."""
        body = request.envelope.body
        if isinstance(body, AlterUserScramCredentialsRequest) and not self._context.config.sasl:
            text = "nobody proves a password here: start with [security] sasl = true"
            self._refuse(request, ErrorCode.SECURITY_DISABLED, text)
            return None
        if not self._context.config.authorizer:
            if isinstance(body, ABOUT_ACLS):
                text = "nobody is judged by ACLs here: start with [security] curve = true"
                self._refuse(request, ErrorCode.SECURITY_DISABLED, text)
                return None
            return request
        row = OF_NODES if request.origin.door is Door.PEERS else ROWS.get(type(body))
        if row is None:
            text = f"{body.api.name} may be asked by nobody"
            self._refuse(request, ErrorCode.CLUSTER_AUTHORIZATION_FAILED, text)
            return None
        may = self._of(request.origin)
        if row is not OPEN and not self._knows_acls() and not may(EVERYTHING):
            text = f"{self._context.config.name} has not heard yet who may do what"
            self._refuse(request, ErrorCode.BROKER_NOT_AVAILABLE, text)
            return None
        missing = self._missing(row.demands(body, self._context.image), may)
        if missing is not None:
            self._refuse(request, *self._verdict(request, missing, may))
            return None
        return self._narrowed(request, row, may)

    def allows(self, origin: Origin, demand: Demand) -> bool:
        """Tell whether whoever is there may do that; everybody may where nobody is judged."""
        return not self._context.config.authorizer or self._of(origin)(demand)

    def _of(self, origin: Origin) -> May:
        """Return what tells of one demand whether whoever is there may do it."""
        image, judge = self._context.image, self._judge
        if self._seen != image.acl_changes:
            self._seen = image.acl_changes
            judge.use(image.acls)
        actor = Actor(origin.principal, origin.address)

        def may(demand: Demand) -> bool:
            if judge.allows(actor, demand):
                return True
            if demand.operation is AclOperation.CREATE:  # of a topic: whoever may make any
                every = Demand(demand.operation, ResourceType.CLUSTER, CLUSTER_NAME)
                return judge.allows(actor, every)
            if demand.operation is AclOperation.IDEMPOTENT_WRITE:  # whoever may write at all
                return judge.allows_anywhere(actor, AclOperation.WRITE, ResourceType.TOPIC)
            return False

        return may

    def _narrowed(self, request: Request, row: Row, may: May) -> Request | None:
        """Return the request without the parts that are refused; its answer will tell of them."""
        body: Any = request.envelope.body
        parts = row.parts
        given = () if parts is None else getattr(body, parts.field) or ()
        refused: Refused = {}
        verdicts: Verdicts = {}
        if parts is not None:
            for place, part in enumerate(given):
                told = self._judge_part(request, parts, part, may, verdicts)
                if told is not None:
                    refused[place] = parts.refused(part, *told) if parts.refused else None
        amend = self._amend(row, len(given), refused, may)
        if not refused or parts is None:
            return replace(request, amend=amend)
        self._context.count("parts_unauthorized", len(refused))
        kept = tuple(part for place, part in enumerate(given) if place not in refused)
        if kept or not parts.alone:
            narrow = replace(body, **{parts.field: kept, **parts.also})
            envelope = replace(request.envelope, body=narrow)
            return replace(request, envelope=envelope, amend=amend)
        if not (isinstance(body, ProduceRequest) and body.acks == ACKS_NONE):
            nothing = parts.answer(**{"error": ErrorCode.NONE, parts.told: ()})
            self._context.reply(replace(request, amend=amend), nothing)
        return None

    def _amend(
        self, row: Row, count: int, refused: Refused, may: May
    ) -> Callable[[Message], Message] | None:
        """Return what becomes of the answer to a request of ``count`` parts; None: nothing."""
        parts, sift, image = row.parts, row.sift, self._context.image
        if sift is None and not refused:
            return None

        def amend(answer: Message) -> Message:
            if parts is not None and refused and isinstance(answer, parts.answer):
                answer = _with_refused(parts, answer, count, refused)
            if sift is not None and isinstance(answer, sift.answer):
                shown = (sift.shown(part, may, image) for part in getattr(answer, sift.told))
                kept = tuple(part for part in shown if part is not None)
                answer = replace(answer, **{sift.told: kept})
            return answer

        return amend

    def _judge_part(
        self, request: Request, parts: Parts, part: Any, may: May, verdicts: Verdicts
    ) -> Verdict | None:
        demands = parts.demands(request.envelope.body, part, self._context.image)
        if demands is None:  # it may be known before the request is done, and then by its name
            return ErrorCode.UNKNOWN_TOPIC_ID, meaning(ErrorCode.UNKNOWN_TOPIC_ID).text
        missing = self._missing(demands, may)
        if missing is None:
            return None
        told = verdicts.get(missing)
        if told is None:  # a topic may be refused for each of ten thousands of its partitions
            told = verdicts[missing] = self._verdict(request, missing, may)
        return told

    @staticmethod
    def _missing(demands: Iterable[Demand], may: May) -> Demand | None:
        return next((demand for demand in demands if not may(demand)), None)

    def _verdict(self, request: Request, demand: Demand, may: May) -> Verdict:
        who, what = request.origin.principal, demand.resource_type.name
        called, name = repr(demand.name[:80]), demand.name
        describe = Demand(AclOperation.DESCRIBE, demand.resource_type, name)
        if isinstance(demand, DemandById) and not may(describe):
            topic_id = self._context.image.topic_ids[name]
            called, name = f"with the id {topic_id.hex()}", "NAME"
        text = (
            f"{who!r} is not allowed {demand.operation.name} on {what} {called};"
            f" whoever has the cluster's keys can allow it: `{_remedy(who, demand, name)}`"
        )
        return CODES[demand.resource_type], text

    def _refuse(self, request: Request, error: ErrorCode, text: str) -> None:
        self._context.count("requests_unauthorized")
        self._context.reply(request, Refusal(error, text))


def _remedy(who: str, demand: Demand, name: str) -> str:
    """Return the command that allows it on what is called ``name``."""
    import shlex  # no broker that refuses nobody loads it

    words = ["odradek", "acl", "add", who, demand.operation.name.lower()]
    if demand.operation is AclOperation.IDEMPOTENT_WRITE:
        words[-1:] = ["write", "--topic", "NAME"]
    elif demand.resource_type is ResourceType.CLUSTER:
        words.append("--cluster")
    else:
        words += [f"--{demand.resource_type.name.lower().replace('_', '-')}", name]
    return shlex.join(words)


def _with_refused(parts: Parts, answer: Message, count: int, refused: Refused) -> Message:
    """Return an answer with the outcomes of what was refused at their places, or at the end."""
    told = getattr(answer, parts.told)
    if not parts.in_order:
        outcomes = (*told, *(outcome for outcome in refused.values() if outcome is not None))
        return replace(answer, **{parts.told: outcomes})
    if len(told) + len(refused) != count:
        return answer  # it refuses everything as a whole
    rest = iter(told)
    whole = [refused[place] if place in refused else next(rest) for place in range(count)]
    return replace(answer, **{parts.told: tuple(whole)})
