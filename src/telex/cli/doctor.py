"""``telex doctor``: why a connection fails, looked for step by step, and said in one line with its remedy.

Knows what the other end can say: addresses, the first bytes of other protocols, certificates, OpenSSL's reasons, MQTT's
codes. It speaks by plain sockets, one after the other, each wait with a time limit.
"""

import argparse
import base64
import hashlib
import os
import socket
import ssl
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final, NoReturn

from cryptography import x509

from telex import codes
from telex.cli.lines import Line, TlsLine, WebSocketLine
from telex.cli.main import Parser, number
from telex.cli.tls import date_problem, names_of
from telex.client.connection import ClientConnection, Publication
from telex.codes import MQTT_3_1_1, MQTT_5, ConnectReturnCode, ReasonCode
from telex.errors import MqttError, ProtocolError
from telex.server.tls import subject_text
from telex.wire.packets import ConnAck, Connect, Disconnect, Packet, Publish, SubAck, SubscriptionRequest

Resolve = Callable[..., list[Any]]
"""``socket.getaddrinfo``, or what stands for it."""

_PORTS: Final = {(False, False): 1883, (True, False): 8883, (False, True): 80, (True, True): 443}
"""The usual port, by whether TLS and WebSocket are spoken."""

_VERSIONS: Final = {MQTT_5: "5.0", MQTT_3_1_1: "3.1.1"}
_MOST_HEADERS: Final = 16_384
_WEBSOCKET: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

# What speaks, by its first bytes.
_MQTT: Final = "MQTT"
_TLS: Final = "TLS"
_HTTP: Final = "HTTP"

# Types of TLS records and of messages within them (RFC 8446, sections 5.1 and 4; RFC 5246, section 7.4).
_ALERT_RECORD: Final = 21
_HANDSHAKE_RECORD: Final = 22
_CERTIFICATE: Final = 11
_CERTIFICATE_REQUEST: Final = 13


def run(arguments: Sequence[str], resolve: Resolve = socket.getaddrinfo) -> int:
    """Run the command; returns its exit code: 0 if all is well."""
    parser = Parser(
        prog="telex doctor",
        description="Find out why a connection to an MQTT broker fails: a line for each step, and the finding at last.",
    )
    parser.add_argument("host", metavar="HOST", help="the broker's host, as the client says it")
    parser.add_argument(
        "-p", "--port", type=number(1, 65_535), help="its port (1883; 8883 with --tls; 80 or 443 with --ws)"
    )
    parser.add_argument("--tls", action="store_true", help="speak TLS; so do --cafile and --cert")
    parser.add_argument("--cafile", metavar="FILE", help="the CA that is trusted (those of this system)")
    parser.add_argument("--cert", metavar="FILE", help="the client's certificate")
    parser.add_argument("--key", metavar="FILE", help="its key, unless it is in the same file")
    parser.add_argument("-u", "--username", help="user name")
    parser.add_argument("-P", "--pw", help="password")
    parser.add_argument("-i", "--id", help="client id; a client that is connected with it is sent away (a random one)")
    parser.add_argument("--ws", action="store_true", help="speak MQTT over WebSocket")
    parser.add_argument("--path", default="/mqtt", help="where the WebSocket is (/mqtt)")
    parser.add_argument(
        "--timeout", type=_seconds, default=5.0, metavar="SECONDS", help="how long to wait each time (5)"
    )
    parser.add_argument("--roundtrip", action="store_true", help="publish a message to oneself, on a random topic")
    options = parser.parse_args(arguments)
    if options.key and not options.cert:
        parser.error("--key needs --cert, the certificate that it belongs to")
    if not options.host:
        parser.error("HOST is empty")
    if not options.path.startswith("/"):
        parser.error("--path begins with a slash")
    examination = Examination(options, resolve)
    try:
        finding = examination.finding()
        code = 0
    except Wrong as wrong:
        finding = str(wrong)
        code = 1
    examination.say("finding", finding)
    return code


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, above 0")
    return value


class Wrong(Exception):
    """What is wrong, and the remedy, in one sentence."""


# The examination


