"""Access control lists as kazoo's users write them: entries, permissions, the usual lists.

Pure.  An ACL belongs to one znode and is not inherited by what is below it.
"""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple

from transport.wire.messages.coordination import (
    ADMIN,
    ALL_PERMISSIONS,
    CREATE,
    DELETE,
    READ,
    WRITE,
    Acl,
)

_NAMES = {"READ": READ, "WRITE": WRITE, "CREATE": CREATE, "DELETE": DELETE, "ADMIN": ADMIN}
_LETTERS = {"r": READ, "w": WRITE, "c": CREATE, "d": DELETE, "a": ADMIN}


class Permissions:
    """What an entry allows; ZooKeeper's bits, to be added up."""

    READ = READ
    """Data, stat and children."""
    WRITE = WRITE
    """Change the data."""
    CREATE = CREATE
    """Create children."""
    DELETE = DELETE
    """Delete children."""
    ADMIN = ADMIN
    """Change the ACL."""
    ALL = ALL_PERMISSIONS


class Id(NamedTuple):
    """Whom an entry is about: ``world``, ``auth``, ``digest``, ``ip`` or ``principal``, and an id of that scheme."""

    scheme: str
    id: str


class ACL(NamedTuple):
    """One entry: permissions, and for whom."""

    perms: int
    id: Id

    @property
    def acl_list(self) -> list[str]:
        """The permissions by name; ``["ALL"]`` for all of them."""
        if self.perms == ALL_PERMISSIONS:
            return ["ALL"]
        return [name for name, bit in _NAMES.items() if self.perms & bit]

    @classmethod
    def of(cls, entry: Acl) -> ACL:
        """Return the user's view of an entry from the wire."""
        return cls(entry.permissions, Id(entry.scheme, entry.id))


OPEN_ACL_UNSAFE = [ACL(ALL_PERMISSIONS, Id("world", "anyone"))]
"""Everybody may do everything: what znodes have unless something else was said."""
READ_ACL_UNSAFE = [ACL(READ, Id("world", "anyone"))]
"""Everybody may read, and nobody do more."""
CREATOR_ALL_ACL = [ACL(ALL_PERMISSIONS, Id("auth", ""))]
"""Everything to whom the creating client has proved to be (``add_auth``), nothing to others."""


def make_acl(
    scheme: str,
    credential: str,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002 - kazoo's name
) -> ACL:
    """Return an entry with these permissions."""
    chosen = {READ: read, WRITE: write, CREATE: create, DELETE: delete, ADMIN: admin}
    perms = ALL_PERMISSIONS if all else sum(bit for bit, given in chosen.items() if given)
    return ACL(perms, Id(scheme, credential))


def make_digest_acl_credential(username: str, password: str) -> str:
    """Return ``username:base64(sha1(username:password))``, a digest entry's id (ZooKeeper's)."""
    secret = f"{username}:{password}".encode()
    digest = hashlib.sha1(secret, usedforsecurity=False).digest()
    return f"{username}:{base64.b64encode(digest).decode()}"


def make_digest_acl(
    username: str,
    password: str,
    read: bool = False,
    write: bool = False,
    create: bool = False,
    delete: bool = False,
    admin: bool = False,
    all: bool = False,  # noqa: A002 - kazoo's name
) -> ACL:
    """Return an entry for whoever proves to be ``username`` with ``password``."""
    credential = make_digest_acl_credential(username, password)
    return make_acl("digest", credential, read, write, create, delete, admin, all)


def parse_acl(text: str) -> ACL:
    """Read ``scheme:id:permissions``, as ``world:anyone:r`` or ``digest:me:…=:cdrwa``.

    ``digest-password:user:password:permissions`` has the digest made here.  ValueError says what is
    wrong.  The permissions are ZooKeeper's letters: ``c``, ``d``, ``r``, ``w``, ``a``.
    """
    scheme, _, rest = text.partition(":")
    id_, colon, letters = rest.rpartition(":")
    if not scheme or not colon:
        raise ValueError(
            f"{text!r} is no ACL entry; write scheme:id:permissions, world:anyone:cdrwa"
        )
    wrong = sorted(set(letters) - _LETTERS.keys())
    if wrong or not letters:
        raise ValueError(f"{text!r}: permissions are some of the letters cdrwa, not {letters!r}")
    if scheme == "digest-password":
        user, _, password = id_.partition(":")
        scheme, id_ = "digest", make_digest_acl_credential(user, password)
    return ACL(sum(_LETTERS[letter] for letter in set(letters)), Id(scheme, id_))


def format_acl(entry: ACL) -> str:
    """Return an entry as :func:`parse_acl` reads it."""
    letters = "".join(letter for letter in "cdrwa" if entry.perms & _LETTERS[letter])
    return f"{entry.id.scheme}:{entry.id.id}:{letters}"
