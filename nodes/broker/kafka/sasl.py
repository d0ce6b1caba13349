"""How Kafka's clients would prove who they are: nobody can here, which is said clearly."""

from __future__ import annotations

from nodes.broker.kafka.exchange import Exchange
from transport.gateway.kafka.messages import sasl as foreign
from transport.wire.errors import ErrorCode, meaning

UNKNOWN_HERE = "this listener knows nobody by a password; connect with security.protocol=PLAINTEXT"


def sasl_handshake(exchange: Exchange) -> None:
    """Offer no mechanism."""
    error = ErrorCode.UNSUPPORTED_SASL_MECHANISM
    exchange.answer(foreign.SaslHandshakeResponse(error_code=error, mechanisms=()))


def sasl_authenticate(exchange: Exchange) -> None:
    """No handshake can have come before."""
    exchange.answer(
        foreign.SaslAuthenticateResponse(
            error_code=ErrorCode.ILLEGAL_SASL_STATE, error_message=UNKNOWN_HERE
        )
    )


def describe_user_scram_credentials(exchange: Exchange) -> None:
    """Nobody has any."""
    error = ErrorCode.RESOURCE_NOT_FOUND
    exchange.answer(
        foreign.DescribeUserScramCredentialsResponse(
            error_code=ErrorCode.NONE,
            error_message=None,
            results=tuple(
                foreign.DescribedScramUser(
                    user=user.name, error_code=error, error_message=meaning(error).text
                )
                for user in exchange.body.users or ()
            ),
        )
    )