class Examination:
    """The way to a broker, step by step, until something is wrong."""

    def __init__(self, options: argparse.Namespace, resolve: Resolve) -> None:
        self.options = options
        self.resolve = resolve
        self.has_tls = bool(options.tls or options.cafile or options.cert)
        self.port: int = options.port or _PORTS[self.has_tls, options.ws]
        self.place = f"{options.host}, port {self.port}"
        self.client_id = options.id or f"doctor{uuid.uuid4().hex[:16]}"  # what any server takes (section 3.1.3.1)
        self._address: tuple[int, Any] = (0, None)  # family and address of the open port
        self._told: set[str] = set()

    def say(self, step: str, text: str) -> None:
        """One line for a step; a step that is done again is silent."""
        if step not in self._told:
            self._told.add(step)
            print(f"{step:<12} {_printable(text)}", flush=True)

    def finding(self) -> str:
        """That all is well, and how.

        Raises:
            Wrong: it is not.
        """
        self._find_port(self._find_addresses())
        line, connection = self._log_in()
        try:
            spoken = _VERSIONS[connection.version]
            if self.options.roundtrip:
                self._go_round(line, connection)
            with suppress(TimeoutError, ssl.SSLError):
                connection.disconnect()
                line.send(connection.take(monotonic()))
        finally:
            line.close()
        if connection.version == MQTT_5:
            return f"all is well: {self.place} speaks MQTT {spoken}"
        return f"all is well, with MQTT {spoken} only: tell clients not to use version 5 (-V 311)"

    # Name and port

    def _find_addresses(self) -> list[tuple[int, Any]]:
        host = self.options.host
        try:
            found = self.resolve(host, self.port, type=socket.SOCK_STREAM)
        except (socket.gaierror, UnicodeError):
            self.say("name", f"{host}: unknown")
            raise Wrong(
                f"the host name {host!r} does not resolve: check how it is written, or use the IP address"
            ) from None
        addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
        self.say("name", f"{host}: {', '.join(address[0] for _, address in addresses)}")
        return addresses

    def _find_port(self, addresses: list[tuple[int, Any]]) -> None:
        """Try each address; the first one that is open is examined."""
        failures: dict[str, str] = {}
        is_open = False
        for family, address in addresses:
            self._address = (family, address)
            try:
                self._tcp().close()
            except OSError as error:
                failures[address[0]] = _why_not_open(error)
            else:
                is_open = True
                break
        results = [f"{host}: {why}" for host, why in failures.items()]
        if is_open:
            results.append(f"{self._address[1][0]}: open")
        self.say("port", f"{self.port} at {', '.join(results)}")
        if is_open:
            return
        if "closed" in failures.values():
            raise Wrong(
                f"nothing listens at {self.place}: is the broker started, is the port right, "
                "and does it listen on this address (not only on 127.0.0.1)?"
            )
        if "no answer" in failures.values():
            raise Wrong(
                f"no answer from {self.place}, within {self.options.timeout:g} s: "
                "a firewall drops what is sent there, or the machine is off"
            )
        raise Wrong(f"there is no way to {self.place}, {next(iter(failures.values()))}: check the network")

    def _tcp(self) -> Line:
        family, address = self._address
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.options.timeout)
            sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return Line(sock, self.options.timeout)

    # The lines above TCP

    def _open(self) -> Line:
        """All that MQTT is spoken over."""
        line = self._below_websocket()
        if self.options.ws:
            try:
                return self._websocket(line)
            except BaseException:
                line.close()
                raise
        return line

    def _below_websocket(self) -> Line:
        context = self._context() if self.has_tls else None
        line = self._line()
        return line if context is None else self._secured(line, context)

    def _line(self) -> Line:
        """Another connection to the port that was open."""
        try:
            return self._tcp()
        except OSError as error:
            raise Wrong(f"{self.place} takes no second connection, {_why_not_open(error)}: is there a limit?") from None

    def _secured(self, line: Line, context: ssl.SSLContext) -> Line:
        secured = TlsLine(line, context, self._server_name())
        try:
            secured.shake_hands()
        except (ssl.SSLError, TimeoutError) as error:
            line.close()
            self._explain_handshake(error, secured.seen)
        cipher = secured.tls.cipher()
        certificate = _certificate_of(secured.tls.getpeercert(binary_form=True))
        assert cipher is not None  # the handshake is over
        about = "a certificate that OpenSSL takes and nobody else can read"
        if certificate is not None:
            days = (certificate.not_valid_after_utc - datetime.now(UTC)).days
            issuer = subject_text(certificate.issuer)
            about = f"certificate for {_named(certificate)}, of {issuer}, valid for {days} days"
        self.say("TLS", f"{secured.tls.version()}, {cipher[0]}; {about}")
        secured.restart()
        return secured

    def _context(self) -> ssl.SSLContext:
        """What is trusted, and who we are."""
        options = self.options
        for path in (options.cafile, options.cert, options.key):
            if path:
                try:
                    Path(path).read_bytes()
                except OSError as error:
                    raise Wrong(f"{path}: it cannot be read: {error.strerror}") from None
        try:
            context = ssl.create_default_context(cafile=options.cafile)
        except ssl.SSLError:
            raise Wrong(f"{options.cafile}: there is no certificate in it (PEM)") from None
        if options.cert:
            try:
                context.load_cert_chain(options.cert, options.key, lambda: "")
            except ssl.SSLError as error:
                if error.reason == "KEY_VALUES_MISMATCH":
                    raise Wrong(f"{options.key or options.cert}: the key is not that of {options.cert}") from None
                files = " and ".join(filter(None, (options.cert, options.key)))
                raise Wrong(
                    f"{files}: that is no certificate and its key, without a password (PEM); see telex tls show"
                ) from None
        return context

    def _server_name(self) -> str:
        host: str = self.options.host
        return host.partition("%")[0]  # without the zone of an IPv6 address

    # TLS that fails

    def _explain_handshake(self, error: Exception, seen: bytes) -> NoReturn:
        if isinstance(error, ssl.SSLCertVerificationError):
            self.say("TLS", f"the certificate does not pass: {error.verify_message}")
            self._explain_certificate(error)
        if _speaks(seen) != _TLS:
            self.say("TLS", f"no TLS: {_answer(seen)}")
            self._explain_no_tls(seen, is_silent=isinstance(error, TimeoutError))
        reason = (error.reason or "") if isinstance(error, ssl.SSLError) else ""
        self.say("TLS", f"the handshake fails: {_words(reason) or 'no answer'}")
        self._explain_alert(reason, is_asked=_CERTIFICATE_REQUEST in dict(_messages(seen)))
        if "UNSUPPORTED_PROTOCOL" in reason or "PROTOCOL_VERSION" in reason:
            raise Wrong(
                f"{self.place} has no version of TLS that is safe today (1.2 or 1.3): "
                "let it offer one, or look for a newer broker"
            )
        if "HANDSHAKE_FAILURE" in reason or "INSUFFICIENT_SECURITY" in reason:
            raise Wrong(
                f"{self.place} finds no cipher in common with this machine, or wants a pre-shared key: "
                "check the ciphers in its settings"
            )
        if "UNRECOGNIZED_NAME" in reason:
            raise Wrong(f"{self.place} has no certificate for {self.options.host}: connect by a name that it knows")
        if not reason or "EOF" in reason:
            raise Wrong(f"{self.place} begins with TLS and does not finish: look into its log")
        raise Wrong(f"TLS with {self.place} fails: {_words(reason)}; its log says more")

    def _explain_alert(self, reason: str, *, is_asked: bool) -> None:
        """Raise what it is about a client's certificate, if it is; ``is_asked``: the server asked for one."""
        certificate = self.options.cert
        if not certificate:
            if is_asked or "CERTIFICATE_REQUIRED" in reason:
                raise Wrong(f"{self.place} wants a client certificate: give yours with --cert FILE --key FILE")
            return
        for alert, why in _ALERTS.items():
            if reason.endswith(f"ALERT_{alert}"):
                raise Wrong(f"{self.place} refuses the client certificate {certificate}: {why}")
        if is_asked and (not reason or "EOF" in reason or "HANDSHAKE_FAILURE" in reason):
            raise Wrong(
                f"{self.place} closes the connection after it has seen the client certificate {certificate}: "
                "it is expired, revoked, or not of a CA that is trusted there; the broker's log says which"
            )

    def _explain_no_tls(self, seen: bytes, *, is_silent: bool) -> NoReturn:
        found = _speaks(seen) or self._identify(self._line, _MQTT, _HTTP)
        if found == _MQTT:
            raise Wrong(f"{self.place} speaks MQTT without TLS: leave out --tls, or use its port for TLS (often 8883)")
        if found == _HTTP:
            raise Wrong(
                f"{self.place} is a web server without TLS: for MQTT over WebSocket there, use --ws without TLS"
            )
        raise self._nothing(seen, is_silent=is_silent)

    def _explain_certificate(self, error: ssl.SSLCertVerificationError) -> NoReturn:
        """Why a server's certificate is not taken; OpenSSL's codes are X509_V_ERR_..."""
        options = self.options
        code = error.verify_code
        certificate = self._certificate()
        if certificate is None:
            raise Wrong(f"the certificate of {self.place} is not valid: {error.verify_message}")
        whose = f"the certificate of {self.place}"
        now = datetime.now(UTC)
        if code in (9, 10):
            dates = date_problem(certificate, now)
            if not dates:
                dates = "was issued by a CA whose own certificate has " + ("expired" if code == 10 else "not begun")
            remedy = "renew it" if code == 10 else f"is the clock right? Here it is {now:%Y-%m-%d %H:%M} UTC"
            raise Wrong(f"{whose} {dates}: {remedy}")
        if code in (62, 64):
            raise Wrong(
                f"{whose} is not for {options.host}, but for {_named(certificate)}: "
                f"connect by one of these, or issue another one (telex tls init {options.host} ...)"
            )
        if code == 18:
            if options.cafile:
                raise Wrong(f"{whose} is self-signed, and not the one in {options.cafile}: give its file with --cafile")
            raise Wrong(f"{whose} is self-signed: give its file with --cafile, or issue one of a CA (telex tls init)")
        if code in (2, 19, 20, 21):
            issuer = subject_text(certificate.issuer)
            if options.cafile:
                raise Wrong(
                    f"{whose} is issued by {issuer}, which is not in {options.cafile}: give the file of that CA, "
                    "or let the server send the certificates between"
                )
            raise Wrong(f"{whose} is issued by {issuer}, which this system does not trust: give its --cafile FILE")
        if code == 26:
            raise Wrong(f"{whose} is not for servers (Extended Key Usage): issue another one (telex tls init)")
        raise Wrong(f"{whose} is not valid ({error.verify_message}): issue another one (telex tls init)")

    def _certificate(self) -> x509.Certificate | None:
        """The server's certificate, trusted or not."""
        context = self._context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        line = TlsLine(self._line(), context, self._server_name())
        try:
            line.shake_hands()
            der = line.tls.getpeercert(binary_form=True)
        except (ssl.SSLError, TimeoutError):
            # Up to TLS 1.2 it comes in the clear; a server that wants one of ours goes no further.
            body = dict(_messages(line.seen)).get(_CERTIFICATE, b"")
            der = body[6 : 6 + int.from_bytes(body[3:6], "big")]
        finally:
            line.close()
        return _certificate_of(der)

    def _check_client_certificate(self, found: str) -> None:
        """Raise that a client certificate is missing or refused, if nothing else is found, and the server asks for one.

        In TLS 1.3 the question is encrypted and ssl does not tell of it, and the server's alert gets lost if it
        closes before it has read our CONNECT. So it is asked once more in TLS 1.2, where both come in time.
        """
        if found:
            return
        context = self._context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        line = TlsLine(self._line(), context, self._server_name())
        reason = ""
        try:
            line.shake_hands()
        except ssl.SSLError as error:
            reason = error.reason or ""
        except TimeoutError:
            pass
        finally:
            line.close()
        if _CERTIFICATE_REQUEST in dict(_messages(line.seen)):
            self._explain_alert(reason, is_asked=True)

    # WebSocket

    def _websocket(self, line: Line) -> WebSocketLine:
        """Open a WebSocket as MQTT wants it (section 6)."""
        path = self.options.path
        key = base64.b64encode(os.urandom(16))
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key.decode()}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: mqtt\r\n\r\n"  # [MQTT-6.0.0-3]
        )
        data = b""
        is_silent = False
        try:
            line.send(request.encode())
            while b"\r\n\r\n" not in data and len(data) < _MOST_HEADERS and (more := line.receive()):
                data += more
        except TimeoutError:
            is_silent = True
        except ssl.SSLError as error:
            self._explain_after_handshake(error)
        if _speaks(data) != _HTTP:
            self.say("WebSocket", f"no answer of HTTP: {_answer(data)}")
            self._explain_no_websocket(data, is_silent=is_silent)
        head, _, rest = data.partition(b"\r\n\r\n")
        status, *lines = head.decode("latin-1").split("\r\n")
        status = status.partition(" ")[2]
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
        self.say("WebSocket", f"{path}: {status}")
        accepted = base64.b64encode(hashlib.sha1(key + _WEBSOCKET, usedforsecurity=False).digest()).decode()
        if not status.startswith("101") or headers.get("sec-websocket-accept") != accepted:
            self._explain_status(status, headers.get("location", ""))
        if headers.get("sec-websocket-protocol") != "mqtt":  # [MQTT-6.0.0-4]
            raise Wrong(
                f"the WebSocket {path} of {self.place} is not for MQTT: it does not take the sub-protocol 'mqtt'; "
                "check --path"
            )
        line.restart()
        return WebSocketLine(line, rest)

    def _explain_status(self, status: str, location: str) -> NoReturn:
        path = self.options.path
        code = status[:3]
        if code in ("502", "503", "504"):
            raise Wrong(
                f"the web server at {self.place} cannot reach the broker behind it ({status}): check its settings"
            )
        if code in ("401", "403"):
            raise Wrong(
                f"the web server at {self.place} refuses ({status}): it may want a login or an Origin of its own"
            )
        if code.startswith("3"):
            raise Wrong(
                f"the web server at {self.place} sends us to {location or 'another place'} ({status}): go there"
            )
        raise Wrong(
            f"a web server at {self.place}, without a WebSocket at {path} ({status}): check --path and the port"
        )

    def _explain_no_websocket(self, data: bytes, *, is_silent: bool) -> NoReturn:
        if self.has_tls:
            found = _speaks(data) or self._identify(self._below_websocket, _MQTT)
            self._check_client_certificate(found)
        else:
            found = _speaks(data) or self._identify(self._line, _MQTT, _TLS)
        if found == _MQTT:
            raise Wrong(f"{self.place} speaks MQTT without WebSocket: leave out --ws, or use its port for WebSocket")
        if found == _TLS:
            raise Wrong(f"{self.place} speaks TLS: add --tls")
        raise self._nothing(data, is_silent=is_silent)

    # MQTT

    def _log_in(self) -> tuple[Line, ClientConnection]:
        """A connection that the broker has accepted, in the newest version that it speaks."""
        try:
            return self._connect(MQTT_5)
        except Unanswered as unanswered:
            first = unanswered
        # A server from before MQTT 5 answers in its own words, or closes, or waits for ever.
        if not first.is_version:
            self._explain_answer(first)
        try:
            return self._connect(MQTT_3_1_1)
        except Unanswered as unanswered:
            second = unanswered
        self.say("MQTT", "neither 5.0 nor 3.1.1 is answered")
        if first.is_version or second.is_version:
            raise Wrong(f"{self.place} speaks neither MQTT 5.0 nor 3.1.1: look for a newer broker, or check the port")
        raise self._nothing(second.data, is_silent=second.is_silent)

    def _connect(self, version: int) -> tuple[Line, ClientConnection]:
        """A connection in one version.

        Raises:
            Wrong: the broker refuses, and says why.
            Unanswered: it does not know the version, or gives no answer.
        """
        options = self.options
        password = None if options.pw is None else os.fsencode(options.pw)
        if version != MQTT_5 and password is not None and options.username is None:
            raise Wrong(f"{self.place} speaks MQTT 3.1.1, which knows no password without a user name: give -u")
        try:
            connect = Connect(self.client_id, version=version, user_name=options.username, password=password)
            connection = ClientConnection(connect)
        except ValueError as error:
            raise Wrong(f"with such flags there is no CONNECT: {error}") from None
        line = self._open()
        try:
            connack = self._connack(line, connection)
            if connack.reason_code != 0:
                self._explain_refusal(connack, version)
        except BaseException:
            line.close()
            raise
        self.say("MQTT", f"{_VERSIONS[version]} accepted, client id {connection.client_id}")
        return line, connection

    def _connack(self, line: Line, connection: ClientConnection) -> ConnAck:
        """The answer to CONNECT.

        Raises:
            Unanswered: there is none, or it says that the version is not spoken.
        """
        connection.opened(monotonic())
        seen = b""
        try:
            line.send(connection.take(monotonic()))
            while data := line.receive():
                seen += data
                # A CONNACK without properties: a server from before MQTT 5. It says no, or takes us for older.
                if connection.version == MQTT_5 and seen[:2] == b"\x20\x02" and len(seen) >= 4:
                    if seen[3] in (ConnectReturnCode.ACCEPTED, ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION):
                        raise Unanswered(seen, is_version=True)
                    return ConnAck(_AS_IN_5.get(seen[3], ReasonCode.UNSPECIFIED_ERROR))
                connection.receive(data)
                for event in connection.take_events():
                    if isinstance(event, ConnAck):
                        return event
        except TimeoutError:
            raise Unanswered(seen, is_silent=True) from None
        except ssl.SSLError as error:
            self._explain_after_handshake(error)
        except ProtocolError as error:
            if _speaks(seen) == _MQTT:
                self.say("MQTT", f"{_VERSIONS[connection.version]}: {error}")
                raise Wrong(f"{self.place} answers CONNECT against the rules of MQTT: {error.text}") from None
        raise Unanswered(seen)

    def _explain_refusal(self, connack: ConnAck, version: int) -> NoReturn:
        """What a CONNACK means that says no."""
        code = connack.reason_code if version == MQTT_5 else _AS_IN_5.get(connack.reason_code, connack.reason_code)
        if code in (ReasonCode.UNSUPPORTED_PROTOCOL_VERSION, ConnectReturnCode.UNACCEPTABLE_PROTOCOL_VERSION):
            raise Unanswered(b"", is_version=True)
        words = _words_of(connack.reason_code, version)
        self.say("MQTT", f"{_VERSIONS[version]} refused: {words}")
        said = "" if connack.properties is None else connack.properties.reason_string or ""
        raise Wrong(self._refusal(code, words) + (f"; it says: {said[:200]}" if said else ""))

    def _refusal(self, code: int, words: str) -> str:
        user = self.options.username
        if code not in (ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED):
            remedy = _REMEDIES.get(code, "its log says why")
            return f"the broker refuses the connection ({words}): {remedy}"
        if user is None:
            return (
                f"the broker refuses clients without a user name ({words}): give one with -u, and its password with -P"
            )
        if self.options.pw is None:
            return f"the broker refuses user {user!r} without a password ({words}): give it with -P"
        if code == ReasonCode.BAD_USER_NAME_OR_PASSWORD:
            return f"the broker does not know user {user!r} with this password ({words}): check both"
        return f"the broker refuses user {user!r} ({words}): check the password, and whether this user may come in"

    def _explain_after_handshake(self, error: ssl.SSLError) -> NoReturn:
        """In TLS 1.3, what a server says of our certificate comes after the handshake."""
        reason = error.reason or ""
        self.say("MQTT", f"no answer, TLS is ended: {_words(reason)}")
        self._explain_alert(reason, is_asked=False)
        raise Wrong(f"TLS with {self.place} fails: {_words(reason)}; its log says more")

    def _explain_answer(self, answer: "Unanswered") -> None:
        """Raise what else speaks there, if that can be found out; it may be an older MQTT, too."""
        found = _speaks(answer.data)
        if answer.data and not found:
            self.say("MQTT", f"no MQTT: {_answer(answer.data)}")
            raise self._nothing(answer.data)
        if self.has_tls:
            found = found or ("" if self.options.ws else self._identify(self._below_websocket, _HTTP))
            self._check_client_certificate(found)
        elif not self.options.ws:
            found = found or self._identify(self._line, _TLS, _HTTP)
        if found == _TLS:
            self.say("MQTT", "no MQTT, but TLS")
            raise Wrong(f"{self.place} speaks TLS: add --tls")
        if found == _HTTP:
            self.say("MQTT", "no MQTT, but HTTP")
            raise Wrong(f"{self.place} is a web server: for MQTT over WebSocket there, add --ws; else check the port")

    def _nothing(self, data: bytes, *, is_silent: bool = False) -> Wrong:
        """What to say when nothing that we know has come."""
        if data:
            return Wrong(f"{self.place} speaks something else ({_answer(data)}): check the port")
        if is_silent:
            return Wrong(
                f"{self.place} takes connections and answers nothing within {self.options.timeout:g} s: "
                "what listens there is no MQTT broker, or it hangs"
            )
        missing = "a client certificate that is missing (--cert), " if self.has_tls and not self.options.cert else ""
        return Wrong(
            f"{self.place} closes the connection without a word: its log says why; often it is {missing}a ban, "
            "a limit of connections, or a listener that waits for the PROXY protocol"
        )

    def _identify(self, opened: Callable[[], Line], *suspects: str) -> str:
        """Which of these speaks there; empty: none. Each is tried on a connection of its own."""
        for suspect in suspects:
            with suppress(Wrong):
                if _speaks(_first_answer(opened(), _greeting(suspect))) == suspect:
                    return suspect
        return ""

    # A message to ourselves

    def _go_round(self, line: Line, connection: ClientConnection) -> None:
        topic = f"telex/doctor/{uuid.uuid4().hex}"
        line.restart()
        try:
            connection.subscribe([SubscriptionRequest(topic, 1)])
            granted = self._wait_for(line, connection, SubAck)
            assert isinstance(granted, SubAck)
            if granted.reason_codes[0] >= 0x80:
                self.say("round trip", f"SUBSCRIBE {topic}: {codes.reason_text(granted.reason_codes[0])}")
                raise Wrong(f"this user may not subscribe to {topic}: look at the broker's rules (ACL) for it")
            publication = connection.publish(topic, b"telex doctor", qos=1)
            self._wait_for(line, connection, Publish, publication)
        except (MqttError, ValueError, ssl.SSLError) as error:
            self.say("round trip", str(error))
            raise Wrong(f"the broker ends the connection at a message of ours: {error}") from None
        except TimeoutError:
            self.say("round trip", f"{topic}: it does not come back")
            raise Wrong(
                f"a message on {topic} does not come back within {self.options.timeout:g} s: "
                "the broker's rules (ACL) do not let this user publish or receive it, or it is overloaded"
            ) from None
        self.say("round trip", f"a message on {topic} came back")

    def _wait_for(
        self, line: Line, connection: ClientConnection, kind: type[Packet], publication: Publication | None = None
    ) -> Packet:
        while True:
            line.send(connection.take(monotonic()))
            data = line.receive()
            if not data:
                raise MqttError("it closed the connection")
            connection.receive(data)
            for event in connection.take_events():
                if isinstance(event, Disconnect):
                    raise MqttError(codes.reason_text(event.reason_code))
                if isinstance(event, kind):
                    return event
                if event is publication and event is not None and event.reason_code >= 0x80:
                    self.say("round trip", f"PUBLISH {event.topic}: {codes.reason_text(event.reason_code)}")
                    raise Wrong(f"this user may not publish to {event.topic}: look at the broker's rules (ACL) for it")


