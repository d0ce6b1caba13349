"""TLS over a stream: who listens proves who it is, and asks whoever connects for a certificate.

Bytes go through memory, not through OpenSSL's own reading of the socket: whatever has come and can be
decrypted is handed over at once, so that nothing lies where an epoll cannot see it; and no more is
encrypted than is about to leave, so that what is unsent is bounded as without TLS.

A client of TLS 1.2 may resume its session.  What was proved in it goes for these files only, as a
context, and what it remembers, is made anew with them; and whether a certificate has expired is looked
at again, as a session may outlive it.
"""

from __future__ import annotations

import ssl
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from transport.sockets.certificate import (
    Certificate,
    MalformedCertificate,
    TlsError,
    TlsFiles,
    read_certificate,
)
from transport.sockets.options import Buffer
from transport.sockets.stream import StreamSocket
from transport.wire.ids import CLUSTER_PRINCIPAL

RECORD_BYTES_MAX = 16 * 1024
"""Of plain text in one record (RFC 8446, section 5.1)."""
ENCRYPTED_AT_ONCE_BYTES = 256 * 1024
"""In one flush: encrypting takes a turn's time, and an end that reads on the same machine keeps up."""
PRINCIPAL_CHARACTERS_MAX = 255
"""As of the names in ACLs."""
SUBJECT_CHARACTERS_MAX = 1_024
"""Each write to a coordinator carries both through the log."""
LOOK_MS = 1_000
"""How often, at most, the files are looked at: when somebody connects."""

_HANDSHAKE = 0x16
"""The first byte of everybody who speaks TLS."""
_REASONS = {
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it shows no certificate, and tls_client_ca asks for one",
    "NO_CERTIFICATE_SET": "it shows no certificate, and tls_client_ca asks for one",
    "UNSUPPORTED_PROTOCOL": "it speaks no TLS later than 1.1",
    "NO_SHARED_CIPHER": "it knows no cipher that is offered here",
    "TLSV1_ALERT_UNKNOWN_CA": "it does not trust whoever signed this listener's certificate",
    "SSLV3_ALERT_BAD_CERTIFICATE": "it does not accept this listener's certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "it does not accept this listener's certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "this listener's certificate has expired",
}
"""OpenSSL's words -> ours."""
PLAIN_TEXT = "it speaks no TLS; this listener speaks nothing else"
GONE = "it went before the TLS handshake was done"


class Credentials:
    """What a listener proves itself by, read again when its files have changed."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError."""
        self._files = files
        self._seen = self._stamps()
        self._looked_ms = 0
        self._context, self.certificate = read_credentials(files)

    def wrap(self, stream: StreamSocket) -> TlsSocket:
        """Return the connection under TLS: what was decrypted comes out of it."""
        return TlsSocket(stream, self._context, asks=bool(self._files.client_ca))

    def renew(self, mono_ms: int) -> bool:
        """Read the files again if they have changed since; returns whether they were.

        Raises TlsError, once for each change, when they cannot be used: those before it still are.
        """
        if mono_ms < self._looked_ms + LOOK_MS:
            return False
        self._looked_ms = mono_ms
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        self._context, self.certificate = read_credentials(self._files)
        return True

    def _stamps(self) -> list[tuple[int, int, int] | None]:
        found: list[tuple[int, int, int] | None] = []
        for name in filter(None, self._files):
            try:
                stat = Path(name).stat()
                found.append((stat.st_ino, stat.st_mtime_ns, stat.st_size))
            except OSError:
                found.append(None)
        return found


def read_credentials(files: TlsFiles) -> tuple[ssl.SSLContext, Certificate]:
    """Return what these files make a listener speak, and its own certificate. Raises TlsError."""
    pem = _read("tls_certificate", files.certificate)
    _read("tls_key", files.key)
    try:
        end = pem.find("-----END CERTIFICATE-----") + len("-----END CERTIFICATE-----")
        begin = pem.find("-----BEGIN CERTIFICATE-----")
        own = read_certificate(ssl.PEM_cert_to_DER_cert(pem[begin:end]))
    except (ValueError, MalformedCertificate):
        raise _fault(
            "tls_certificate", files.certificate, "there is no certificate in it"
        ) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_TICKET
    context.num_tickets = 0
    _load_key(context, files)
    if files.client_ca:
        _load_client_ca(context, files.client_ca)
    return context, own


