"""TLS at a listener: contexts, what is wrong with certificates and keys, whom they name, why a handshake failed.

Knows files, OpenSSL's words and what people have to do. Knows no connection: ``doors.py`` does.
"""

import errno
import os
import re
import ssl
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from telex.server.config import ConfigError, Psk, Tls

_DAY: Final = 86_400.0
_WARNING_DAYS: Final = 14  # before a certificate expires: renewals that work happen long before that
_LONGEST_PSK: Final = 256  # bytes: OpenSSL 1.1 takes no more
_NO_CHECK_TIME: Final = 0x200000  # OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python has no name for
_CIPHERS_1_3: Final = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256"  # OpenSSL's choice
_PSK_CIPHERS: Final = "kECDHEPSK:kPSK"  # first those of which a recording cannot be read when the key is known later

T = TypeVar("T")


class Finding(NamedTuple):
    """Something that is wrong with certificates or keys, in a sentence that names the file and the remedy."""

    is_fatal: bool
    """Nothing works with it. Otherwise, some or all clients will refuse it."""
    text: str


# Contexts

farewell: ContextVar[Callable[[bytes], None]] = ContextVar("farewell")
"""Who sends the last bytes of a handshake that fails, if anybody does; of the task that makes the transport."""


class _Session(ssl.SSLObject):
    """One connection's TLS. A peer whose handshake fails is told why: asyncio's transports forget that alert."""

    outgoing: ssl.MemoryBIO

    def do_handshake(self) -> None:
        """Take the handshake on."""
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            send = farewell.get(None)
            if send is not None:
                send(self.outgoing.read())
            raise


class _Context(ssl.SSLContext):
    """Whose connections say why they fail."""

    sslobject_class = _Session

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        """One connection's TLS between two buffers."""
        made = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(made, _Session)  # our sslobject_class
        made.outgoing = outgoing
        return made


def server_context(tls: Tls) -> ssl.SSLContext:
    """What a listener with certificates needs.

    Raises:
        ConfigError: it cannot be made: which file is wrong, and what to do.
    """
    _match(tls, _certificates_in(tls.certificate), _key_of(tls))
    _check_clients(tls)
    return _context(tls)


def _context(tls: Tls) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if tls.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    _set_ciphers(context, tls.ciphers, "ciphers")
    _set_ciphers_1_3(context, tls.ciphers_1_3)
    try:
        # Without a password OpenSSL would ask for one at the terminal.
        context.load_cert_chain(tls.certificate, tls.key or None, lambda: tls.key_password)
    except ssl.SSLError as error:
        raise ConfigError(_why_not_loaded(tls, error)) from error
    if tls.client_ca:
        # Also without client certificates: OpenSSL takes from there what the file of ours lacks of its chain.
        _load_authorities(context, tls)
    if tls.client_certificates != "no":
        _ask_for_certificates(context, tls)
    return context


def _why_not_loaded(tls: Tls, error: ssl.SSLError) -> str:
    reason = error.reason or ""
    if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
        return (
            f"{tls.certificate}: OpenSSL finds it too weak ({_words(reason)}); "
            "make a new one with an EC P-256 or a 2048 bit RSA key and SHA-256"
        )
    return f"{tls.certificate}, {tls.key or tls.certificate}: OpenSSL does not take them ({_words(reason)})"


def _load_authorities(context: ssl.SSLContext, tls: Tls) -> None:
    try:
        if os.path.isdir(tls.client_ca):
            context.load_verify_locations(capath=tls.client_ca)
        else:
            context.load_verify_locations(cafile=tls.client_ca)
    except ssl.SSLError as error:
        raise ConfigError(f"{tls.client_ca}: OpenSSL does not take it ({_words(error.reason or '')})") from error


