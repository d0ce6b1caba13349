"""How a simulated Kafka client proves who it is: SCRAM from the client's side (RFC 5802)."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256

from transport.wire.messages.users import ScramCredential, ScramMechanism
from transport.wire.scram import ITERATIONS_MIN, NAMES, credential_of, mac, salted_password

MECHANISM = ScramMechanism.SCRAM_SHA_256
NAME = NAMES[MECHANISM]
USERS = USUAL, LODGER = ("usual", "lodger")
"""All whom clients log in as."""


@lru_cache(maxsize=1_000)
def _salted(password: str, salt: bytes, iterations: int) -> bytes:
    return salted_password(MECHANISM, password.encode(), salt, iterations)


def credential(password: str) -> ScramCredential:
    """Return what is kept of a password; the same each time."""
    salt = sha256(password.encode()).digest()[:24]
    return credential_of(MECHANISM, _salted(password, salt, ITERATIONS_MIN), salt, ITERATIONS_MIN)


class Login:
    """A user, and the passwords that may be right: while it gets a new one, that or the one before."""

    def __init__(self, user: str) -> None:
        self.user = user
        self.passwords: tuple[str, ...] = ("",)


OnAnswered = Callable[[str, Login, int, str | None], None]
"""Told of an answer: the endpoint, whom it was given, when that had asked, and the password that was proved
by asking, if one was."""


class Logins:
    """As whom the clients of Kafka's protocol log in."""

    def __init__(self) -> None:
        self.usual: Login | None = None
        """None: nobody asks."""
        self.others: dict[str, Login] = {}
        """By host."""
        self.on_answered: OnAnswered = lambda *_: None

    def of(self, host: str) -> Login | None:
        """Return as whom this one does."""
        return self.others.get(host, self.usual)


class ScramExchange:
    """One attempt to prove a password."""

    def __init__(self, user: str, password: str, nonce: str) -> None:
        self.password = password
        self._bare = f"n={user},r={nonce}"
        self._nonce = nonce
        self._signature = b""

    def first(self) -> bytes:
        """Return the first message."""
        return f"n,,{self._bare}".encode()

    def final(self, challenge: bytes) -> bytes:
        """Return the answer to the server's challenge."""
        text = challenge.decode()
        fields = dict(field.split("=", 1) for field in text.split(","))
        assert fields["r"].startswith(self._nonce), "the challenge is of this exchange"
        salted = _salted(self.password, b64decode(fields["s"]), int(fields["i"]))
        without_proof = f"c=biws,r={fields['r']}"
        messages = f"{self._bare},{text},{without_proof}".encode()
        key = mac(MECHANISM, salted, b"Client Key")
        signature = mac(MECHANISM, sha256(key).digest(), messages)
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        self._signature = mac(MECHANISM, mac(MECHANISM, salted, b"Server Key"), messages)
        return f"{without_proof},p={b64encode(proof).decode()}".encode()

    def check(self, verdict: bytes) -> None:
        """Assert that the server knows the password, too."""
        assert verdict == b"v=" + b64encode(self._signature), "the server has proved itself"
