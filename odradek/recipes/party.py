"""Party and ShallowParty: who is here."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import quote, unquote

from odradek.errors import NoNodeError
from odradek.recipes.lock import identifier_bytes
from odradek.recipes.presence import Presence
from odradek.recipes.waiting import Client, children_of, in_order, joined, read

MEMBER = "member-"


class Party:
    """The members of a group at ``path``; iterating gives their identifiers, in order of joining.

    Membership is ephemeral: a member whose session is lost is gone, at the latest after the session
    timeout, and joins again by itself when its client has a new session (behind the others).
    """

    def __init__(self, client: Client, path: str, identifier: str | bytes | None = None) -> None:
        self.path = path
        self._client = client
        self._presence = self._presence_of(identifier_bytes(identifier))

    @property
    def participating(self) -> bool:
        """True while our znode is there, as far as is known."""
        return bool(self._presence.path)

    def join(self) -> None:
        """Be here, from now to :meth:`leave`."""
        self._presence.begin()

    def leave(self) -> None:
        """Be here no more."""
        self._presence.end()

    def __iter__(self) -> Iterator[str]:
        return iter(self._identifiers())

    def __len__(self) -> int:
        return len(self._names())

    # Inside

    def _presence_of(self, identifier: bytes) -> Presence:
        return Presence(self._client, joined(self.path, MEMBER), identifier)

    def _names(self) -> list[str]:
        return in_order(children_of(self._client, self.path), MEMBER)

    def _identifiers(self) -> list[str]:
        found: list[str] = []
        for name in self._names():
            try:
                path = joined(self.path, name)
                data, _ = read(self._client, partial(self._client.get_async, path))
            except NoNodeError:
                continue
            found.append(data.decode(errors="replace"))
        return found


class ShallowParty(Party):
    """A party whose identifiers are in the names of the znodes: listed by a single read.

    Otherwise, and on a lost session, as :class:`Party`; of a path of its own.
    """

    def _presence_of(self, identifier: bytes) -> Presence:
        name = quote(identifier.decode(), safe="")
        return Presence(self._client, joined(self.path, f"{MEMBER}{name}-"), b"")

    def _identifiers(self) -> list[str]:
        return [unquote(name[len(MEMBER) : -11]) for name in self._names()]
