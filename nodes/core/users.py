"""Which users there can be, and which credentials of theirs are legal. Kafka's rules (KIP-554)."""

from __future__ import annotations

from transport.wire.errors import ErrorCode
from transport.wire.ids import CLUSTER_PRINCIPAL
from transport.wire.messages.acls import WILDCARD
from transport.wire.messages.users import ScramCredential, ScramMechanism, UserChange, UserOutcome
from transport.wire.scram import ITERATIONS_MAX, ITERATIONS_MIN, KEY_BYTES, NAMES, is_prepared

NAME_CHARACTERS_MAX = 255
SALT_BYTES_MAX = 256
ANONYMOUS = "ANONYMOUS"
"""Kafka's word for those who prove nothing."""
RESERVED = frozenset((CLUSTER_PRINCIPAL, WILDCARD, ANONYMOUS))
"""Names that stand for somebody else: the nodes, who are above all ACLs; everybody; and nobody."""


def name_complaint(name: str) -> str | None:
    """Return why nobody can have this name; None: somebody can."""
    if not 0 < len(name) <= NAME_CHARACTERS_MAX or not name.isprintable():
        return f"a user's name has 1 to {NAME_CHARACTERS_MAX} printable characters"
    if name in RESERVED:
        return f"{name!r} stands for somebody else; take another name"
    if not is_prepared(name):
        return "a user's name must be as SASLprep leaves it (RFC 4013); take plain characters"
    return None


def refused(change: UserChange) -> UserOutcome | None:
    """Return why a change cannot be made, whoever there is; None: it can."""
    named = [one.mechanism for one in change.credentials] + list(change.removed)
    complaint = name_complaint(change.user)
    if complaint is not None:
        return UserOutcome(ErrorCode.UNACCEPTABLE_CREDENTIAL, complaint)
    if not named:
        return UserOutcome(ErrorCode.INVALID_REQUEST, "nothing of the user is to be changed")
    if len(set(named)) < len(named):
        return UserOutcome(ErrorCode.DUPLICATE_RESOURCE, "a mechanism of the user is there twice")
    unknown = next((one for one in named if one not in NAMES), None)
    if unknown is not None:
        text = f"there is no mechanism {unknown}; known: {', '.join(NAMES.values())}"
        return UserOutcome(ErrorCode.UNSUPPORTED_SASL_MECHANISM, text)
    wrong = next(filter(None, map(_credential_complaint, change.credentials)), None)
    return None if wrong is None else UserOutcome(ErrorCode.UNACCEPTABLE_CREDENTIAL, wrong)


def _credential_complaint(credential: ScramCredential) -> str | None:
    if not ITERATIONS_MIN <= credential.iterations <= ITERATIONS_MAX:
        return f"iterations are {ITERATIONS_MIN} to {ITERATIONS_MAX}, not {credential.iterations}"
    if not 0 < len(credential.salt) <= SALT_BYTES_MAX:
        return f"a salt has 1 to {SALT_BYTES_MAX} bytes"
    size = KEY_BYTES[ScramMechanism(credential.mechanism)]
    if {len(credential.stored_key), len(credential.server_key)} != {size}:
        return f"the keys of this mechanism have {size} bytes"
    return None