class Unanswered(Exception):
    """CONNECT got no answer, or the answer that its version is not spoken."""

    def __init__(self, data: bytes, *, is_silent: bool = False, is_version: bool = False) -> None:
        super().__init__()
        self.data = data  # what came in place of an answer
        self.is_silent = is_silent  # the connection stayed open
        self.is_version = is_version  # it is the version


# Words and bytes

_AS_IN_5: Final[dict[int, int]] = {
    ConnectReturnCode.IDENTIFIER_REJECTED: ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    ConnectReturnCode.SERVER_UNAVAILABLE: ReasonCode.SERVER_UNAVAILABLE,
    ConnectReturnCode.BAD_USER_NAME_OR_PASSWORD: ReasonCode.BAD_USER_NAME_OR_PASSWORD,
    ConnectReturnCode.NOT_AUTHORIZED: ReasonCode.NOT_AUTHORIZED,
}

_REMEDIES: Final[dict[int, str]] = {
    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID: "it does not take this client id; give one that it takes with -i",
    ReasonCode.SERVER_UNAVAILABLE: "it is not ready, or full; try again, and look into its log",
    ReasonCode.SERVER_BUSY: "it is busy; try again later",
    ReasonCode.QUOTA_EXCEEDED: "it is full; look at its limits of sessions and connections",
    ReasonCode.BANNED: "this address or user is banned, perhaps after failed logins; wait, or lift the ban there",
    ReasonCode.CONNECTION_RATE_EXCEEDED: "too many connections in too short a time; wait, then try again",
    ReasonCode.BAD_AUTHENTICATION_METHOD: "it wants enhanced authentication (SCRAM or the like)",
    ReasonCode.USE_ANOTHER_SERVER: "it sends clients to another server",
    ReasonCode.SERVER_MOVED: "it has moved to another server",
}

