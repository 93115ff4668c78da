"""TLS of a client: whom it trusts, who it is, and what is wrong when a handshake fails.

Knows files, OpenSSL's words and what people have to do. Knows no connection: ``dialing.py`` does.
"""

import os
import re
import ssl
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from telex.errors import NotConnected, Untrusted

if TYPE_CHECKING:
    from cryptography import x509

_VERSIONS: Final = {
    "": ssl.TLSVersion.TLSv1_2,
    "1.2": ssl.TLSVersion.TLSv1_2,
    "1.3": ssl.TLSVersion.TLSv1_3,
    "tlsv1.2": ssl.TLSVersion.TLSv1_2,
    "tlsv1.3": ssl.TLSVersion.TLSv1_3,
}
_LONGEST_PSK: Final = 256  # bytes: OpenSSL 1.1 takes no more
_PSK_CIPHERS: Final = "kECDHEPSK:kPSK"  # first those of which a recording cannot be read when the key is known later

_GIVE_FILE: Final = "with ClientTls(ca_file=...), --cafile on the command line"
_GIVE_CERTIFICATE: Final = "give yours with ClientTls(certificate=..., key=...), --cert and --key on the command line"


class ClientTls:
    """How a client speaks TLS. With nothing said, it trusts whom this system trusts, and has no certificate.

    Args:
        ca_file: PEM file with the CA certificates that are trusted, in place of the system's.
        ca_path: a directory with such files, as of ``openssl rehash``.
        certificate: PEM file with our certificate, and what is between it and its CA.
        key: PEM file with its key, if that is in a file of its own.
        key_password: decrypts the key.
        server_name: the name that the broker's certificate must have, in place of the address's host.
        insecure: a certificate of a trusted CA is enough, whatever name it has.
        alpn: protocols to ask for (RFC 7301).
        ciphers: those that may be used up to TLS 1.2, in OpenSSL's words.
        minimum_version: the lowest version of TLS that may be: ``1.2`` or ``1.3``.
        keylog_file: session keys are written there, for Wireshark: whoever has them can read all that is said.
        psk_identity: whose pre-shared key it is that takes the place of certificates (Python 3.13 and later).
        psk: that key, in hexadecimal digits.

    Raises:
        ValueError: what fits nothing, or not together.
    """

    def __init__(
        self,
        *,
        ca_file: str | os.PathLike[str] | None = None,
        ca_path: str | os.PathLike[str] | None = None,
        certificate: str | os.PathLike[str] | None = None,
        key: str | os.PathLike[str] | None = None,
        key_password: str | None = None,
        server_name: str | None = None,
        insecure: bool = False,
        alpn: str | Sequence[str] | None = None,
        ciphers: str | None = None,
        minimum_version: str | None = None,
        keylog_file: str | os.PathLike[str] | None = None,
        psk_identity: str | None = None,
        psk: str | None = None,
    ) -> None:
        self.ca_file = os.fspath(ca_file or "")
        self.ca_path = os.fspath(ca_path or "")
        self.certificate = os.fspath(certificate or "")
        self.key = os.fspath(key or "")
        self.key_password = key_password or ""
        self.server_name = server_name or ""
        self.insecure = insecure
        self.alpn = [alpn] if isinstance(alpn, str) else list(alpn or ())
        self.ciphers = ciphers or ""
        self.minimum_version = minimum_version or ""
        self.keylog_file = os.fspath(keylog_file or "")
        self.psk_identity = psk_identity or ""
        self.psk = psk or ""
        self._check()

    def _check(self) -> None:
        if self.key and not self.certificate:
            raise ValueError("key: it needs certificate, the file of the certificate that it belongs to")
        if self.key_password and not self.certificate:
            raise ValueError("key_password: there is no key to decrypt; give certificate and key")
        if self.minimum_version not in _VERSIONS:
            raise ValueError(f"minimum_version is {self.minimum_version!r}, expected '1.2' or '1.3'")
        for protocol in self.alpn:
            if not protocol or not protocol.isascii() or len(protocol) > 255:
                raise ValueError(f"alpn: {protocol!r} is no protocol, expected 1 to 255 ASCII characters like 'mqtt'")
        if bool(self.psk) != bool(self.psk_identity):
            raise ValueError("psk and psk_identity: a pre-shared key needs both")
        if self.psk:
            if self.ca_file or self.ca_path or self.certificate:
                raise ValueError("psk: it is in place of certificates: leave out ca_file, ca_path and certificate")
            self._psk_key()

    def _psk_key(self) -> bytes:
        try:
            key = bytes.fromhex(self.psk)
        except ValueError:
            key = b""
        if not 0 < len(key) <= _LONGEST_PSK:
            raise ValueError(f"psk: expected the key in pairs of hexadecimal digits, {2 * _LONGEST_PSK} at most")
        return key

    def context(self, *, alpn: Sequence[str] = ()) -> ssl.SSLContext:
        """What ``ssl`` needs for it; files are read now.

        Args:
            alpn: protocols to ask for if our user has said none.

        Raises:
            ValueError: a file is wrong, or this Python's ssl cannot do it: what to do.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = _VERSIONS[self.minimum_version]
        # Who trusts one certificate need not trust the one above it as well.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        if self.psk:
            self._use_psk(context)
        else:
            self._trust(context)
        if self.ciphers:
            try:
                context.set_ciphers(self.ciphers)
            except ssl.SSLError:
                raise ValueError(f"ciphers: OpenSSL knows none of {self.ciphers!r}; see `openssl ciphers`") from None
        if self.certificate:
            self._load_certificate(context)
        if self.alpn or alpn:
            context.set_alpn_protocols([*(self.alpn or alpn)])
        if self.keylog_file:
            try:
                context.keylog_filename = self.keylog_file
            except OSError as error:
                raise ValueError(f"{self.keylog_file}: it cannot be written: {error.strerror}") from None
        return context

    def _trust(self, context: ssl.SSLContext) -> None:
        if self.insecure:
            context.check_hostname = False
        if self.ca_file:
            data = _read(self.ca_file, "the file of the CA")
            try:
                context.load_verify_locations(cafile=self.ca_file)
            except (ssl.SSLError, OSError):
                raise ValueError(_no_certificate(self.ca_file, data)) from None
        if self.ca_path:
            try:
                names = os.listdir(self.ca_path)
            except OSError as error:
                raise ValueError(f"{self.ca_path}: the directory of CAs cannot be read: {error.strerror}") from None
            if not any(re.fullmatch(r"[0-9a-f]{8}\.[0-9]+", name) for name in names):
                raise ValueError(
                    f"{self.ca_path}: no certificate is found there by OpenSSL; run: openssl rehash {self.ca_path}"
                )
            context.load_verify_locations(capath=self.ca_path)
        if not self.ca_file and not self.ca_path:
            context.load_default_certs()

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        certificate = _read(self.certificate, "our certificate")
        if b"-----BEGIN CERTIFICATE-----" not in certificate:
            raise ValueError(_no_certificate(self.certificate, certificate))
        path = self.key or self.certificate
        key = _read(path, "our key")
        found = re.search(rb"-----BEGIN ([A-Z ]*)PRIVATE KEY-----\s*(Proc-Type: 4,ENCRYPTED)?", key)
        if found is None:
            remedy = "certificate and key may be swapped" if self.key else "name the file of the key"
            raise ValueError(f"{path}: it holds no PEM key; {remedy}")
        is_encrypted = found[1].startswith(b"ENCRYPTED") or found[2] is not None
        if is_encrypted and not self.key_password:
            raise ValueError(
                f"{path}: the key is encrypted; give key_password, or decrypt it: openssl pkey -in {path} -out NEW.pem"
            )
        try:
            # Without a password OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.certificate, self.key or None, lambda: self.key_password)
        except ssl.SSLError as error:
            reason = error.reason or ""
            if reason == "KEY_VALUES_MISMATCH":
                raise ValueError(f"{path}: the key does not belong to the certificate in {self.certificate}") from None
            if reason in ("EE_KEY_TOO_SMALL", "CA_KEY_TOO_SMALL", "CA_MD_TOO_WEAK"):
                raise ValueError(
                    f"{self.certificate}: OpenSSL finds it too weak ({_words(reason)}); get another one"
                ) from None
            if is_encrypted:
                raise ValueError(
                    f"{path}: the key cannot be decrypted: key_password is wrong, or it is damaged"
                ) from None
            raise ValueError(
                f"{self.certificate}, {path}: OpenSSL does not take them ({_words(reason)}); is one damaged?"
            ) from None

    def _use_psk(self, context: ssl.SSLContext) -> None:
        set_callback: Callable[..., None] | None = getattr(context, "set_psk_client_callback", None)
        if set_callback is None:
            python = f"{sys.version_info.major}.{sys.version_info.minor}"
            raise ValueError(f"psk: the ssl module of Python {python} cannot do pre-shared keys, that of 3.13 can")
        if context.minimum_version == ssl.TLSVersion.TLSv1_3:
            raise ValueError("psk: pre-shared keys are for TLS 1.2; leave out minimum_version")
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # who has the key is who it should be
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_PSK_CIPHERS)
        identity, key = self.psk_identity, self._psk_key()
        set_callback(lambda hint: (identity, key))


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise ValueError(f"{path}: {what} is not there") from None
    except PermissionError:
        raise ValueError(f"{path}: {what} cannot be read by the user of this process; let it read the file") from None
    except OSError as error:
        raise ValueError(f"{path}: {what} cannot be read: {error.strerror}") from None


def _no_certificate(path: str, data: bytes) -> str:
    if b"-----BEGIN CERTIFICATE-----" in data:
        return f"{path}: a certificate in it is damaged; get it again from who issued it"
    if b"PRIVATE KEY-----" in data:
        return f"{path}: it holds a key and no certificate; the files may be swapped"
    der = f"; it may be DER: openssl x509 -inform der -in {path} -out NEW.pem" if data[:1] == b"\x30" else ""
    return f"{path}: it holds no PEM certificate{der}"


# Why a handshake failed

_UNKNOWN_ISSUER: Final = (2, 19, 20, 21, 24, 27)
"""X509_V_ERR_ of certificates whose way to a CA that we trust is not found."""

_SELF_SIGNED: Final = 18
_NOT_YET: Final = 9
_EXPIRED: Final = 10
_NOT_FOR_SERVERS: Final = 26
_OTHER_NAME: Final = (62, 64)  # of a host, of an IP address

_NO_TLS: Final = ("WRONG_VERSION_NUMBER", "UNKNOWN_PROTOCOL", "RECORD_LAYER_FAILURE", "BAD_RECORD_TYPE", "HTTP_REQUEST")

_REFUSALS: Final = {
    "UNKNOWN_CA": "it does not trust the CA that signed it",
    "BAD_CERTIFICATE": "it is damaged, revoked, or of a CA that is not trusted there",
    "CERTIFICATE_EXPIRED": "it is expired",
    "CERTIFICATE_REVOKED": "it is revoked",
    "CERTIFICATE_UNKNOWN": "it is not trusted there",
    "UNSUPPORTED_CERTIFICATE": "it is not for clients",
    "ACCESS_DENIED": "whom it names may not come in",
}
"""What a broker's alert means when we have shown a certificate."""