def _load_key(context: ssl.SSLContext, files: TlsFiles) -> None:
    locked = False

    def ask() -> str:
        nonlocal locked
        locked = True
        return "x"  # nobody is there to be asked

    try:
        context.load_cert_chain(files.certificate, files.key, password=ask)
    except ssl.SSLError as error:
        if locked:
            why = "it is encrypted; write it without a passphrase, readable by its owner only"
        elif error.reason == "KEY_VALUES_MISMATCH":
            why = f"it is not the key of {files.certificate}"
        elif error.reason is None or "PEM" in error.reason or error.reason == "NO_START_LINE":
            why = "there is no key in it"
        else:
            why = f"it cannot be used ({_words(error)})"
        raise _fault("tls_key", files.key, why) from None


def _load_client_ca(context: ssl.SSLContext, path: str) -> None:
    pem = _read("tls_client_ca", path)
    try:
        context.load_verify_locations(cafile=path)
    except ssl.SSLError:
        raise _fault("tls_client_ca", path, "there is no certificate in it") from None
    if not context.cert_store_stats()["x509"]:
        raise _fault("tls_client_ca", path, "there is no certificate in it")
    context.verify_mode = ssl.CERT_REQUIRED
    if "-----BEGIN X509 CRL-----" in pem:
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF


