"""SCRAM's arithmetic (RFC 5802, RFC 7677): what is kept of a password, and what proves one. Pure."""

from __future__ import annotations

import hashlib
import hmac
import stringprep
from unicodedata import ucd_3_2_0

from transport.wire.messages.users import ScramCredential, ScramMechanism

ITERATIONS_MIN = 4_096
ITERATIONS_MAX = 16_384
"""Kafka's bounds; one more digit would make each log-in as much slower."""
ITERATIONS_DEFAULT = 4_096
"""As Kafka's tools: where all users have it, none can be told from a name that nobody has."""
SALT_BYTES = 24

NAMES = {
    ScramMechanism.SCRAM_SHA_256: "SCRAM-SHA-256",
    ScramMechanism.SCRAM_SHA_512: "SCRAM-SHA-512",
}
_HASHES = {
    ScramMechanism.SCRAM_SHA_256: "sha256",
    ScramMechanism.SCRAM_SHA_512: "sha512",
}
KEY_BYTES = {mechanism: hashlib.new(name).digest_size for mechanism, name in _HASHES.items()}

_PROHIBITED = (
    stringprep.in_table_c12,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
    stringprep.in_table_a1,
)


def salted_password(
    mechanism: ScramMechanism, password: bytes, salt: bytes, iterations: int
) -> bytes:
    """Return what every other value is made of. It takes a millisecond or more: that is its purpose."""
    return hashlib.pbkdf2_hmac(_HASHES[mechanism], password, salt, iterations)


def credential_of(
    mechanism: ScramMechanism, salted: bytes, salt: bytes, iterations: int
) -> ScramCredential:
    """Return what a server keeps of a salted password."""
    return ScramCredential(
        mechanism,
        iterations,
        salt,
        _hash(mechanism, mac(mechanism, salted, b"Client Key")),
        mac(mechanism, salted, b"Server Key"),
    )


def is_password(credential: ScramCredential, password: bytes) -> bool:
    """Tell whether a credential was made of this password; see :func:`salted_password`."""
    mechanism = ScramMechanism(credential.mechanism)
    salted = salted_password(mechanism, password, credential.salt, credential.iterations)
    key = _hash(mechanism, mac(mechanism, salted, b"Client Key"))
    return hmac.compare_digest(key, credential.stored_key)


def is_proof(credential: ScramCredential, proof: bytes, messages: bytes) -> bool:
    """Tell whether ``proof`` shows that its sender knows the password. ``messages``: AuthMessage."""
    mechanism = ScramMechanism(credential.mechanism)
    signature = mac(mechanism, credential.stored_key, messages)
    if len(proof) != len(signature):
        return False
    client_key = bytes(a ^ b for a, b in zip(proof, signature, strict=True))
    return hmac.compare_digest(_hash(mechanism, client_key), credential.stored_key)


def mac(mechanism: ScramMechanism, key: bytes, data: bytes) -> bytes:
    """Return the HMAC of ``data`` with the mechanism's hash."""
    return hmac.digest(key, data, _HASHES[mechanism])


def _hash(mechanism: ScramMechanism, data: bytes) -> bytes:
    return hashlib.new(_HASHES[mechanism], data).digest()


def is_prepared(text: str) -> bool:
    """Tell whether SASLprep (RFC 4013) leaves a text as it is.

    Some clients prepare names and passwords, and others send them as they are typed; of such a text
    both make the same.
    """
    if any(map(stringprep.in_table_b1, text)) or ucd_3_2_0.normalize("NFKC", text) != text:
        return False
    if any(prohibited(one) for one in text for prohibited in _PROHIBITED):
        return False
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