_ALERTS: Final = {
    "UNKNOWN_CA": "it is not of a CA that is trusted there; get one that is",
    "CERTIFICATE_EXPIRED": "it has expired; renew it",
    "CERTIFICATE_REVOKED": "it is revoked; get another one",
    "BAD_CERTIFICATE": "it is not valid there; look at it with telex tls show",
    "CERTIFICATE_UNKNOWN": "it is not valid there; look at it with telex tls show",
    "UNSUPPORTED_CERTIFICATE": "it is not for clients (Extended Key Usage); get another one",
}
"""What a server may say of a client's certificate (RFC 8446, section 6.2)."""


def _words_of(code: int, version: int) -> str:
    """A code of CONNACK in words."""
    if version == MQTT_5:
        return codes.reason_text(code)
    names = {each.value: each.name.replace("_", " ").lower() for each in ConnectReturnCode}
    return f"{code} {names.get(code, 'unknown return code')}"


def _why_not_open(error: OSError) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "closed"
    if isinstance(error, TimeoutError):
        return "no answer"
    return (error.strerror or str(error)).lower()


def _speaks(data: bytes) -> str:
    """Who begins like this; empty: nobody that we know."""
    if data[:5] == b"HTTP/":
        return _HTTP
    if data[:1] in (bytes([_ALERT_RECORD]), bytes([_HANDSHAKE_RECORD])) and data[1:2] == b"\x03":
        return _TLS
    if data[:1] in (b"\x20", b"\xe0", b"\xf0") and len(data) > 1:  # CONNACK, DISCONNECT, AUTH
        return _MQTT
    return ""


