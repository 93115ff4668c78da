"""Certificates for tests: an authority, and what it issues, as PEM files in a directory.

::

    authority = Authority(tmp_path)
    server = authority.server()                       # localhost, 127.0.0.1, ::1
    client = authority.client("alice", organization="Telex")
    old = authority.client("old", days=(-20, -10))    # valid from twenty days ago until ten days ago
    crl = authority.crl(client)                       # a file that says that this one is revoked
    between = authority.intermediate("between")       # its certificates bring their chain with them

Paths are of ``pathlib``: ``server.certificate``, ``server.key``, ``authority.path``.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

Days = tuple[float, float]
"""From when until when something is valid, in days from now."""

HERE = ("localhost", "127.0.0.1", "::1")
"""The names of this machine."""


@dataclass(frozen=True)
class Issued:
    """A certificate and its key."""

    certificate: Path
    key: Path
    content: x509.Certificate


class Authority:
    """A CA, or one between a CA and what it issues.

    Args:
        directory: where all files go. ``name`` makes the name of the CA's own, so two of one name overwrite each other.
        name: its common name.
        issuer: who signs it; by default, it signs itself.
        days: when it is valid.
    """

    def __init__(
        self, directory: Path, name: str = "Test CA", *, issuer: "Authority | None" = None, days: Days = (-30, 3650)
    ) -> None:
        self.directory = directory
        self.name = name
        self.issuer = issuer
        self._key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name)
        signer = issuer or self
        builder = (
            _builder(subject, issuer.content.subject if issuer else subject, self._key, days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(_identifier_of(signer._key), critical=False)
        )
        self.content: x509.Certificate = builder.sign(signer._key, hashes.SHA256())
        stem = name.lower().replace(" ", "-")
        self.path = directory / f"{stem}.pem"
        """The PEM file of its certificate: what others trust."""
        self.path.write_bytes(self.content.public_bytes(Encoding.PEM))
        self.key = _write_key(directory / f"{stem}-key.pem", self._key, "")

    def intermediate(self, name: str, *, days: Days = (-30, 3650)) -> "Authority":
        """One that this one has signed. What it issues brings its certificate along."""
        return Authority(self.directory, name, issuer=self, days=days)

    def server(
        self,
        name: str = "server",
        *,
        hosts: tuple[str, ...] = HERE,
        days: Days = (-1, 365),
        key_password: str = "",
        common_name: str = "",
    ) -> Issued:
        """A certificate for a server. Without ``hosts`` it names none but in its common name.

        Args:
            name: that of its files, ``NAME.pem`` and ``NAME-key.pem``.
            hosts: names and IP addresses (Subject Alternative Name).
            days: when it is valid.
            key_password: encrypts the key.
            common_name: by default, the first of the hosts, or the name.
        """
        subject = _subject(common_name or (hosts[0] if hosts else name))
        return self._issue(name, subject, days, ExtendedKeyUsageOID.SERVER_AUTH, hosts=hosts, key_password=key_password)

    def client(
        self,
        common_name: str = "client",
        *,
        name: str = "",
        organization: str = "",
        unit: str = "",
        country: str = "",
        days: Days = (-1, 365),
        key_password: str = "",
    ) -> Issued:
        """A certificate for a client; ``name`` is that of its files, by default the common name."""
        subject = _subject(common_name, organization=organization, unit=unit, country=country)
        oid = ExtendedKeyUsageOID.CLIENT_AUTH
        return self._issue(name or common_name, subject, days, oid, hosts=(), key_password=key_password)

    def crl(self, *revoked: Issued, name: str = "crl", days: Days = (-1, 30)) -> Path:
        """A PEM file that says which of its certificates are revoked."""
        now = datetime.now(UTC)
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.content.subject)
            .last_update(now + timedelta(days=days[0]))
            .next_update(now + timedelta(days=days[1]))
            .add_extension(_identifier_of(self._key), critical=False)
            .add_extension(x509.CRLNumber(1), critical=False)
        )
        for each in revoked:
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(each.content.serial_number)
                .revocation_date(now - timedelta(hours=1))
                .build()
            )
        path = self.directory / f"{name}.pem"
        path.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        return path

    def _issue(
        self,
        name: str,
        subject: x509.Name,
        days: Days,
        purpose: x509.ObjectIdentifier,
        *,
        hosts: tuple[str, ...],
        key_password: str,
    ) -> Issued:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = (
            _builder(subject, self.content.subject, key, days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(_identifier_of(self._key), critical=False)
        )
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            builder = builder.add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        path = self.directory / f"{name}.pem"
        path.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in [certificate, *self._between()]))
        return Issued(path, _write_key(self.directory / f"{name}-key.pem", key, key_password), certificate)

    def _between(self) -> list[x509.Certificate]:
        """From this one to below the one that signed itself, which others have already."""
        return [] if self.issuer is None else [self.content, *self.issuer._between()]


def _subject(common_name: str, *, organization: str = "", unit: str = "", country: str = "") -> x509.Name:
    parts = [
        (NameOID.COUNTRY_NAME, country),
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, common_name),
    ]
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: Days
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=days[0]))
        .not_valid_after(now + timedelta(days=days[1]))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _identifier_of(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey, password: str) -> Path:
    how: KeySerializationEncryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))
    path.chmod(0o600)
    return path
