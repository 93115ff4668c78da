"""``telex tls``: makes certificates (a CA, servers, clients), and shows what is in such files.

Knows the files of one directory and the lines that brokers and clients need to use them.
"""

import argparse
import ipaddress
import json
import os
import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519
from cryptography.hazmat.primitives.asymmetric.types import (
    CertificateIssuerPrivateKeyTypes,
    CertificatePublicKeyTypes,
    PrivateKeyTypes,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from telex.cli.main import Parser, fail, number
from telex.server.config import Tls
from telex.server.tls import check, subject_text

CA_DAYS: Final = 3650
"""How long a new CA lasts: what trusts it has to be changed by hand when it ends."""

MAX_DAYS: Final = 824
"""The longest that Apple's systems accept for a server, also if its CA is one's own (support.apple.com/103769):
825, one of which is the day before."""

_HERE: Final = ("localhost", "127.0.0.1", "::1")
_BACKDATED: Final = timedelta(days=1)  # for clients whose clocks are slow
_LONGEST_COMMON_NAME: Final = 64  # characters (RFC 5280, ub-common-name)
_PORT: Final = 8883
_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_LABEL: Final = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME: Final = re.compile(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", re.IGNORECASE)


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code."""
    parser = Parser(prog="telex tls", description="Make certificates for TLS, and look into them.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    init = commands.add_parser(
        "init",
        help="make a CA, a server certificate and client certificates",
        description="Issue certificates in a directory: a CA if there is none yet, one for a server, and any number "
        "for clients. Keys that are there are used and never replaced; run the same line again to renew certificates.",
    )
    init.add_argument(
        "names",
        nargs="*",
        type=server_name,
        metavar="NAME",
        help="a DNS name or IP address of the server, as clients say it; its files bear the first one",
    )
    init.add_argument(
        "--client",
        dest="clients",
        action="append",
        type=client_name,
        default=[],
        metavar="NAME",
        help="a certificate for a client; a broker may take NAME as user name; may be given again",
    )
    init.add_argument("--only", action="store_true", help=f"without {', '.join(_HERE)}, which are added otherwise")
    init.add_argument("--dir", type=Path, default=Path("tls"), metavar="DIR", help="where all files go (./tls)")
    init.add_argument(
        "--days",
        type=number(1, MAX_DAYS),
        default=MAX_DAYS,
        metavar="N",
        help=f"how long the certificates are valid; Apple's systems take no longer ones ({MAX_DAYS})",
    )
    show = commands.add_parser(
        "show",
        help="print names, dates and issuers, and which key belongs to which certificate",
        description="Print what is in PEM files of certificates and keys, and what of it belongs together.",
    )
    show.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a PEM file")
    options = parser.parse_args(arguments)
    now = datetime.now(UTC).replace(microsecond=0)
    try:
        if options.command == "show":
            return _show(options.files, now)
        return _init(options, now)
    except CertificateError as error:
        return fail(str(error))
    except BrokenPipeError:  # `telex tls show | head`
        raise
    except OSError as error:
        return fail(f"{error.filename}: {error.strerror}")


class CertificateError(ValueError):
    """A file that cannot be used, and what to do about it."""


def server_name(text: str) -> str:
    """A DNS name or an IP address, in its usual form; a type for argparse."""
    with suppress(ValueError):
        if "%" not in text:  # a zone is a matter of one machine
            return str(ipaddress.ip_address(text))
    if not text.isascii():
        raise argparse.ArgumentTypeError(f"{text!r}: write it as DNS does, with xn--")
    looks_like_address = text.rpartition(".")[2].isdigit()
    if not _NAME.fullmatch(text) or looks_like_address or len(text) > 253:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a DNS name nor an IP address, without port")
    return text.lower()


def client_name(text: str) -> str:
    """A name for a client certificate; a type for argparse.

    It is part of a file's name, and a user name, which may stand in topics of access rules.
    """
    if not re.fullmatch(r"[\w.@ -]+", text) or text != text.strip() or len(text) > _LONGEST_COMMON_NAME:
        raise argparse.ArgumentTypeError(f"{text!r}: at most 64 letters, digits and any of . @ _ - are a client's name")
    return text


# Making


@dataclass(frozen=True)
class Files:
    """Where a certificate and its key are."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Authority:
    """A CA and its key."""

    files: Files
    certificate: x509.Certificate
    key: CertificateIssuerPrivateKeyTypes
    is_new: bool = False


def _init(options: argparse.Namespace, now: datetime) -> int:
    if not options.names and not options.clients:
        return fail("name the server as its clients do, e.g.: telex tls init broker.example.org 192.168.1.7")
    directory: Path = options.dir
    directory.mkdir(parents=True, exist_ok=True)
    authority = _authority(directory, now)
    said = "a new CA" if authority.is_new else "the CA that was there"
    print(f"{authority.files.certificate}: {said}, until {_day(authority.certificate.not_valid_after_utc)}")
    if authority.is_new:
        print(f"{authority.files.key}: keep it secret; who has it can pretend to be any server or client")
    until = now + timedelta(days=options.days)
    server: Files | None = None
    if options.names:
        names = list(dict.fromkeys([*options.names, *(() if options.only else _HERE)]))
        server = _files(directory, f"server-{_file_name(names[0])}")
        lost = [name for name in _issued_before(authority, server) if name not in names]
        issued = _issue(authority, server, names[0], names, now, until)
        print(f"{server.certificate}: for {', '.join(names)}; until {_day(issued.not_valid_after_utc)}")
        if lost:
            print(f"{server.certificate}: no longer for {', '.join(lost)}")
    clients = {name: _files(directory, f"client-{name}") for name in dict.fromkeys(options.clients)}
    for name, files in clients.items():
        _issued_before(authority, files)
        issued = _issue(authority, files, name, [], now, until)
        print(f"{files.certificate}: for the client {name}; until {_day(issued.not_valid_after_utc)}")
    host = next((name for name in options.names if "*" not in name), "HOST")
    print()
    print("\n".join(_usage(authority.files.certificate, server, list(clients.values()), host)))
    return 0


def _files(directory: Path, stem: str) -> Files:
    return Files(directory / f"{stem}.crt", directory / f"{stem}.key")


def _file_name(name: str) -> str:
    """A server's name as files may have it everywhere."""
    return name.replace("*", "wildcard").replace(":", "-")


def _authority(directory: Path, now: datetime) -> Authority:
    """The CA of a directory; it is made if there is none."""
    files = _files(directory, "ca")
    if not files.certificate.exists() and not files.key.exists():
        return _new_authority(files, now)
    for path in (files.certificate, files.key):
        if not path.exists():
            raise CertificateError(f"{path} is missing, and the other file of its CA is there: bring it back")
    certificate = _certificates(files.certificate)[0]
    key = _key(files.key)
    if not _belong_together(certificate, key):
        raise CertificateError(f"{files.key} is not the key of {files.certificate}: bring the right one back")
    if certificate.issuer != certificate.subject or not _is_authority(certificate):
        raise CertificateError(f"{files.certificate} is not the certificate of a CA: choose another place with --dir")
    if certificate.not_valid_after_utc <= now:
        expired = f"{files.certificate} expired on {_day(certificate.not_valid_after_utc)}"
        raise CertificateError(f"{expired}: make a new CA elsewhere, with --dir")
    # A certificate signs itself with no other kind of key.
    return Authority(files, certificate, cast(CertificateIssuerPrivateKeyTypes, key))


def _new_authority(files: Files, now: datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    # Each has a name of its own: two of one name and with different keys drive whoever has both to despair.
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    subject = _subject(f"Telex CA {identifier.digest.hex()[:8]}")
    builder = _builder(subject, subject, key.public_key(), now, now + timedelta(days=CA_DAYS))
    certificate = (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_new_key(files.key, key)
    _write(files.certificate, certificate)
    return Authority(files, certificate, key, is_new=True)


def _issued_before(authority: Authority, files: Files) -> list[str]:
    """The names in the certificate that is to be renewed, if there is one.

    Raises:
        CertificateError: it is not for us to replace.
    """
    if not files.certificate.exists():
        return []
    certificate = _certificates(files.certificate)[0]
    if not _is_issued_by(certificate, authority.certificate):
        raise CertificateError(
            f"{files.certificate} is there, and not of {authority.files.certificate}: move it away first"
        )
    if not files.key.exists():
        raise CertificateError(f"{files.certificate} is there without {files.key}: bring it back, or move both away")
    return names_of(certificate)


def _issue(
    authority: Authority, files: Files, common_name: str, names: list[str], now: datetime, until: datetime
) -> x509.Certificate:
    """Write a certificate for a server with these names, or for a client if there are none."""
    if files.key.exists():
        public_key = cast(CertificatePublicKeyTypes, _key(files.key).public_key())  # x509 refuses others
    else:
        key = ec.generate_private_key(ec.SECP256R1())
        _write_new_key(files.key, key)
        public_key = key.public_key()
    until = min(until, authority.certificate.not_valid_after_utc)  # nobody trusts it for longer
    purpose = ExtendedKeyUsageOID.SERVER_AUTH if names else ExtendedKeyUsageOID.CLIENT_AUTH
    # Names count where they are all together; the common name is for people, and not for long names.
    subject = _subject(common_name if len(common_name) <= _LONGEST_COMMON_NAME else "MQTT broker")
    builder = (
        _builder(subject, authority.certificate.subject, public_key, now, until)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_issuer_identifier(authority.certificate), critical=False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
    has_own_hash = isinstance(authority.key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    certificate = builder.sign(authority.key, None if has_own_hash else hashes.SHA256())
    _write(files.certificate, certificate)
    return certificate


def _subject(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(
    subject: x509.Name, issuer: x509.Name, public_key: CertificatePublicKeyTypes, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _issuer_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        public_key = issuer.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(public_key)  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
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


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _write_new_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    """Write a key that only its owner can read, where no file is."""
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _write(path: Path, certificate: x509.Certificate) -> None:
    """Write a certificate so that a broker which looks meanwhile sees the old one or the new one."""
    new = path.with_name(path.name + ".new")
    new.write_bytes(certificate.public_bytes(Encoding.PEM))
    new.replace(path)


# What to do with them


def _usage(ca: Path, server: Files | None, clients: list[Files], host: str) -> list[str]:
    """The lines to use at both ends."""
    toml = ["[listeners.tls]"]
    conf: list[str] = []
    if server is not None:
        toml = ["[[listeners]]", f"port = {_PORT}", "[listeners.tls]"]
        toml += [f"certificate = {_quoted(server.certificate)}", f"key = {_quoted(server.key)}"]
        conf += [f"listener {_PORT}", f"certfile {server.certificate.absolute()}"]
        conf += [f"keyfile {server.key.absolute()}"]
    if clients:
        toml += ['client_certificates = "required"', f"client_ca = {_quoted(ca)}", 'user_from = "cn"']
        conf += [f"cafile {ca.absolute()}", "require_certificate true", "use_identity_as_username true"]
    else:
        conf.append("# and who may come in: password_file FILE, or allow_anonymous true")
    lines = ["The broker, in telex.toml:", *_indented(toml), "", "The broker, in mosquitto.conf:", *_indented(conf)]
    if server is not None:
        # Seen with 2.0.11: "Unable to load server key file ... Permission denied", though root started it.
        lines += _indented(["# Mosquitto reads the key as the user that it runs as; if root starts it:"])
        lines += _indented([f"# chown mosquitto {_word(server.key)}"])
    if not clients:
        lines += ["", "A client, which needs that file of the CA:", *_indented(_client_usage(ca, None, host))]
    for client in clients:
        name = client.certificate.stem.removeprefix("client-")
        lines += ["", f"The client {name}, which needs these files:", *_indented(_client_usage(ca, client, host))]
    return lines


def _client_usage(ca: Path, client: Files | None, host: str) -> list[str]:
    flags = f"--cafile {_word(ca)}"
    paths = {"ca_file": ca}
    if client is not None:
        flags += f" --cert {_word(client.certificate)} --key {_word(client.key)}"
        paths |= {"certificate": client.certificate, "key": client.key}
    words = ", ".join(_quoted(path) for path in paths.values())
    named = ", ".join(f"{name}={_quoted(path)}" for name, path in paths.items())
    address = json.dumps(f"mqtts://[{host}]" if ":" in host else f"mqtts://{host}")
    return [
        f"telex doctor {host} -p {_PORT} {flags}",
        f"telex sub -h {host} {flags} -t '#' -v",
        f"mosquitto_sub -h {host} -p {_PORT} {flags} -t '#' -v",
        f"telex: telex.Client({address}, tls=telex.ClientTls({named}))",
        f"paho: client.tls_set({words}); client.connect({json.dumps(host)}, {_PORT})",
    ]


def _indented(lines: list[str]) -> list[str]:
    return [f"  {line}" for line in lines]


def _quoted(path: Path) -> str:
    """A path as TOML and Python say it."""
    return json.dumps(str(path.absolute()), ensure_ascii=False)


def _word(path: Path) -> str:
    """A path as a shell says it."""
    return shlex.quote(str(path.absolute()))


# Looking


@dataclass
class Content:
    """What is in a PEM file."""

    path: Path
    certificates: list[x509.Certificate] = field(default_factory=list)
    keys: list[PrivateKeyTypes] = field(default_factory=list)
    locked_keys: int = 0  # those with a password


def _show(paths: list[Path], now: datetime) -> int:
    contents = [read(path) for path in paths]
    problems: list[str] = []
    for content in contents:
        print(content.path)
        for certificate in content.certificates:
            print("\n".join(_indented(_described(certificate, contents, now))))
        for key in content.keys:
            owners = [c.path for c in contents if any(_belong_together(each, key) for each in c.certificates)]
            print(f"  key          {_kind(key)}; of {', '.join(map(str, owners)) or 'none of the certificates here'}")
            if not owners and any(c.certificates for c in contents):
                problems.append(f"{content.path}: the key belongs to none of the certificates here")
        for _ in range(content.locked_keys):
            print("  key          with a password: nobody can see what it belongs to")
        problems += _problems(content, contents, now)
    for problem in dict.fromkeys(problems):
        fail(problem)
    return 1 if problems else 0


def _problems(content: Content, contents: list[Content], now: datetime) -> list[str]:
    """What is wrong with certificates; those of servers whose keys are here are looked at as a broker does."""
    first = content.certificates[0] if content.certificates else None
    if first is not None and names_of(first):
        keys = [str(c.path) for c in contents if any(_belong_together(first, key) for key in c.keys)]
        if keys:
            tls = Tls(certificate=str(content.path), key=keys[0])
            return [finding.text for finding in check(tls, now=now.timestamp())]
    found = [(subject_text(each.subject), date_problem(each, now)) for each in content.certificates]
    return [f"{content.path}: the certificate of {name} {problem}" for name, problem in found if problem]


def _described(certificate: x509.Certificate, contents: list[Content], now: datetime) -> list[str]:
    names = names_of(certificate)
    left = (certificate.not_valid_after_utc - now).days
    validity = f"{_day(certificate.not_valid_before_utc)} until {_day(certificate.not_valid_after_utc)}"
    issuers = [
        f" ({content.path})"
        for content in contents
        for each in content.certificates
        if _is_issued_by(certificate, each) and each != certificate
    ]
    issuer = subject_text(certificate.issuer) + "".join(issuers[:1])
    keys = [str(c.path) for c in contents if any(_belong_together(certificate, key) for key in c.keys)]
    return [
        f"certificate  {subject_text(certificate.subject)}{', a CA' if _is_authority(certificate) else ''}",
        *([f"for          {', '.join(names)}"] if names else []),
        f"valid        {validity}; it {date_problem(certificate, now) or f'has {left} days left'}",
        f"issued by    {'itself' if _is_issued_by(certificate, certificate) else issuer}",
        *([f"key          {', '.join(keys)}"] if keys else []),
    ]


def read(path: Path) -> Content:
    """The certificates and keys of a PEM file.

    Raises:
        CertificateError: there are none, or one cannot be read.
        OSError: the file cannot be read.
    """
    content = Content(path)
    for block in _BLOCK.finditer(path.read_bytes()):
        try:
            if block[1] == b"CERTIFICATE":
                certificate = x509.load_pem_x509_certificate(block[0])
                names_of(certificate)  # extensions are read here, or never
                content.certificates.append(certificate)
            elif block[1].endswith(b"PRIVATE KEY"):
                content.keys.append(load_pem_private_key(block[0], None))
        except TypeError:
            content.locked_keys += 1
        except ValueError:
            raise CertificateError(f"{path}: its {block[1].decode().lower()} is damaged: make it anew") from None
    if not content.certificates and not content.keys and not content.locked_keys:
        raise CertificateError(f"{path}: there is neither a certificate nor a key in it (PEM)")
    return content


def _certificates(path: Path) -> list[x509.Certificate]:
    certificates = read(path).certificates
    if not certificates:
        raise CertificateError(f"{path}: there is no certificate in it")
    return certificates


def _key(path: Path) -> PrivateKeyTypes:
    content = read(path)
    if content.locked_keys:
        raise CertificateError(f"{path}: the key has a password; telex tls init wants one without")
    if not content.keys:
        raise CertificateError(f"{path}: there is no key in it")
    return content.keys[0]


def names_of(certificate: x509.Certificate) -> list[str]:
    """The DNS names and IP addresses that a certificate is for."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]


def date_problem(certificate: x509.Certificate, now: datetime) -> str:
    """``expired on 2026-11-23``, ``is not valid before 2026-11-23``, or nothing."""
    if certificate.not_valid_after_utc < now:
        return f"expired on {_day(certificate.not_valid_after_utc)}"
    if certificate.not_valid_before_utc > now:
        return f"is not valid before {_day(certificate.not_valid_before_utc)}"
    return ""


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _belong_together(certificate: x509.Certificate, key: PrivateKeyTypes) -> bool:
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return certificate.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def _kind(key: PrivateKeyTypes) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return f"EC {key.curve.name}"
    kind = type(key).__name__.lstrip("_").removesuffix("PrivateKey")
    size = getattr(key, "key_size", None)
    return kind if size is None else f"{kind} {size}"


def _day(when: datetime) -> str:
    return when.date().isoformat()
