"""How a client proves who it is, and what is kept of passwords (KIP-152, KIP-368, KIP-554)."""

from __future__ import annotations

from typing import Annotated

from transport.gateway.kafka.fields import Bytes, Int8, Int16, Int32, Int64, Struct, Text, Versions


class SaslHandshakeRequest(Struct, kw_only=True):
    """Is this mechanism offered?"""

    mechanism: Text


class SaslHandshakeResponse(Struct, kw_only=True):
    """Which are."""

    error_code: Int16
    mechanisms: tuple[Text, ...]


class SaslAuthenticateRequest(Struct, kw_only=True):
    """A mechanism's own bytes."""

    auth_bytes: Bytes


class SaslAuthenticateResponse(Struct, kw_only=True):
    """The mechanism's answer."""

    error_code: Int16
    error_message: Text | None
    auth_bytes: Bytes = b""
    session_lifetime_ms: Annotated[Int64, Versions(1)] = 0


class ScramUser(Struct, kw_only=True):
    """Whose credentials."""

    name: Text


class DescribeUserScramCredentialsRequest(Struct, kw_only=True):
    """No users: of all."""

    users: tuple[ScramUser, ...] | None


class ScramCredential(Struct, kw_only=True):
    """What is kept of one password."""

    mechanism: Int8
    iterations: Int32


class DescribedScramUser(Struct, kw_only=True):
    """The credentials of one user."""

    user: Text
    error_code: Int16
    error_message: Text | None
    credential_infos: tuple[ScramCredential, ...] = ()


class DescribeUserScramCredentialsResponse(Struct, kw_only=True):
    """One result per user."""

    throttle_time_ms: Int32 = 0
    error_code: Int16
    error_message: Text | None
    results: tuple[DescribedScramUser, ...]


class ScramDeletion(Struct, kw_only=True):
    """A user is to have no password for this mechanism."""

    name: Text
    mechanism: Int8


class ScramUpsertion(Struct, kw_only=True):
    """A user is to have this one: the client has salted it."""

    name: Text
    mechanism: Int8
    iterations: Int32
    salt: Bytes
    salted_password: Bytes


class AlterUserScramCredentialsRequest(Struct, kw_only=True):
    """To any broker here."""

    deletions: tuple[ScramDeletion, ...]
    upsertions: tuple[ScramUpsertion, ...]


class AlteredScramUser(Struct, kw_only=True):
    """What became of one user."""

    user: Text
    error_code: Int16
    error_message: Text | None


class AlterUserScramCredentialsResponse(Struct, kw_only=True):
    """One result per user."""

    throttle_time_ms: Int32 = 0
    results: tuple[AlteredScramUser, ...]
