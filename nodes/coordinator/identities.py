"""Who is behind a connection: what its client has proved, and what the transport tells of it.

Identities belong to the connection.  A client that attaches elsewhere proves them again; the log
carries them with each write, since ACLs are judged when a write is applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address

from nodes.config import NodeConfig
from nodes.core.znode.acl import IP, PRINCIPAL, SUPER, X509, identify
from transport.driver.ports import Origin
from transport.wire.messages.coordination import AddAuth, Identity

IDENTITIES_MAX = 64
"""Of one connection; what would be more is not proved."""


class Identities:
    """Proofs -> identities."""

    def __init__(self, config: NodeConfig) -> None:
        self._super_digest = config.coordinator.super_digest
        self._super_users = frozenset(config.super_users)

    def of_connection(self, origin: Origin) -> tuple[Identity, ...]:
        """Return what the transport itself tells: ``ip`` of the other end, ``principal`` of its keys.

        Of who shows a certificate that is the common name, and ``x509`` the whole of its name.
        """
        proved: tuple[Identity, ...] = ()
        if origin.principal:
            proved = (Identity(PRINCIPAL, origin.principal),)
            if origin.subject:
                proved = (*proved, Identity(X509, origin.subject))
            if origin.principal in self._super_users:
                proved = (*proved, Identity(SUPER, ""))
        try:
            address = ip_address(origin.address)
        except ValueError:
            return proved
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        return (Identity(IP, str(mapped or address)), *proved)

    def of_opening(self, origin: Origin, auth: Iterable[AddAuth]) -> tuple[Identity, ...]:
        """Return who is behind a connection that opens or attaches with these proofs."""
        return self.added(self.of_connection(origin), auth)

    def proves(self, auth: AddAuth) -> bool:
        """Tell whether this proves anything."""
        return identify(auth.scheme, auth.credential, self._super_digest) is not None

    def added(self, known: tuple[Identity, ...], proofs: Iterable[AddAuth]) -> tuple[Identity, ...]:
        """Return the identities ``known`` with those of ``proofs``; bad ones prove nothing."""
        identities = dict.fromkeys(known)
        for auth in proofs:
            identities.update(
                dict.fromkeys(identify(auth.scheme, auth.credential, self._super_digest) or ())
            )
        return tuple(identities)[:IDENTITIES_MAX]
