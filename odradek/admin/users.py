"""Users of Kafka's listener as an admin client asks for them and changes them.

A password stays with whoever sets it: what is sent is made of it, and of a salt.  It must not know of
threads.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from odradek.admin.pieces import change_in_pieces
from odradek.cluster.client_program import ClientProgram
from odradek.cluster.errands import error_of, failure_of, first_failure
from odradek.errors import OdradekError
from odradek.settings import Bounds, check_number, check_text
from transport.kernel import Now
from transport.wire.messages import Message
from transport.wire.messages import users as wire
from transport.wire.messages.users import ScramMechanism
from transport.wire.scram import (
    ITERATIONS_DEFAULT,
    ITERATIONS_MAX,
    ITERATIONS_MIN,
    SALT_BYTES,
    credential_of,
    is_prepared,
    salted_password,
)

__all__ = [
    "ScramCredentialInfo",
    "ScramMechanism",
    "UserAdmin",
    "UserScramCredentialDeletion",
    "UserScramCredentialUpsertion",
]

PASSWORD_BYTES_MAX = 1_024
_ITERATIONS = Bounds(ITERATIONS_MIN, ITERATIONS_MAX)


class ScramCredentialInfo(NamedTuple):
    """What is told of a credential."""

    mechanism: ScramMechanism
    iterations: int


class UserScramCredentialUpsertion(NamedTuple):
    """A user gets this password for a mechanism, in the place of any other."""

    user: str
    mechanism: ScramMechanism
    password: str
    iterations: int = ITERATIONS_DEFAULT
    """4,096 to 16,384: more make it harder to guess a password by what is kept of it."""

    def __repr__(self) -> str:
        return f"UserScramCredentialUpsertion({self.user!r}, {self.mechanism.name})"

    def credential(self) -> wire.ScramCredential:
        """Return what is kept of the password, with a fresh salt; takes some milliseconds.

        ValueError: such a password some clients would send otherwise than others.
        """
        if not isinstance(self.password, str):
            raise TypeError("a password is text")  # and is not shown
        check_number(f"iterations of {self.user!r}", self.iterations, _ITERATIONS)
        password = self.password.encode()
        if not 0 < len(password) <= PASSWORD_BYTES_MAX:
            raise ValueError(f"a password has 1 to {PASSWORD_BYTES_MAX} bytes")
        if not is_prepared(self.password):
            raise ValueError(
                "the password has characters that not every client sends alike (RFC 4013); "
                "take plain letters, digits and signs"
            )
        salt = secrets.token_bytes(SALT_BYTES)
        salted = salted_password(self.mechanism, password, salt, self.iterations)
        return credential_of(self.mechanism, salted, salt, self.iterations)


class UserScramCredentialDeletion(NamedTuple):
    """A user has no password for this mechanism any more."""

    user: str
    mechanism: ScramMechanism


UserScramCredentialAlteration = UserScramCredentialUpsertion | UserScramCredentialDeletion
Users = dict[str, list[ScramCredentialInfo]]
OnDone = Callable[[OdradekError | None, Now], None]
OnUsers = Callable[[Users | OdradekError, Now], None]


def changes_of(alterations: Iterable[UserScramCredentialAlteration]) -> tuple[wire.UserChange, ...]:
    """Return them as they are asked for, in one change for each user; TypeError or ValueError."""
    by_user: dict[str, list[UserScramCredentialAlteration]] = {}
    for one in alterations:
        if not isinstance(one, UserScramCredentialAlteration):
            raise TypeError(f"a change of a user is an upsertion or a deletion, not {one!r}")
        check_text("user", one.user)
        if one.mechanism not in tuple(ScramMechanism):
            raise ValueError(f"mechanism={one.mechanism!r} is no ScramMechanism")
        by_user.setdefault(one.user, []).append(one)
    return tuple(
        wire.UserChange(
            user,
            tuple(
                one.credential() for one in ones if isinstance(one, UserScramCredentialUpsertion)
            ),
            tuple(one.mechanism for one in ones if isinstance(one, UserScramCredentialDeletion)),
        )
        for user, ones in by_user.items()
    )


class UserAdmin:
    """The part of an admin client that is about users."""

    def __init__(self, program: ClientProgram) -> None:
        self._program = program

    def describe(self, timeout_ms: int, on_done: OnUsers, now: Now) -> None:
        """Tell which users there are, and what is kept of each."""

        def told(body: Message, now: Now) -> None:
            if not isinstance(body, wire.DescribeUserScramCredentialsResponse) or error_of(body):
                on_done(failure_of(body), now)
                return
            found = {
                user.name: [
                    ScramCredentialInfo(ScramMechanism(one.mechanism), one.iterations)
                    for one in user.credentials
                ]
                for user in body.users
            }
            on_done(found, now)

        request = wire.DescribeUserScramCredentialsRequest()
        self._program.errands.ask(request, told, now, timeout_ms=timeout_ms)

    def alter(
        self, changes: tuple[wire.UserChange, ...], timeout_ms: int, on_done: OnDone, now: Now
    ) -> None:
        """Change users; done when it is committed. Setting twice is setting once."""
        deadline_ms = now.mono_ms + timeout_ms

        def alter(some: Sequence[wire.UserChange], on_altered: OnDone, now: Now) -> None:
            def altered(body: Message, now: Now) -> None:
                if not isinstance(body, wire.AlterUserScramCredentialsResponse) or error_of(body):
                    on_altered(failure_of(body), now)
                else:
                    on_altered(first_failure(body.outcomes), now)

            left_ms = max(1, deadline_ms - now.mono_ms)
            request = wire.AlterUserScramCredentialsRequest(tuple(some), left_ms)
            self._program.errands.ask(request, altered, now, timeout_ms=left_ms)

        change_in_pieces(changes, alter, on_done, now)