def _read(setting: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise _fault(setting, path, error.strerror or str(error)) from None


def _fault(setting: str, path: str, why: str) -> TlsError:
    return TlsError(f"[security] {setting} = {path!r}: {why}")


def _words(error: ssl.SSLError) -> str:
    """Return why OpenSSL has refused something, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    reason = error.reason or "TLS failed"
    return _REASONS.get(reason, reason.lower().replace("_", " "))


class TlsSocket:
    """One connection, used as a :class:`StreamSocket` is."""

    def __init__(self, stream: StreamSocket, context: ssl.SSLContext, *, asks: bool) -> None:
        """``asks``: a certificate must be shown."""
        self._stream = stream
        self._asks = asks
        self._arrived, self._leaving = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._arrived, self._leaving, server_side=True)
        self._plain: deque[Buffer] = deque()
        self._plain_bytes = 0
        self._heard = False
        self._ends = False
        """Once everything has left, that is said as well."""
        self.is_ready = False
        self.ended = False
        self.fault = ""
        self.principal = ""
        self.subject = ""

    def fileno(self) -> int:
        """Return its descriptor."""
        return self._stream.fileno()

    @property
    def unsent_bytes(self) -> int:
        """What was queued and has not left, and what the handshake wants to say."""
        return self._plain_bytes + self._stream.unsent_bytes

    # Reading

    def receive(self, bytes_max: int) -> bytes | None:
        """Return all that can be decrypted now; empty: that is nothing yet; None: nothing has come.

        While ``is_ready`` is not set, the handshake goes on, and there is nothing else.
        """
        data = self._stream.receive(bytes_max)
        if data is None:
            self.ended = self.ended or self._stream.ended
            if self.ended and not self.is_ready and self._heard:
                self.fault = self.fault or GONE
            return None
        if not self._heard and data[0] != _HANDSHAKE:
            self._fail(PLAIN_TEXT)
            return b""
        self._heard = True
        self._arrived.write(data)
        try:
            if not self.is_ready:
                self._tls.do_handshake()
                self._judge_certificate()
                self._stream.acknowledge()  # the handshake's last word, which nobody answers
            return self._decrypt()
        except ssl.SSLWantReadError:
            return b""
        except ssl.SSLError as error:
            self._fail(_words(error))
            return b""
        finally:
            self._ship()

    def _judge_certificate(self) -> None:
        """The handshake is done: learn who this is."""
        if not self._asks:
            self.is_ready = True
            return
        shown = self._tls.getpeercert(binary_form=True)
        assert shown is not None, "no handshake is done without the certificate that is asked for"
        try:
            certificate = read_certificate(shown)
        except MalformedCertificate as error:
            self._fail(str(error))
            return
        why = _why_nobody(certificate)
        if why:
            self._fail(f"its certificate is of {certificate.subject!r}: {why}")
            return
        self.principal, self.subject = certificate.common_names[0], certificate.subject
        self.is_ready = True

    def _decrypt(self) -> bytes:
        pieces: list[bytes] = []
        try:
            while self.is_ready:
                piece = self._tls.read(RECORD_BYTES_MAX)
                if not piece:  # the other end has said that it ends
                    self.ended = True
                    break
                pieces.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(_words(error))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _fail(self, why: str) -> None:
        self.fault = why
        self.ended = True

    # Writing

    def queue(self, frames: Sequence[Buffer]) -> None:
        """Send these behind what is queued, at the next :meth:`flush`."""
        for frame in frames:
            if len(frame):
                self._plain.append(frame)
                self._plain_bytes += len(frame)

    def flush(self) -> None:
        """Hand the kernel what it takes, within the bound; what is left is in ``unsent_bytes``."""
        self._stream.flush()
        if self._stream.unsent_bytes or not (self._plain or self._ends):
            return
        try:
            self._encrypt()
            if self._ends and not self._plain:
                self._ends = False
                self._tls.unwrap()
        except ssl.SSLWantReadError:
            pass  # for the other end's last word, which nobody waits for
        except ssl.SSLError:
            self.drop()  # broken: that it has ended is told by reading
        self._ship()
        self._stream.flush()

    def _encrypt(self) -> None:
        left = ENCRYPTED_AT_ONCE_BYTES
        while self._plain and left > 0:
            piece = self._next_piece()
            written = self._tls.write(piece)
            if written < len(piece):  # the other end has asked for smaller records
                self._plain.appendleft(memoryview(piece)[written:])
            self._plain_bytes -= written
            left -= written

    def _next_piece(self) -> Buffer:
        """Take what makes a record: small frames together, a large one by pieces."""
        first = self._plain.popleft()
        if len(first) >= RECORD_BYTES_MAX:
            whole = memoryview(first)
            if len(first) > RECORD_BYTES_MAX:
                self._plain.appendleft(whole[RECORD_BYTES_MAX:])
            return whole[:RECORD_BYTES_MAX]
        frames, size = [first], len(first)
        while self._plain and size + len(self._plain[0]) <= RECORD_BYTES_MAX:
            frames.append(self._plain.popleft())
            size += len(frames[-1])
        return b"".join(frames) if len(frames) > 1 else first

    def _ship(self) -> None:
        """Queue what TLS wants to send."""
        if self._leaving.pending:
            self._stream.queue((self._leaving.read(),))

    def drop(self) -> None:
        """Send nothing of what is queued."""
        self._plain.clear()
        self._plain_bytes = 0
        self._ends = False
        self._stream.drop()

    def end(self) -> None:
        """Say, behind what is queued, that nothing comes any more."""
        self._ends = self.is_ready

    def close(self) -> None:
        """Close; what the kernel was given still leaves."""
        self._stream.close()


def _why_nobody(certificate: Certificate) -> str:
    """Return why a certificate names nobody who can be let in; empty: it does."""
    if certificate.expires_s < time.time():  # only of a session that is resumed
        return "it has expired"
    if len(certificate.common_names) != 1:
        return "it must have one common name (CN), which is its principal"
    (name,) = certificate.common_names
    if not name.isprintable() or not 0 < len(name) <= PRINCIPAL_CHARACTERS_MAX:
        return f"its common name must have 1 to {PRINCIPAL_CHARACTERS_MAX} printable characters"
    if len(certificate.subject) > SUBJECT_CHARACTERS_MAX:
        return f"it has more than {SUBJECT_CHARACTERS_MAX} characters"
    if name == CLUSTER_PRINCIPAL:
        return f"{CLUSTER_PRINCIPAL!r} is the cluster itself, and nobody else"
    return ""