def _ask_for_certificates(context: ssl.SSLContext, tls: Tls) -> None:
    context.verify_mode = ssl.CERT_REQUIRED if tls.client_certificates == "required" else ssl.CERT_OPTIONAL
    if tls.crl:
        try:
            context.load_verify_locations(cafile=tls.crl)
        except ssl.SSLError as error:
            raise ConfigError(f"{tls.crl}: OpenSSL does not take it ({_words(error.reason or '')})") from error
        context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF
    if not tls.checks_dates:
        context.verify_flags |= _NO_CHECK_TIME
    # A session that is resumed is not verified again: it would outlive the certificate, or its being revoked.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _set_ciphers(context: ssl.SSLContext, ciphers: str, name: str) -> None:
    if ciphers:
        try:
            context.set_ciphers(ciphers)
        except ssl.SSLError as error:
            raise ConfigError(f"{name}: OpenSSL knows none of {ciphers!r}; see `openssl ciphers`") from error


def _set_ciphers_1_3(context: ssl.SSLContext, ciphers: str) -> None:
    if not ciphers or ciphers == _CIPHERS_1_3:
        return
    set_ciphersuites: Callable[[str], None] | None = getattr(context, "set_ciphersuites", None)
    if set_ciphersuites is None:
        raise ConfigError(
            f"ciphers_1_3: the ssl module of Python {_python()} cannot choose them, that of 3.15 can; "
            f"leave it out: they are {_CIPHERS_1_3}"
        )
    try:
        set_ciphersuites(ciphers)
    except ssl.SSLError as error:
        raise ConfigError(
            f"ciphers_1_3: OpenSSL knows none of {ciphers!r}; see `openssl ciphers -s -tls1_3`"
        ) from error


def psk_keys(psk: Psk) -> dict[str, bytes]:
    """Identities and their keys.

    Raises:
        ConfigError: the file cannot be read or used, or this Python's ssl cannot do it.
    """
    if not hasattr(ssl.SSLContext, "set_psk_server_callback"):
        raise ConfigError(f"psk: the ssl module of Python {_python()} cannot do pre-shared keys, that of 3.13 can")
    keys: dict[str, bytes] = {}
    try:
        lines = _read(psk.file, "the file of pre-shared keys").decode().splitlines()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{psk.file}: it is not UTF-8") from error
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        identity, colon, digits = line.strip().partition(":")
        try:
            key = bytes.fromhex(digits)
        except ValueError:
            key = b""
        if not colon or not identity or not 0 < len(key) <= _LONGEST_PSK:
            raise ConfigError(f"{psk.file}:{number}: expected identity:key, the key in hexadecimal digits, 512 at most")
        if identity in keys:
            raise ConfigError(f"{psk.file}:{number}: {identity!r} is there twice")
        keys[identity] = key
    psk_context(psk, keys, lambda identity: None)
    return keys


