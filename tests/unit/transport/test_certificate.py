"""What is read of certificates: names as RFC 2253 and Java write them, and when they expire."""

from __future__ import annotations

import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.name import _ASN1Type as Asn1Type
from cryptography.x509.oid import NameOID

from transport.sockets.certificate import MalformedCertificate, read_certificate

KEY = ec.generate_private_key(ec.SECP256R1())
EXPIRES = datetime.datetime(2051, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)


def certificate(
    *names: x509.RelativeDistinguishedName, expires: datetime.datetime = EXPIRES
) -> bytes:
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")]))
        .public_key(KEY.public_key())
        .serial_number(2**100)
        .not_valid_before(datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        .not_valid_after(expires)
        .sign(KEY, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.DER)


def name(
    oid: x509.ObjectIdentifier, value: str, kind: Asn1Type | None = None
) -> x509.NameAttribute[str]:
    return x509.NameAttribute(oid, value, kind)


def rdn(*parts: x509.NameAttribute[str]) -> x509.RelativeDistinguishedName:
    return x509.RelativeDistinguishedName(parts)


def test_a_name_is_written_from_its_end_to_its_beginning() -> None:
    read = read_certificate(
        certificate(
            rdn(name(NameOID.COUNTRY_NAME, "AT")),
            rdn(name(NameOID.STATE_OR_PROVINCE_NAME, "Wien")),
            rdn(name(NameOID.LOCALITY_NAME, "Kierling")),
            rdn(name(NameOID.DOMAIN_COMPONENT, "example")),
            rdn(name(NameOID.ORGANIZATION_NAME, "Spool & Thread")),
            rdn(name(NameOID.ORGANIZATIONAL_UNIT_NAME, "Küche")),
            rdn(name(NameOID.STREET_ADDRESS, "Stairs 1")),
            rdn(name(NameOID.USER_ID, "odr")),
            rdn(name(NameOID.COMMON_NAME, "alice")),
        )
    )
    assert read.subject == (
        "CN=alice,UID=odr,STREET=Stairs 1,OU=Küche,O=Spool & Thread,DC=example,L=Kierling,ST=Wien,C=AT"
    )
    assert read.common_names == ("alice",)
    assert read.expires_s == EXPIRES.timestamp()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ('a,b=c+d<e>f#g;h"i\\j', 'a\\,b\\=c\\+d\\<e\\>f\\#g\\;h\\"i\\\\j'),
        (" two  ", "\\ two\\ \\ "),
        ("  ", "\\ \\ "),
    ],
)
def test_what_has_a_meaning_in_a_name_is_escaped(value: str, written: str) -> None:
    read = read_certificate(certificate(rdn(name(NameOID.COMMON_NAME, value))))
    assert (read.subject, read.common_names) == (f"CN={written}", (value,))


def test_what_has_no_keyword_is_written_as_its_bytes() -> None:
    address = "odradek@example.org"
    read = read_certificate(certificate(rdn(name(NameOID.EMAIL_ADDRESS, address))))
    size = bytes((len(address),)).hex()
    assert read.subject == f"1.2.840.113549.1.9.1=#16{size}{address.encode().hex()}"
    assert read.common_names == ()
    long = read_certificate(certificate(rdn(name(NameOID.TITLE, "x" * 63 + "ü" * 65))))
    assert long.subject.startswith("2.5.4.12=#0c81c1")


def test_a_universal_string_is_read_as_text_and_written_as_its_bytes() -> None:
    """As Java writes it, and with it ZooKeeper."""
    read = read_certificate(
        certificate(rdn(name(NameOID.COMMON_NAME, "日", Asn1Type.UniversalString)))
    )
    assert (read.subject, read.common_names) == ("CN=#1c04000065e5", ("日",))


def test_names_in_other_alphabets_and_several_in_one() -> None:
    read = read_certificate(
        certificate(
            rdn(name(NameOID.COMMON_NAME, "ähm", Asn1Type.BMPString)),
            rdn(name(NameOID.COMMON_NAME, "b"), name(NameOID.ORGANIZATION_NAME, "o")),
        )
    )
    assert set(read.common_names) == {"ähm", "b"}
    assert read.subject in ("CN=b+O=o,CN=ähm", "O=o+CN=b,CN=ähm")


def test_years_of_two_digits() -> None:
    soon = datetime.datetime(2030, 1, 2, tzinfo=datetime.UTC)
    assert read_certificate(certificate(expires=soon)).expires_s == soon.timestamp()


def test_what_is_no_certificate_is_said_to_be_none() -> None:
    whole = certificate(rdn(name(NameOID.COMMON_NAME, "alice")))
    for size in range(len(whole)):
        try:
            read_certificate(whole[:size])
        except MalformedCertificate:
            continue
        pytest.fail(f"{size} bytes were taken for all {len(whole)}")
    for place in range(len(whole)):
        garbled = bytearray(whole)
        garbled[place] ^= 0xFF
        try:
            read_certificate(bytes(garbled))
        except MalformedCertificate:
            pass
