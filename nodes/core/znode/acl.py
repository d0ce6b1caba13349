"""Access control lists: which are legal, whom they allow what, and how an identity is proved.

ZooKeeper's schemes (its Programmer's Guide, "ZooKeeper access control using ACLs"): ``world``,
``auth``, ``digest``, ``ip``, ``x509``; and ``principal``.  An ACL belongs to one znode and is not inherited.  The empty ACL, as
kept here, allows everything to everybody.  Knows no znodes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from transport.wire.messages.coordination import ALL_PERMISSIONS, Acl, Identity

WORLD, AUTH, DIGEST, IP, SUPER = "world", "auth", "digest", "ip", "super"
PRINCIPAL = "principal"
"""Whom the keys of a connection prove its client to be: what ZooKeeper's ``x509`` is to certificates."""
PRINCIPAL_CHARACTERS_MAX = 256
X509 = "x509"
"""The distinguished name in a client's certificate, as RFC 2253 writes it."""
SUBJECT_CHARACTERS_MAX = 1_024
ANYONE = "anyone"
_PROVED = (DIGEST, PRINCIPAL, X509)
"""What an entry of ``auth`` becomes."""
OPEN: tuple[Acl, ...] = ()
"""How the ACL that allows everything to everybody is kept."""
OPEN_AS_SHOWN = (Acl(ALL_PERMISSIONS, WORLD, ANYONE),)
ACL_ENTRIES_MAX = 1_000
NETWORKS_KNOWN = 65_536
"""Whether an address is within one is remembered: to read a network takes as long as a hundred entries."""
CREDENTIAL_BYTES_MAX = 1_024
"""Each write of a connection carries the names that it proved through the log."""

Acls = tuple[Acl, ...]
Identities = tuple[Identity, ...]


def normalized(acl: Acls, identities: Identities) -> Acls | None:
    """Return ``acl`` as it is to be kept, asked for by somebody of these identities.

    ``auth`` entries become one entry per identity that was proved.  None: no legal ACL.
    """
    entries: dict[Acl, None] = {}
    for entry in acl[: ACL_ENTRIES_MAX + 1]:
        if not 0 <= entry.permissions <= ALL_PERMISSIONS:
            return None
        if entry.scheme == AUTH:
            proved = [each for each in identities if each.scheme in _PROVED]
            if not proved:
                return None
            entries.update((Acl(entry.permissions, each.scheme, each.id), None) for each in proved)
        elif _is_legal(entry):
            entries[entry] = None
        else:
            return None
    if not entries or len(entries) > ACL_ENTRIES_MAX:
        return None
    kept = tuple(entries)
    return OPEN if kept == OPEN_AS_SHOWN else kept


def _is_legal(entry: Acl) -> bool:
    if entry.scheme == WORLD:
        return entry.id == ANYONE
    if entry.scheme == DIGEST:
        return entry.id.count(":") == 1
    if entry.scheme == PRINCIPAL:
        return 0 < len(entry.id) <= PRINCIPAL_CHARACTERS_MAX
    if entry.scheme == X509:
        return 0 < len(entry.id) <= SUBJECT_CHARACTERS_MAX
    if entry.scheme == IP:
        try:
            ip_network(entry.id, strict=False)
        except ValueError:
            return False
        return True
    return False


def allows(acl: Acls, permissions: int, identities: Identities) -> bool:
    """Tell whether any of ``permissions`` is given to anybody of these identities.

    Both may be many, and are gone through once: not each entry for each identity.
    """
    if not acl:
        return True
    proved = {(each.scheme, each.id) for each in identities}
    if (SUPER, "") in proved:
        return True
    addresses = [each.id for each in identities if each.scheme == IP]
    for entry in acl:
        if not entry.permissions & permissions:
            continue
        scheme = entry.scheme
        if scheme == WORLD or (scheme, entry.id) in proved:
            return True
        if scheme == IP and any(_is_within(address, entry.id) for address in addresses):
            return True
    return False


@lru_cache(maxsize=NETWORKS_KNOWN)
def _is_within(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network, strict=False)


def shown(acl: Acls, *, with_secrets: bool) -> Acls:
    """Return ``acl`` as it is answered; hashes of passwords only ``with_secrets``."""
    if not acl:
        return OPEN_AS_SHOWN
    if with_secrets:
        return acl
    return tuple(
        Acl(each.permissions, DIGEST, each.id.partition(":")[0] + ":x")
        if each.scheme == DIGEST
        else each
        for each in acl
    )


def identify(scheme: str, credential: bytes, super_digest: str) -> Identities | None:
    """Return the identities that ``credential`` proves; None: it proves nothing.

    ``digest`` takes ``user:password``.  Whoever is ``super_digest``, which is written as in an ACL,
    may do everything; an empty one is nobody.
    """
    if scheme != DIGEST or b":" not in credential or len(credential) > CREDENTIAL_BYTES_MAX:
        return None
    try:
        name = digest_of(credential)
    except UnicodeDecodeError:
        return None
    proved: Iterable[Identity] = (Identity(DIGEST, name),)
    if super_digest and hmac.compare_digest(name.encode(), super_digest.encode()):
        proved = (*proved, Identity(SUPER, ""))
    return tuple(proved)


def digest_of(credential: bytes) -> str:
    """Return ZooKeeper's ``user:base64(sha1(user:password))``; raises UnicodeDecodeError."""
    user = credential.partition(b":")[0].decode()
    digest = hashlib.sha1(credential, usedforsecurity=False).digest()
    return f"{user}:{base64.b64encode(digest).decode()}"
