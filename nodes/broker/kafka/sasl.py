"""How Kafka's clients prove who they are, and what is kept of their passwords."""

from __future__ import annotations

from collections import Counter
from typing import Any

from nodes.broker.kafka.exchange import Exchange
from nodes.broker.kafka.parts import TIMEOUT_MS, ask_parts, verdict
from transport.gateway.kafka.messages import sasl as foreign
from transport.wire.errors import ErrorCode, meaning
from transport.wire.messages import Refusal
from transport.wire.messages.users import (
    AlterUserScramCredentialsRequest,
    DescribeUserScramCredentialsRequest,
    ScramCredential,
    ScramMechanism,
    UserChange,
)
from transport.wire.scram import KEY_BYTES, NAMES, credential_of

UNKNOWN_HERE = "this listener knows nobody by a password; connect without SASL"
ALTERATIONS_MAX = 2_000
"""In one request, of as many users as a controller takes: each is hashed in this turn."""
NO_HANDSHAKE = "no SASL handshake came before, or it was done"
RAW_TOKENS = 0
"""Behind a handshake of this version SASL's messages come without Kafka's frames around them."""

# Proofs


def sasl_handshake(exchange: Exchange) -> None:
    """Tell which mechanisms are offered, and begin with the one that is wanted."""
    connection = exchange.connection
    doorkeeper, proof = connection.listener.doorkeeper, connection.proof
    is_raw = exchange.version == RAW_TOKENS
    offered = () if doorkeeper is None else doorkeeper.mechanisms
    error = ErrorCode.NONE
    if doorkeeper is None or proof is None or exchange.body.mechanism not in offered:
        error = ErrorCode.UNSUPPORTED_SASL_MECHANISM
    elif proof.user and (is_raw or not doorkeeper.session_max_ms):
        error = ErrorCode.ILLEGAL_SASL_STATE
    else:
        proof.begin(exchange.body.mechanism, is_raw=is_raw)
    exchange.answer(foreign.SaslHandshakeResponse(error_code=error, mechanisms=offered))


def sasl_authenticate(exchange: Exchange) -> None:
    """Take the next message of the mechanism that was agreed upon."""
    connection = exchange.connection
    doorkeeper, proof = connection.listener.doorkeeper, connection.proof
    if doorkeeper is not None and proof is not None and proof.mechanism:
        doorkeeper.authenticate(exchange)
        return
    text = UNKNOWN_HERE if doorkeeper is None else NO_HANDSHAKE
    error = ErrorCode.ILLEGAL_SASL_STATE
    exchange.answer(foreign.SaslAuthenticateResponse(error_code=error, error_message=text))


# Credentials


def describe_user_scram_credentials(exchange: Exchange) -> None:
    """Tell by which mechanisms users prove a password: those that are named, or all."""
    wanted = Counter(user.name for user in exchange.body.users or ())

    def told(answer: Any, _payload: object) -> None:
        code, text = verdict(answer)
        users = {} if code else {user.name: user.credentials for user in answer.users}
        exchange.answer(
            foreign.DescribeUserScramCredentialsResponse(
                error_code=code,
                error_message=text,
                results=()
                if code
                else tuple(
                    _described(name, users, is_repeated=wanted[name] > 1)
                    for name in wanted or users
                ),
            )
        )

    exchange.ask(DescribeUserScramCredentialsRequest(), told)


def _described(
    name: str, users: dict[str, Any], *, is_repeated: bool
) -> foreign.DescribedScramUser:
    error = ErrorCode.NONE
    if is_repeated:
        error = ErrorCode.DUPLICATE_RESOURCE
    elif name not in users:
        error = ErrorCode.RESOURCE_NOT_FOUND
    if error:
        return foreign.DescribedScramUser(
            user=name, error_code=error, error_message=meaning(error).text
        )
    return foreign.DescribedScramUser(
        user=name,
        error_code=error,
        error_message=None,
        credential_infos=tuple(
            foreign.ScramCredential(mechanism=one.mechanism, iterations=one.iterations)
            for one in users[name]
        ),
    )


def alter_user_scram_credentials(exchange: Exchange) -> None:
    """Set and remove credentials, of which Kafka's clients send the salted password."""
    asked: foreign.AlterUserScramCredentialsRequest = exchange.body
    alterations: tuple[Any, ...] = (*asked.deletions, *asked.upsertions)
    by_name: dict[str, list[Any]] = {}
    for one in alterations:
        by_name.setdefault(one.name, []).append(one)
    if len(alterations) > ALTERATIONS_MAX:
        text = f"{len(alterations)} passwords at once; change at most {ALTERATIONS_MAX}"
        changes: list[Any] = [Refusal(ErrorCode.INVALID_REQUEST, text)] * len(by_name)
    else:
        changes = [_change(name, mine) for name, mine in by_name.items()]

    def make(asked: tuple[UserChange, ...]) -> AlterUserScramCredentialsRequest:
        return AlterUserScramCredentialsRequest(asked, TIMEOUT_MS)

    def done(outcomes: list[Any]) -> None:
        results = []
        for name, outcome in zip(by_name, outcomes, strict=True):
            code, text = verdict(outcome)
            results.append(foreign.AlteredScramUser(user=name, error_code=code, error_message=text))
        exchange.answer(foreign.AlterUserScramCredentialsResponse(results=tuple(results)))

    ask_parts(exchange, changes, make, "outcomes", done)


def _change(name: str, alterations: list[Any]) -> UserChange | Refusal:
    for one in alterations:
        if one.mechanism not in NAMES:
            text = f"there is no mechanism {one.mechanism}; known: {', '.join(NAMES.values())}"
            return Refusal(ErrorCode.UNSUPPORTED_SASL_MECHANISM, text)
    upsertions = [one for one in alterations if isinstance(one, foreign.ScramUpsertion)]
    if any(
        len(one.salted_password) != KEY_BYTES[ScramMechanism(one.mechanism)] for one in upsertions
    ):
        text = "a salted password has as many bytes as the mechanism's hash"
        return Refusal(ErrorCode.UNACCEPTABLE_CREDENTIAL, text)
    removed = tuple(one.mechanism for one in alterations if isinstance(one, foreign.ScramDeletion))
    return UserChange(name, tuple(map(_credential, upsertions)), removed)


def _credential(one: foreign.ScramUpsertion) -> ScramCredential:
    mechanism = ScramMechanism(one.mechanism)
    return credential_of(mechanism, bytes(one.salted_password), bytes(one.salt), one.iterations)