def psk_context(psk: Psk, keys: dict[str, bytes], identified: Callable[[str], None]) -> ssl.SSLContext:
    """What one connection with a pre-shared key needs; ``identified`` is told which identity the client has.

    Each connection has a context of its own: ssl does not say by which connection it asks for a key.
    """
    context = _Context(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    # Neither resumed sessions nor tickets: those would be without an identity.
    context.options |= ssl.OP_NO_TICKET
    _set_ciphers(context, psk.ciphers or _PSK_CIPHERS, "psk.ciphers")

    def key_of(identity: str | None) -> bytes:
        key = keys.get(identity or "")
        if key is None:
            return b""  # OpenSSL ends the handshake then
        identified(identity or "")
        return key

    set_callback: Callable[..., None] = context.set_psk_server_callback  # type: ignore[attr-defined,unused-ignore]
    set_callback(key_of, psk.hint or None)
    return context


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


# Looking at files


def check(tls: Tls, names: Iterable[str] = (), *, now: float) -> list[Finding]:
    """What is wrong with the files of a listener.

    Args:
        tls: what its description says.
        names: host names and IP addresses that clients will know it by.
        now: seconds since 1970.
    """
    findings: list[Finding] = []
    chain = _attempt(findings, lambda: _certificates_in(tls.certificate))
    key = _attempt(findings, lambda: _key_of(tls)) if tls.key or chain is not None else None  # one sentence for a file
    if chain is not None and key is not None:
        _attempt(findings, lambda: _match(tls, chain, key))
    _attempt(findings, lambda: _check_clients(tls))
    if not findings:
        _attempt(findings, lambda: _context(tls))
    if chain is not None and not findings:  # whose they are is settled
        findings += (Finding(False, text) for text in _about_chain(tls, chain, now))
        findings += (Finding(False, text) for text in _about_server(tls.certificate, chain[0], names))
    if key is not None:
        findings += (Finding(False, text) for text in _about_key_file(tls.key or tls.certificate))
    if tls.client_certificates != "no":
        findings += (Finding(False, text) for text in _about_clients(tls, now))
    return findings


def _attempt(findings: list[Finding], look: Callable[[], T]) -> T | None:
    try:
        return look()
    except ConfigError as error:
        findings.append(Finding(True, str(error)))
        return None


def _read(path: str, what: str) -> bytes:
    if not path:
        raise ConfigError(f"{what} is missing: name a file")
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise ConfigError(f"{path}: {what} is not there") from None
    except PermissionError:
        raise ConfigError(
            f"{path}: {what} cannot be read by the user of this process (uid {_uid()}); "
            "give it to that user, or let a group read it and its directories: not everybody"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path}: {what} cannot be read: {error.strerror}") from None


def _uid() -> str:
    return str(os.geteuid()) if hasattr(os, "geteuid") else os.environ.get("USERNAME", "?")


def _certificates_in(path: str) -> list[x509.Certificate]:
    data = _read(path, "the certificate")
    if b"-----BEGIN CERTIFICATE-----" not in data:
        if b"PRIVATE KEY-----" in data:
            raise ConfigError(f"{path}: it holds a key and no certificate; certificate and key may be swapped")
        raise ConfigError(f"{path}: it holds no PEM certificate{_of_der(data, 'x509', path)}")
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise ConfigError(f"{path}: a certificate in it is damaged; get it again from who issued it") from error


def _of_der(data: bytes, command: str, path: str) -> str:
    return f"; it may be DER: openssl {command} -inform der -in {path} -out NEW.pem" if data[:1] == b"\x30" else ""


def _key_of(tls: Tls) -> PrivateKeyTypes:
    path = tls.key or tls.certificate
    data = _read(path, "the key")
    if b"PRIVATE KEY-----" not in data:
        if b"-----BEGIN CERTIFICATE-----" in data:
            remedy = "certificate and key may be swapped" if tls.key else "name the file of the key"
            raise ConfigError(f"{path}: it holds a certificate and no key; {remedy}")
        raise ConfigError(f"{path}: it holds no PEM key{_of_der(data, 'pkey', path)}")
    block = data[data.index(b"-----BEGIN", max(0, data.index(b"PRIVATE KEY-----") - 30)) :]
    is_encrypted = b"BEGIN ENCRYPTED" in block or b"Proc-Type: 4,ENCRYPTED" in block
    if is_encrypted and not tls.key_password:
        raise ConfigError(
            f"{path}: the key is encrypted; give key_password, or decrypt it: openssl pkey -in {path} -out NEW.pem"
        )
    try:
        return load_pem_private_key(block, tls.key_password.encode() if is_encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        wrong = "it cannot be decrypted: key_password is wrong, or it is damaged" if is_encrypted else "it is damaged"
        raise ConfigError(f"{path}: the key is of no use: {wrong}") from None


def _match(tls: Tls, chain: list[x509.Certificate], key: PrivateKeyTypes) -> None:
    ours = _public(key)
    matching = [index for index, each in enumerate(chain) if _public(each) == ours]
    if 0 in matching:
        return
    if matching:
        raise ConfigError(
            f"{tls.certificate}: the key in {tls.key or tls.certificate} belongs to the certificate at place "
            f"{matching[0] + 1}, not to the first; put the server's certificate first"
        )
    raise ConfigError(
        f"{tls.key or tls.certificate}: the key does not belong to the certificate of {_name(chain[0].subject)} in "
        f"{tls.certificate}; they must be of one pair"
    )


def _public(owner: x509.Certificate | PrivateKeyTypes) -> bytes:
    return owner.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _about_chain(tls: Tls, chain: list[x509.Certificate], now: float) -> Iterator[str]:
    path = tls.certificate
    for certificate in chain:
        yield from _about_dates(path, certificate, now)
    for index in range(len(chain) - 1):
        if not _has_issued(chain[index + 1], chain[index]):
            if any(_has_issued(each, chain[index]) for each in chain):
                wrong = "stands elsewhere in the file; put each certificate in front of the one that signed it"
            elif chain[index].subject == chain[index].issuer:
                wrong = "is itself; nothing may follow it"
            else:
                wrong = "is missing; put it there"
            yield (
                f"{path}: the certificates are not in order: after that of {_name(chain[index].subject)}, "
                f"that of its issuer {_name(chain[index].issuer)} {wrong}"
            )
            return
    last = chain[-1]
    if len(chain) == 1 and last.subject != last.issuer and not tls.client_ca and _is_public(last):
        yield (
            f"{path}: the chain is incomplete: the certificate of the issuer {_name(last.issuer)} is missing, "
            "and clients have only those above it; use the file with the full chain (fullchain.pem)"
        )


def _has_issued(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _is_public(certificate: x509.Certificate) -> bool:
    """Whether it says where its issuer's certificate can be fetched. Public CAs do, and sign by one in between."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return any(each.access_method == AuthorityInformationAccessOID.CA_ISSUERS for each in found)


def _about_dates(path: str, certificate: x509.Certificate, now: float) -> Iterator[str]:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    whose = f"{path}: the certificate of {_name(certificate.subject)}"
    if now < begins.timestamp():
        yield f"{whose} is not valid before {_shown(begins)}; is the clock of this machine right?"
    elif now > ends.timestamp():
        yield f"{whose} expired at {_shown(ends)}; renew it"
    elif now > ends.timestamp() - _WARNING_DAYS * _DAY:
        yield f"{whose} expires at {_shown(ends)}; renew it in time"


def _shown(when: datetime) -> str:
    return when.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _about_server(path: str, certificate: x509.Certificate, names: Iterable[str]) -> Iterator[str]:
    try:
        extensions = certificate.extensions
    except ValueError:
        yield f"{path}: the extensions of the certificate are damaged; get it again from who issued it"
        return
    try:
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        pass
    else:
        if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE} & set(purposes):
            yield f"{path}: the certificate is not for servers (no serverAuth in its Extended Key Usage)"
    try:
        offered = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        yield (
            f"{path}: the certificate names no host (no Subject Alternative Name), and clients today look at nothing "
            "else; get one with the names and addresses that clients connect to"
        )
        return
    hosts = offered.get_values_for_type(x509.DNSName)
    addresses = [str(each) for each in offered.get_values_for_type(x509.IPAddress)]
    for name in names:
        if not _is_named(name, hosts, addresses):
            yield (
                f"{path}: the certificate is not for {name}, but for {', '.join([*hosts, *addresses]) or 'no host'}; "
                f"clients that connect to {name} will refuse it"
            )


def _is_named(name: str, hosts: list[str], addresses: list[str]) -> bool:
    try:
        return str(ip_address(name)) in addresses
    except ValueError:
        pass
    name = name.rstrip(".").lower()
    above = name.partition(".")[2]
    return any(host.lower() == name or (above and host.lower() == f"*.{above}") for host in hosts)


def _about_key_file(path: str) -> Iterator[str]:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return  # that it cannot be read was said already
    if os.name == "posix" and mode & stat.S_IROTH:
        yield f"{path}: everybody on this machine may read the key; chmod o-r {path}"


def _check_clients(tls: Tls) -> None:
    if tls.client_ca and not os.path.isdir(tls.client_ca):
        _certificates_in(tls.client_ca)
    if tls.client_certificates == "no":
        for name, value in (("user_from", tls.user_from), ("crl", tls.crl)):
            if value:
                raise ConfigError(f'tls.{name} needs client_certificates = "required" (or "optional")')
        return
    if not tls.client_ca:
        raise ConfigError("tls.client_certificates needs client_ca: the file of the CA that signed them")
    if tls.crl:
        _crl_in(tls.crl)


def _crl_in(path: str) -> x509.CertificateRevocationList:
    data = _read(path, "the list of revoked certificates")
    if b"-----BEGIN X509 CRL-----" not in data:
        raise ConfigError(f"{path}: it holds no PEM list of revoked certificates{_of_der(data, 'crl', path)}")
    try:
        return x509.load_pem_x509_crl(data)
    except ValueError as error:
        raise ConfigError(f"{path}: the list of revoked certificates is damaged; get it again") from error


def _about_clients(tls: Tls, now: float) -> Iterator[str]:
    issuers: list[x509.Certificate] = []
    if os.path.isdir(tls.client_ca):
        if not any(re.fullmatch(r"[0-9a-f]{8}\.\d+", name) for name in os.listdir(tls.client_ca)):
            yield f"{tls.client_ca}: OpenSSL finds no certificate there; openssl rehash {tls.client_ca}"
    elif os.access(tls.client_ca, os.R_OK):
        try:
            issuers = _certificates_in(tls.client_ca)
        except ConfigError:
            return  # said already
        for certificate in issuers:
            yield from _about_dates(tls.client_ca, certificate, now)
    if not tls.crl:
        return
    try:
        crl = _crl_in(tls.crl)
    except ConfigError:
        return  # said already
    if crl.next_update_utc is not None and now > crl.next_update_utc.timestamp() and tls.checks_dates:
        yield (
            f"{tls.crl}: the list of revoked certificates was to be renewed by {_shown(crl.next_update_utc)}; "
            "until it is, every client certificate is refused"
        )
    if issuers and all(each.subject != crl.issuer for each in issuers):
        yield (
            f"{tls.crl}: the list of revoked certificates is of {_name(crl.issuer)}, whose certificate is not in "
            f"{tls.client_ca}; every client certificate is refused without a list of its own CA"
        )


# Files that change


class Files:
    """Whether files of a listener were renewed on disk. Asked now and then; each change is told once."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._paths = [path for path in paths if path]
        self._told = self._seen = self._look()

    def changed(self) -> bool:
        """Whether they are others than when this last said so, and have been the same for two looks.

        Two looks: who renews a certificate and its key writes one after the other.
        """
        found = self._look()
        is_resting, self._seen = found == self._seen, found
        if found == self._told or not is_resting:
            return False
        self._told = found
        return True

    def _look(self) -> list[tuple[int, int, int] | None]:
        return [_fingerprint(path) for path in self._paths]


def _fingerprint(path: str) -> tuple[int, int, int] | None:
    """What tells a renewed file. Of a directory, it tells that files came, went or were replaced."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def files_of(tls: Tls | None, psk: Psk | None) -> Files:
    """Those that a listener's description names."""
    paths = [] if psk is None else [psk.file]
    if tls is not None:
        paths += [tls.certificate, tls.key, tls.client_ca, tls.crl]
    return Files(paths)


# Whom a certificate names

# OpenSSL's short names; those that are not here are written as numbers, as OpenSSL does with what it does not know.
_SHORT_NAMES: Final = {
    NameOID.BUSINESS_CATEGORY: "businessCategory",
    NameOID.COMMON_NAME: "CN",
    NameOID.COUNTRY_NAME: "C",
    NameOID.DN_QUALIFIER: "dnQualifier",
    NameOID.DOMAIN_COMPONENT: "DC",
    NameOID.EMAIL_ADDRESS: "emailAddress",
    NameOID.GENERATION_QUALIFIER: "generationQualifier",
    NameOID.GIVEN_NAME: "GN",
    NameOID.INITIALS: "initials",
    NameOID.JURISDICTION_COUNTRY_NAME: "jurisdictionC",
    NameOID.JURISDICTION_LOCALITY_NAME: "jurisdictionL",
    NameOID.JURISDICTION_STATE_OR_PROVINCE_NAME: "jurisdictionST",
    NameOID.LOCALITY_NAME: "L",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OU",
    NameOID.ORGANIZATION_IDENTIFIER: "organizationIdentifier",
    NameOID.ORGANIZATION_NAME: "O",
    NameOID.POSTAL_ADDRESS: "postalAddress",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.PSEUDONYM: "pseudonym",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.STATE_OR_PROVINCE_NAME: "ST",
    NameOID.STREET_ADDRESS: "street",
    NameOID.SURNAME: "SN",
    NameOID.TITLE: "title",
    NameOID.UNSTRUCTURED_NAME: "unstructuredName",
    NameOID.USER_ID: "UID",
    NameOID.X500_UNIQUE_IDENTIFIER: "x500UniqueIdentifier",
}


def user_of(certificate: bytes, user_from: str) -> str:
    """The user whom a client's certificate names; empty if none.

    Args:
        certificate: its DER.
        user_from: ``cn``, the first common name; ``subject``, the whole subject, as Mosquitto writes it.
    """
    try:
        subject = x509.load_der_x509_certificate(certificate).subject
    except ValueError:
        return ""
    if user_from == "subject":
        return subject_text(subject)
    names = [str(each.value) for each in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names[0] if names and "\0" not in names[0] else ""


def subject_text(name: x509.Name) -> str:
    """A name as OpenSSL writes it by RFC 2253 (``XN_FLAG_RFC2253``): ``CN=alice,O=Telex``."""
    text = ""
    for group in reversed(name.rdns):
        parts = [_attribute_text(each) for each in reversed(list(group))]
        text += "," * bool(text) + "+".join(parts)
    return text


def _attribute_text(attribute: x509.NameAttribute[str | bytes]) -> str:
    short = _SHORT_NAMES.get(attribute.oid)
    if short is None or isinstance(attribute.value, bytes):
        return f"{short or attribute.oid.dotted_string}=#{_value_der(attribute).hex().upper()}"
    return f"{short}={_escaped(attribute.value)}"


def _escaped(value: str) -> str:
    text = ""
    for index, byte in enumerate(data := value.encode()):
        if byte < 0x20 or byte >= 0x7F:
            text += f"\\{byte:02X}"
        elif byte in b',+"\\<>;' or (index == 0 and byte in b"# ") or (index == len(data) - 1 and byte == 0x20):
            text += f"\\{byte:c}"
        else:
            text += chr(byte)
    return text


def _value_der(attribute: x509.NameAttribute[str | bytes]) -> bytes:
    """The value of an attribute as it is in the certificate: what follows the type in SEQUENCE, SET, SEQUENCE."""
    der = x509.Name([attribute]).public_bytes()
    for _ in range(3):
        der = _contents(der)[0]
    return _contents(der)[1]


def _contents(der: bytes) -> tuple[bytes, bytes]:
    """The contents of the first value in DER, and what follows it."""
    length, start = der[1], 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(der[2:start], "big")
    return der[start : start + length], der[start + length :]


def _name(name: x509.Name) -> str:
    """For people: the common name alone, if there is one."""
    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return repr(str(names[0].value)) if names else repr(subject_text(name))


# Why a handshake failed

_TLS: Final = (0x16, 0x15)  # the first byte of TLS: a record of a handshake, or of an alert
_CONNECT: Final = 0x10  # the first byte of MQTT

_REASONS: Final = {
    "HTTP_REQUEST": "it speaks HTTP without TLS on a port for TLS; use https or wss",
    "HTTPS_PROXY_REQUEST": "it took this port for that of an HTTP proxy",
    "UNSUPPORTED_PROTOCOL": "no shared version of TLS: the client offers only older ones than this listener takes",
    "VERSION_TOO_LOW": "no shared version of TLS: the client offers only older ones than this listener takes",
    "NO_SHARED_CIPHER": "no shared cipher: the client offers none of those that this listener takes",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "no shared signature algorithm: the client cannot verify our certificate",
    "NO_SUITABLE_KEY_SHARE": "no shared group for the exchange of keys",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client sent no certificate, and this listener requires one",
    "PSK_IDENTITY_NOT_FOUND": "the client's pre-shared key has an identity that is not in the file of keys",
    "DECRYPTION_FAILED_OR_BAD_RECORD_MAC": "what the client sent cannot be decrypted: is its pre-shared key another?",
    "DIGEST_CHECK_FAILED": "what the client sent cannot be verified: is its pre-shared key another?",
    "UNEXPECTED_EOF_WHILE_READING": "the client closed the connection during the handshake",
}

_ALERTS: Final = {
    "UNKNOWN_CA": "the client does not trust our certificate: it does not know the CA that signed it",
    "BAD_CERTIFICATE": "the client does not take our certificate: wrong, or not for the name it connected to",
    "CERTIFICATE_UNKNOWN": "the client does not trust our certificate, or it is not for the name it connected to",
    "CERTIFICATE_EXPIRED": "the client finds our certificate expired",
    "CERTIFICATE_REVOKED": "the client finds our certificate revoked",
    "UNSUPPORTED_CERTIFICATE": "the client does not take certificates like ours",
    "PROTOCOL_VERSION": "no shared version of TLS: the client wants another one than this listener has",
    "HANDSHAKE_FAILURE": "the client found nothing shared in versions, ciphers or keys",
    "INSUFFICIENT_SECURITY": "the client finds what this listener offers too weak",
    "UNKNOWN_PSK_IDENTITY": "the client has another pre-shared key",
    "DECRYPT_ERROR": "the client could not verify what we sent: is its pre-shared key another?",
    "USER_CANCELLED": "the client gave up",
}

_VERIFY_CODES: Final = {
    3: "there is no list of revoked certificates of the CA that signed the client's certificate",
    9: "the client's certificate is not yet valid",
    10: "the client's certificate is expired",
    12: "our list of revoked certificates is too old; renew it",
    23: "the client's certificate is revoked",
    26: "the client's certificate is not for clients (no clientAuth in its Extended Key Usage)",
}
_UNKNOWN_ISSUER: Final = (2, 18, 19, 20, 21, 24, 27)
"""X509_V_ERR_ of certificates whose way to a CA in ``client_ca`` is not found."""


def no_tls(start: bytes) -> str:
    """What the first bytes of a connection are instead of TLS; empty if they may be TLS."""
    if not start or start[0] in _TLS or (start[0] & 0x80 and start[2:3] == b"\x01"):  # the last: SSL 2, long gone
        return ""
    if start[0] == _CONNECT:
        return "it speaks MQTT without TLS on a port for TLS"
    if re.match(rb"(GET|HEAD|POST|PUT|OPTIONS|PATCH|DELETE|CONNECT|PRI) ", start):
        return _REASONS["HTTP_REQUEST"]
    if start.startswith((b"PROXY ", b"\r\n\r\n\0\r\n")):
        return "it speaks the PROXY protocol; set proxy_protocol for this listener"
    return "it speaks no TLS on a port for TLS"


def explain(error: BaseException) -> str:
    """Why a handshake failed, for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _UNKNOWN_ISSUER:
            return f"the client's certificate is signed by an unknown CA ({error.verify_message})"
        return _VERIFY_CODES.get(error.verify_code, f"the client's certificate is refused: {error.verify_message}")
    if isinstance(error, ssl.SSLError):
        return _explain_reason(error.reason or "")
    if isinstance(error, ConnectionAbortedError | TimeoutError):
        return "it did not finish the handshake in time"
    if isinstance(error, ConnectionError) or getattr(error, "errno", None) == errno.EPIPE:
        return "the client closed the connection during the handshake"
    return f"the handshake failed: {error}"


def _explain_reason(reason: str) -> str:
    if reason in _REASONS:
        return _REASONS[reason]
    if reason in ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "BAD_RECORD_TYPE", "PACKET_LENGTH_TOO_LONG"):
        return "it speaks no TLS on a port for TLS; is the client set up for plain MQTT?"
    alert = re.fullmatch(r"(?:TLSV1|TLSV13|SSLV3)_ALERT_(.+)", reason)
    if alert is not None:
        return _ALERTS.get(alert[1], f"the client ended the handshake: {_words(alert[1])}")
    return f"the handshake failed: {_words(reason)}"


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower() or "it does not say why"
