"""DESCRIBE_USER_SCRAM_CREDENTIALS: which users there are, as this broker has applied them."""

from __future__ import annotations

from collections.abc import Callable

from nodes.broker.context import BrokerContext, Request
from transport.kernel import Now
from transport.wire.errors import ErrorCode
from transport.wire.messages import Message
from transport.wire.messages.users import (
    CredentialInfo,
    DescribedUser,
    DescribeUserScramCredentialsRequest,
    DescribeUserScramCredentialsResponse,
)


class UserApi:
    """Answers from the image; of credentials only what gives nothing away."""

    def __init__(self, context: BrokerContext) -> None:
        self._context = context
        self.handlers: dict[type[Message], Callable[[Request, Now], None]] = {
            DescribeUserScramCredentialsRequest: self._on_request
        }

    def _on_request(self, request: Request, _now: Now) -> None:
        users = tuple(
            DescribedUser(
                name, tuple(CredentialInfo(one.mechanism, one.iterations) for one in credentials)
            )
            for name, credentials in sorted(self._context.image.users.items())
        )
        answer = DescribeUserScramCredentialsResponse(ErrorCode.NONE, users)
        self._context.reply(request, answer)
