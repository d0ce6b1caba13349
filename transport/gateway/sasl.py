"""SASL's mechanisms on the server's side, as messages: PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677). Pure.

Names and passwords are taken as they are sent: those that SASLprep would change cannot be set.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Callable
from typing import NamedTuple

from transport.wire.messages.users import ScramCredential, ScramMechanism
from transport.wire.scram import NAMES, is_proof, mac

MESSAGE_BYTES_MAX = 4_096
"""Of what a client sends at a time: names and nonces are far below it."""
PLAIN = "PLAIN"
SCRAM = {name: mechanism for mechanism, name in NAMES.items()}
_CLIENT_FIRST = re.compile(
    r"(?P<gs2>(?P<binding>[ny]|p=[A-Za-z0-9.-]+),(?:a=(?P<authzid>[^,]*))?,)"
    r"(?P<bare>n=(?P<name>[^,]*),r=(?P<nonce>[\x21-\x2b\x2d-\x7e]+)(?P<more>,.*)?)",
    re.DOTALL,
)
_CLIENT_FINAL = re.compile(
    r"(?P<without_proof>c=(?P<gs2>[^,]*),r=(?P<nonce>[^,]*)(?:,.*)?),p=(?P<proof>[^,]*)", re.DOTALL
)
_ESCAPE = re.compile(r"=(2C|3D|)")


class SaslFailure(Exception):
    """What a client sent proves nothing; the text says why, and holds no secret."""


WRONG = "the user, or its password, is not right"


class Plain(NamedTuple):
    """A user and a password, as PLAIN sends them."""

    user: str
    password: bytes


def read_plain(message: bytes) -> Plain:
    """Read PLAIN's only message; raises SaslFailure."""
    parts = message.split(b"\0")
    if len(message) > MESSAGE_BYTES_MAX or len(parts) != 3:
        raise SaslFailure("this is no message of PLAIN")
    authzid, user, password = parts
    if authzid not in (b"", user):
        raise SaslFailure("nobody acts for somebody else here")
    if not user or not password:
        raise SaslFailure("a user and a password must not be empty")
    return Plain(_text(user), password)


class ScramServer:
    """One exchange: the client's first message, then its final one."""

    def __init__(
        self,
        mechanism: ScramMechanism,
        nonce: str,
        credential_of: Callable[[str], ScramCredential],
    ) -> None:
        """``nonce``: printable, without a comma, never twice, and to be foreseen by nobody.

        ``credential_of`` tells of every name something: whoever is not there has one that no
        password fits, so that nothing here can tell the two apart.
        """
        self._mechanism = mechanism
        self._server_nonce = nonce
        self._credential_of = credential_of
        self._credential: ScramCredential | None = None
        self._gs2 = ""
        self._nonce = ""
        self._messages = ""
        self.user = ""
        """Whom the client says it is."""
        self.is_proved = False
        """And that it has proved so."""

    @property
    def credential(self) -> ScramCredential:
        """By which it was proved."""
        assert self._credential is not None, "after the first message"
        return self._credential

    def answer(self, message: bytes) -> bytes:
        """Return the answer to the client's next message; raises SaslFailure, and then it is over."""
        assert not self.is_proved, "one exchange proves one thing"
        if len(message) > MESSAGE_BYTES_MAX:
            raise SaslFailure(f"more than {MESSAGE_BYTES_MAX} bytes")
        text = _text(message)
        return (self._final(text) if self._credential else self._first(text)).encode()

    def _first(self, text: str) -> str:
        found = _CLIENT_FIRST.fullmatch(text)
        if found is None:
            raise SaslFailure("this is no first message of SCRAM")
        if found["binding"].startswith("p"):
            raise SaslFailure("channels are not bound here: begin with n")
        self.user = _name(found["name"])
        if found["authzid"] is not None and _name(found["authzid"]) != self.user:
            raise SaslFailure("nobody acts for somebody else here")
        self._gs2 = found["gs2"]
        self._nonce = found["nonce"] + self._server_nonce
        credential = self._credential = self._credential_of(self.user)
        salt = b64encode(credential.salt).decode()
        challenge = f"r={self._nonce},s={salt},i={credential.iterations}"
        self._messages = f"{found['bare']},{challenge}"
        return challenge

    def _final(self, text: str) -> str:
        found = _CLIENT_FINAL.fullmatch(text)
        if found is None:
            raise SaslFailure("this is no final message of SCRAM")
        if _bytes(found["gs2"]) != self._gs2.encode() or found["nonce"] != self._nonce:
            raise SaslFailure("the final message is of another exchange")
        messages = f"{self._messages},{found['without_proof']}".encode()
        credential = self.credential
        if not is_proof(credential, _bytes(found["proof"]), messages):
            raise SaslFailure(WRONG)
        self.is_proved = True
        signature = mac(self._mechanism, credential.server_key, messages)
        return f"v={b64encode(signature).decode()}"


def _text(message: bytes) -> str:
    try:
        return message.decode()
    except UnicodeDecodeError:
        raise SaslFailure("this is not UTF-8") from None


def _name(escaped: str) -> str:
    """Read a ``saslname``: ``=2C`` is a comma, ``=3D`` an equals sign, and none else may be there."""

    def plain(found: re.Match[str]) -> str:
        if not found[1]:
            raise SaslFailure("a name is not escaped as it has to be")
        return "," if found[1] == "2C" else "="

    name = _ESCAPE.sub(plain, escaped)
    if not name:
        raise SaslFailure("a user's name must not be empty")
    return name


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except (NotBase64, ValueError):
        raise SaslFailure("this is not base64") from None
