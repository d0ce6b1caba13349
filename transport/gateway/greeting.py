"""What somebody speaks who was set up for another port, by the first bytes of a connection."""

from __future__ import annotations

TLS = "this is TLS, and the listener speaks plain text: set tls_certificate in [security], or no TLS here"
_OTHERS = {b"\x16\x03": TLS, b"GE": "this is HTTP", b"PO": "this is HTTP"}


def greeting(begin: bytes) -> str:
    """Return what a connection that begins with these bytes speaks; empty: nobody can tell."""
    return _OTHERS.get(begin[:2], "")
