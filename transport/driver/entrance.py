"""Where those who connect to a listening socket come in: as they are, or by TLS.

Who is not let in is counted, and named in the log with the reason: an operator who has set a client
up wrong looks there.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from transport.sockets.certificate import TlsError, TlsFiles
from transport.sockets.stream import StreamSocket

if TYPE_CHECKING:  # it comes with who asks for it
    from transport.sockets.tls import TlsSocket

NAMED_MAX = 100
"""So many who were not let in are named in the log, each once for each reason: one that tries again and
again hides no other.  Then they are only counted: a log has an end."""
CERTIFICATE_EXPIRES = "tls_certificate_expires_seconds"
"""The one figure that is no count: when, in seconds since 1970."""
_logger = logging.getLogger("odradek.streams")


class Entrance:
    """That of one listening socket."""

    def __init__(
        self,
        endpoint: str,
        tls: TlsFiles | None,
        figures: dict[str, int],
        count: Callable[[str], None],
    ) -> None:
        """Raises ``TlsError``. ``figures``: what is told of the certificate, by name."""
        self._endpoint = endpoint
        self._figures = figures
        self._count = count
        self._named: set[tuple[str, str]] = set()
        self._credentials = None
        if tls is not None:
            from transport.sockets.tls import Credentials

            self._credentials = Credentials(tls)
            self._tell_certificate()

    def let_in(self, accepted: StreamSocket, mono_ms: int) -> StreamSocket | TlsSocket:
        """Return the connection as it is to be spoken with."""
        if self._credentials is None:
            return accepted
        self._renew(mono_ms)
        return self._credentials.wrap(accepted)

    def _renew(self, mono_ms: int) -> None:
        assert self._credentials is not None
        try:
            renewed = self._credentials.renew(mono_ms)
        except TlsError as error:
            self._count("tls_renewals_failed")
            _logger.warning("%s goes on with the certificate it had: %s", self._endpoint, error)
            return
        if renewed:
            self._count("tls_renewals")
            self._tell_certificate()
            _logger.info("%s has read its certificate again", self._endpoint)

    def _tell_certificate(self) -> None:
        assert self._credentials is not None
        certificate = self._credentials.certificate
        self._figures[CERTIFICATE_EXPIRES] = certificate.expires_s
        trouble = certificate.trouble(time())
        if trouble:
            _logger.warning("the certificate of %s: %s", self._endpoint, trouble)

    def turn_away(self, address: str, figure: str, why: str) -> None:
        """Somebody was not let in."""
        self._count(figure)
        if len(self._named) < NAMED_MAX and (address, why) not in self._named:
            self._named.add((address, why))
            _logger.warning("a client at %s was not let in at %s: %s", address, self._endpoint, why)
