"""Users of Kafka's listener, and what is kept of their passwords (SCRAM: RFC 5802; Kafka's KIP-84, KIP-554).

A password never travels: whoever sets one makes the credential of it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar

from transport.wire.apis import Api
from transport.wire.ids import MetadataVersion
from transport.wire.messages import Message, Part


class ScramMechanism(IntEnum):
    """How a password is proved; Kafka's numbers."""

    SCRAM_SHA_256 = 1
    SCRAM_SHA_512 = 2


class ScramCredential(Part, frozen=True, array_like=True, gc=False):
    """What is kept of one password for one mechanism. Nobody can prove the password by it, but guess."""

    mechanism: int
    iterations: int
    salt: bytes
    stored_key: bytes
    server_key: bytes

    def __repr__(self) -> str:
        return f"ScramCredential({self.mechanism}, {self.iterations})"


class UserChange(Part, frozen=True, array_like=True, gc=False):
    """Credentials that a user gets, in the place of those of the same mechanism, and mechanisms of
    which it has none any more."""

    user: str
    credentials: tuple[ScramCredential, ...] = ()
    removed: tuple[int, ...] = ()


class AlterUserScramCredentialsRequest(Message, frozen=True, array_like=True, gc=False):
    """Change what is kept of these users; a user without a credential is gone."""

    api: ClassVar[Api] = Api.ALTER_USER_SCRAM_CREDENTIALS

    changes: tuple[UserChange, ...]
    timeout_ms: int


class UserOutcome(Part, frozen=True, array_like=True, gc=False):
    """What became of one user's change, all of it; ``text`` names the argument and the fix."""

    error: int
    text: str = ""


class AlterUserScramCredentialsResponse(Message, frozen=True, array_like=True, gc=False):
    """One outcome per user, in order, once the change is committed."""

    api: ClassVar[Api] = Api.ALTER_USER_SCRAM_CREDENTIALS

    error: int
    outcomes: tuple[UserOutcome, ...] = ()
    version: MetadataVersion = MetadataVersion(0)
    """The change is in every image of this version or a later one."""


class DescribeUserScramCredentialsRequest(Message, frozen=True, array_like=True, gc=False):
    """Client to any broker: which users are there?"""

    api: ClassVar[Api] = Api.DESCRIBE_USER_SCRAM_CREDENTIALS


class CredentialInfo(Part, frozen=True, array_like=True, gc=False):
    """All that is told of a credential."""

    mechanism: int
    iterations: int


class DescribedUser(Part, frozen=True, array_like=True, gc=False):
    """One user."""

    name: str
    credentials: tuple[CredentialInfo, ...]


class DescribeUserScramCredentialsResponse(Message, frozen=True, array_like=True, gc=False):
    """All users by name, as the answering broker has applied them."""

    api: ClassVar[Api] = Api.DESCRIBE_USER_SCRAM_CREDENTIALS

    error: int
    users: tuple[DescribedUser, ...] = ()
