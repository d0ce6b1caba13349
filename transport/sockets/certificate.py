"""What an X.509 certificate says of whom it was made for, and until when.

Only certificates that TLS has verified are read, and our own; nothing here judges one.

Source: RFC 5280 section 4.1 and appendix A (the fields), RFC 2253 (a name as text).
"""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import NamedTuple

COMMON_NAME = "2.5.4.3"
_KEYWORDS = {
    COMMON_NAME: "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.9": "STREET",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
    "0.9.2342.19200300.100.1.1": "UID",
    "0.9.2342.19200300.100.1.25": "DC",
}
"""Those of RFC 2253; a value under any other type is written as its bytes."""
_ENCODINGS = {
    0x0C: "utf-8",  # UTF8String
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody has used it
    0x16: "ascii",  # IA5String
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_UNIVERSAL_STRING = 0x1C
"""Written as its bytes too: so Java does."""
_VERSION, _UTC_TIME = 0xA0, 0x17
EXPIRES_SOON_S = 14 * 86_400
"""So long before, whoever has to renew a listener's certificate is warned."""


class TlsFiles(NamedTuple):
    """Where a listener's PEM files are."""

    certificate: str
    """Its own, with those between it and its root behind it."""
    key: str
    client_ca: str = ""
    """Whose signature each client's certificate must have; empty: none is asked for."""


class Certificate(NamedTuple):
    """What is read of one."""

    subject: str
    """The distinguished name as RFC 2253 has it, and as ZooKeeper's scheme ``x509`` writes it."""
    common_names: tuple[str, ...]
    begins_s: int
    expires_s: int
    """From when and until when it is good, in seconds since 1970."""

    def trouble(self, now_s: float) -> str:
        """Return what its owner has to hear at once; empty: nothing."""
        if self.expires_s <= now_s:
            return f"it has expired, on {_date(self.expires_s)}: clients refuse it"
        if self.begins_s > now_s:
            return f"it is good from {_date(self.begins_s)} on: clients refuse it until then"
        if self.expires_s <= now_s + EXPIRES_SOON_S:
            return f"it expires soon, on {_date(self.expires_s)}"
        return ""


class TlsError(Exception):
    """A certificate or key that cannot be used: names the setting and the file."""


class MalformedCertificate(Exception):
    """No certificate, or one that names somebody in a way nobody can read."""


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate in DER. Raises MalformedCertificate."""
    try:
        fields = _inside(next(_inside(next(_inside(der))[1]))[1])
        tag, _ = next(fields)
        if tag == _VERSION:
            next(fields)  # the serial number
        next(fields)  # how it was signed
        next(fields)  # by whom
        _, validity = next(fields)
        _, subject = next(fields)
        begins, expires = _inside(validity)
        names = [
            [_attribute(one) for _, one in _inside(several)] for _, several in _inside(subject)
        ]
        return Certificate(
            ",".join("+".join(map(_written, several)) for several in reversed(names)),
            tuple(
                _text(*value) for several in names for oid, value in several if oid == COMMON_NAME
            ),
            _seconds(*begins),
            _seconds(*expires),
        )
    except (IndexError, KeyError, StopIteration, ValueError) as error:
        raise MalformedCertificate(f"a certificate cannot be read ({error!r})") from None


_Value = tuple[int, bytes]
"""Tag and contents."""


def _inside(data: bytes) -> Iterator[_Value]:
    """Yield what stands one behind the other in the contents of something."""
    at = 0
    while at < len(data):
        tag, size = data[at], data[at + 1]
        at += 2
        if size & 0x80:
            digits = size & 0x7F
            size = int.from_bytes(data[at : at + digits], "big")
            at += digits
        if at + size > len(data):
            raise ValueError("it is cut off")
        yield tag, data[at : at + size]
        at += size


def _attribute(data: bytes) -> tuple[str, _Value]:
    """Return the type, as dotted numbers, and the value of a part of a name."""
    (_, oid), value = _inside(data)
    first = min(oid[0] // 40, 2)
    numbers, number = [first, oid[0] - 40 * first], 0
    for byte in oid[1:]:
        number = number << 7 | byte & 0x7F
        if not byte & 0x80:
            numbers.append(number)
            number = 0
    return ".".join(map(str, numbers)), value


def _text(tag: int, contents: bytes) -> str:
    return contents.decode(_ENCODINGS[tag])


def _written(attribute: tuple[str, _Value]) -> str:
    oid, (tag, contents) = attribute
    keyword = _KEYWORDS.get(oid)
    if keyword is None or tag not in _ENCODINGS or tag == _UNIVERSAL_STRING:
        return f"{keyword or oid}=#{_encoded(tag, contents).hex()}"
    text = "".join(f"\\{one}" if one in ',=+<>#;"\\' else one for one in _text(tag, contents))
    bare = text.strip(" ")
    before, after = len(text) - len(text.lstrip(" ")), len(text) - len(text.rstrip(" "))
    return f"{keyword}=" + ("\\ " * before + bare + "\\ " * after if bare else "\\ " * len(text))


def _encoded(tag: int, contents: bytes) -> bytes:
    size = len(contents)
    if size < 0x80:
        return bytes((tag, size)) + contents
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(digits))) + digits + contents


def _seconds(tag: int, contents: bytes) -> int:
    text = contents.decode("ascii")
    # Two digits of a year are of the years 1950 to 2049 (RFC 5280, 4.1.2.5.1).
    if tag == _UTC_TIME:
        text = ("19" if text[0] >= "5" else "20") + text
    return calendar.timegm(time.strptime(text, "%Y%m%d%H%M%SZ"))


def _date(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
