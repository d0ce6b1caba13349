"""DESCRIBE_ACLS: which there are, as this broker has applied them."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from nodes.core.acls import found
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.acls import DescribeAclsRequest, DescribeAclsResponse


class AclApi:
    """Answers from the image."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeAclsRequest: self._on_request
        }

    def _on_request(self, request: Request, _now: Now) -> None:
        body = request.envelope.body
        assert isinstance(body, DescribeAclsRequest), "by the dispatch table"
        told = found(self._context.image.acls, body.filter)
        self._context.reply(request, DescribeAclsResponse(ErrorCode.NONE, told))
