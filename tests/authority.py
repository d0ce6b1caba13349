"""A certificate authority of a test's own, and what it signs, as files."""

from __future__ import annotations

import datetime
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from transport.sockets.certificate import TlsFiles


class Authority:
    """Signs certificates for listeners and for clients; all of its files are in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.folder.mkdir(exist_ok=True)
        self._ca = trustme.CA()
        self._clients: dict[str | None, tuple[Path, Path]] = {}
        self.ca = self._written("ca.pem", self._ca.cert_pem.bytes())

    def _written(self, name: str, content: bytes) -> Path:
        """Write a file as those who renew certificates do: it is there whole, or as it was."""
        path = self.folder / name
        part = path.with_suffix(".part")
        part.write_bytes(content)
        return part.replace(path)

    def listener(
        self, name: str = "listener", *, asks: bool = False, days: tuple[int, int] = (-1, 365)
    ) -> TlsFiles:
        """Make a certificate for this machine; ``asks``: clients have to show one of ours.

        ``days``: from today, between which it is good.
        """
        now = datetime.datetime.now(datetime.UTC)
        begins, ends = (now + datetime.timedelta(days=each) for each in days)
        made = self._ca.issue_cert(
            "localhost", "127.0.0.1", common_name=name, not_before=begins, not_after=ends
        )
        certificate, key = self._write(name, made)
        return TlsFiles(str(certificate), str(key), str(self.ca) if asks else "")

    def client(self, name: str | None) -> tuple[Path, Path]:
        """Return the files of a client's certificate and key, made when it is first asked for."""
        if name not in self._clients:
            made = self._ca.issue_cert(
                "client@example.org", common_name=name, organization_name="Kitchen"
            )
            self._clients[name] = self._write(f"client-{len(self._clients)}", made)
        return self._clients[name]

    def _write(self, name: str, made: trustme.LeafCert) -> tuple[Path, Path]:
        chain = b"".join(each.bytes() for each in made.cert_chain_pems)
        certificate = self._written(f"{name}.pem", chain)
        return certificate, self._written(f"{name}.key", made.private_key_pem.bytes())

    def revoke(self, certificate: Path) -> None:
        """Put a list of what is revoked, this certificate alone, beside the authority's own."""
        doomed = x509.load_pem_x509_certificate(certificate.read_bytes())
        own = x509.load_pem_x509_certificate(self._ca.cert_pem.bytes())
        key = serialization.load_pem_private_key(self._ca.private_key_pem.bytes(), None)
        now = datetime.datetime.now(datetime.UTC)
        entry = (
            x509.RevokedCertificateBuilder()
            .serial_number(doomed.serial_number)
            .revocation_date(now)
            .build()
        )
        made = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(own.subject)
            .last_update(now - datetime.timedelta(days=1))
            .next_update(now + datetime.timedelta(days=1))
            .add_revoked_certificate(entry)
            .sign(key, hashes.SHA256())  # type: ignore[arg-type]
        )
        crl = made.public_bytes(serialization.Encoding.PEM)
        self._written("ca.pem", self._ca.cert_pem.bytes() + crl)