def explain(
    error: Exception, place: str, host: str, tls: ClientTls | None = None, shown: bytes = b""
) -> Untrusted | NotConnected:
    """What is wrong when TLS fails, in a sentence with its remedy.

    Args:
        error: what ``ssl`` or the event loop raised.
        place: where the broker is, for people.
        host: the name that its certificate must have.
        tls: what was wanted; None: a context that somebody else has made.
        shown: the certificate that the broker shows, as DER; empty: it was not seen.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return Untrusted(_about_certificate(error, place, host, tls, shown))
    reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
    refusal = _about_us(reason, place, tls)
    if refusal:
        return Untrusted(refusal)
    if reason.endswith("UNRECOGNIZED_NAME"):
        return Untrusted(f"{place} has no certificate for {host}: connect by a name that it knows")
    return NotConnected(_about_tls(reason, place, tls))


def _about_tls(reason: str, place: str, tls: ClientTls | None) -> str:
    """Why there is no TLS, if that is not about who is who."""
    if reason in _NO_TLS or reason.startswith("PACKET_LENGTH_TOO_LONG"):
        return f"{place} does not speak TLS: leave it out (mqtt, ws), or use the broker's port for TLS (often 8883)"
    if "PROTOCOL_VERSION" in reason or "UNSUPPORTED_PROTOCOL" in reason or "VERSION_TOO_LOW" in reason:
        return f"{place} has no version of TLS in common with us: here at least TLS 1.2 is wanted"
    if reason.endswith("NO_APPLICATION_PROTOCOL"):
        return f"{place} does not know the protocol that alpn asks for"
    if reason.endswith(("HANDSHAKE_FAILURE", "INSUFFICIENT_SECURITY", "NO_SHARED_CIPHER", "NO_CIPHERS_AVAILABLE")):
        may = "it has no ciphers in common with us, or wants a pre-shared key"
        if tls is not None and not tls.certificate and not tls.psk:
            may = f"it may want a client certificate ({_GIVE_CERTIFICATE}); or {may}"
        return f"{place} refuses the handshake of TLS: {may}"
    if not reason or "EOF" in reason:
        return (
            f"{place} closes the connection in place of a handshake of TLS: it may speak without TLS (mqtt, ws), "
            "or its own settings are wrong; its log says more"
        )
    return f"TLS with {place} fails: {_words(reason)}; its log says more"


def _about_us(reason: str, place: str, tls: ClientTls | None) -> str:
    """What the broker says of who we are, if it does."""
    if tls is not None and tls.psk:
        if reason.endswith(("UNKNOWN_PSK_IDENTITY", "DECRYPT_ERROR", "BAD_RECORD_MAC")):
            return f"{place} does not know the pre-shared key of {tls.psk_identity!r}: check psk_identity and psk"
        return ""
    if reason.endswith("CERTIFICATE_REQUIRED"):
        return f"{place} wants a client certificate: {_GIVE_CERTIFICATE}"
    for alert, why in _REFUSALS.items():
        if reason.endswith(f"ALERT_{alert}"):
            if tls is not None and not tls.certificate:
                return f"{place} wants another client certificate than none: {_GIVE_CERTIFICATE}"
            ours = f" {tls.certificate}" if tls is not None else ""
            return f"{place} refuses our client certificate{ours}: {why}"
    return ""


def _about_certificate(
    error: ssl.SSLCertVerificationError, place: str, host: str, tls: ClientTls | None, shown: bytes
) -> str:
    """Why the broker's certificate does not pass."""
    code = error.verify_code
    certificate = _certificate_of(shown)
    if code in _OTHER_NAME:
        names = "another name" if certificate is None else _names_of(certificate)
        return (
            f"the certificate of {place} is not for {host}, but for {names}: connect by a name that it has, "
            "or say which one is right with ClientTls(server_name=...)"
        )
    if code == _SELF_SIGNED:
        theirs = f" (it trusts {_trusted(tls)})" if _trusted(tls) else ""
        return f"the certificate of {place} is self-signed, and not trusted{theirs}: give its file {_GIVE_FILE}"
    if code in _UNKNOWN_ISSUER:
        issuer = "a CA" if certificate is None else _subject(certificate.issuer)
        where = _trusted(tls) or "this system"
        does = "which is not in" if _trusted(tls) else "which is not trusted by"
        return f"the certificate of {place} is issued by {issuer}, {does} {where}: give that CA's file {_GIVE_FILE}"
    if code in (_NOT_YET, _EXPIRED):
        now = datetime.now(UTC)
        if code == _EXPIRED:
            when = (
                ""
                if certificate is None or certificate.not_valid_after_utc > now
                else (f" on {certificate.not_valid_after_utc:%Y-%m-%d}")
            )
            whose = f"the certificate of {place}, or that of its CA," if not when else f"the certificate of {place}"
            return f"{whose} expired{when}: whoever runs the broker has to renew it (here it is {now:%Y-%m-%d} UTC)"
        return f"the certificate of {place} is not valid yet: is the clock right? Here it is {now:%Y-%m-%d %H:%M} UTC"
    if code == _NOT_FOR_SERVERS:
        return f"the certificate of {place} is not for servers (Extended Key Usage): the broker needs another one"
    return f"the certificate of {place} does not pass: {error.verify_message or _words(error.reason or '')}"


def _trusted(tls: ClientTls | None) -> str:
    """Which files say whom we trust; empty: this system does."""
    return "" if tls is None else " and ".join(filter(None, (tls.ca_file, tls.ca_path)))


def _certificate_of(der: bytes) -> "x509.Certificate | None":
    # Imported here: only who fails needs it.
    from cryptography import x509

    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        return None


def _names_of(certificate: "x509.Certificate") -> str:
    """Whom a server's certificate is for, for people."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return f"nobody (it has no Subject Alternative Name; its subject is {_subject(certificate.subject)})"
    found = [*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress))]
    return ", ".join(found) or "no host"


def _subject(name: "x509.Name") -> str:
    from cryptography.x509.oid import NameOID

    names = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return repr(str(names[0].value)) if names else repr(name.rfc4514_string())


def _words(reason: str) -> str:
    return reason.replace("_", " ").lower() or "it does not say why"