def _greeting(suspect: str) -> bytes:
    """What makes one of them answer."""
    if suspect == _HTTP:
        return b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    if suspect == _TLS:
        hello = ssl.MemoryBIO()
        tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="localhost")
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return hello.read()
    connection = ClientConnection(Connect(f"doctor{uuid.uuid4().hex[:16]}", version=MQTT_3_1_1))
    connection.opened(0.0)
    return connection.take(0.0)


def _first_answer(line: Line, greeting: bytes) -> bytes:
    try:
        line.send(greeting)
        return line.receive()
    except (TimeoutError, ssl.SSLError):
        return b""
    finally:
        line.close()


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The handshake messages that are in the clear, of a TLS server: their types and bodies."""
    messages = b""
    while len(data) >= 5 and data[0] == _HANDSHAKE_RECORD:
        size = int.from_bytes(data[3:5], "big")
        messages += data[5 : 5 + size]
        data = data[5 + size :]
    while len(messages) >= 4:
        size = int.from_bytes(messages[1:4], "big")
        yield messages[0], messages[4 : 4 + size]
        messages = messages[4 + size :]


def _answer(data: bytes) -> str:
    """The first bytes of an answer, for people."""
    if not data:
        return "no answer"
    first = data[:40].splitlines()[0] if data[:1].isalnum() else data[:8]
    return repr(first)[1:]


def _certificate_of(der: bytes | None) -> x509.Certificate | None:
    """A certificate with names that can be read, or None."""
    try:
        certificate = x509.load_der_x509_certificate(der or b"")
        names_of(certificate)
    except ValueError:
        return None
    return certificate


def _named(certificate: x509.Certificate) -> str:
    return ", ".join(names_of(certificate)) or "no name (no Subject Alternative Name)"


def _words(reason: str) -> str:
    """OpenSSL's reason, in small letters."""
    return reason.replace("_", " ").lower()


def _printable(text: str) -> str:
    """What others said may be printed, too, and in one line."""
    return "".join(character if character.isprintable() else "?" for character in text)
