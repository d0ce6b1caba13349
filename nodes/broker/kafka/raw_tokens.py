"""SASL's messages without Kafka's frames around them: what SaslHandshake 0 is followed by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from transport.gateway.kafka.apis import ApiKey
from transport.gateway.kafka.fields import Struct
from transport.gateway.kafka.frames import SIZE_BYTES, RequestHeader
from transport.gateway.kafka.messages.sasl import SaslAuthenticateRequest, SaslAuthenticateResponse
from transport.gateway.kafka.writer import Buffer
from transport.wire.errors import ErrorCode

TOKEN_BYTES_MIN = 4
"""Of a message of PLAIN, with a name and a password of one character each; all others are longer."""


class RawToken(NamedTuple):
    """One, as if SaslAuthenticate had brought it."""

    body: SaslAuthenticateRequest
    header: RequestHeader = RequestHeader(ApiKey.SASL_AUTHENTICATE, 0, 0)
    elements: int = 0

    def answer(self, response: Struct) -> Sequence[Buffer]:
        """Return the mechanism's answer; nothing where there is none: the end says that it failed."""
        assert isinstance(response, SaslAuthenticateResponse), "nothing else is asked so"
        if response.error_code != ErrorCode.NONE:
            return ()
        token = bytes(response.auth_bytes)
        return (len(token).to_bytes(SIZE_BYTES, "big"), token)


def read_token(frame: memoryview) -> RawToken:
    """Return what a frame holds."""
    return RawToken(SaslAuthenticateRequest(auth_bytes=bytes(frame)))
