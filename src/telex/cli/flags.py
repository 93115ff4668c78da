"""The flags that ``telex pub``, ``sub`` and ``rr`` share, as mosquitto_pub and its sisters name them.

Knows how they are read, from the command line and from files, and which client they ask for. No flag is taken in
silence: what cannot be done is refused in one sentence.
"""

import argparse
import asyncio
import logging
import math
import os
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn

from telex import topics
from telex.cli import option_files
from telex.cli.loop import TimeIsUp, run_loop
from telex.cli.main import Parser, ShowVersion, number
from telex.cli.main import fail as say
from telex.cli.properties import COMMANDS, CommandProperties, word_count
from telex.codes import ReasonCode
from telex.errors import MqttError, NotConnected, Refused, Timeout, Untrusted
from telex.wire.properties import Properties

if TYPE_CHECKING:  # the client is loaded when there is something to do
    import ssl

    from telex.client.aio import Client
    from telex.client.authentication import Authenticator
    from telex.client.dialing import Dialer
    from telex.client.tls import ClientTls
    from telex.client.will import Will

Version = Literal["5", "3.1.1", "3.1"]

VERSIONS: Final[dict[str, Version]] = {
    "31": "3.1",
    "mqttv31": "3.1",
    "311": "3.1.1",
    "mqttv311": "3.1.1",
    "5": "5",
    "mqttv5": "5",
}

TIMED_OUT: Final = 27
"""The exit code when the time is up, as mosquitto_sub and mosquitto_rr have it."""

_TLS_FAILED: Final = 8
"""The exit code when TLS fails, as mosquitto_pub has it."""

_NEED_NO_TOPIC: Final = ("top", "bench")
_HAVE_MANY_TOPICS: Final = ("sub", "top", "bench")
_SCHEMES: Final = ("mqtt", "mqtts", "ws", "wss")
_TLS_PORT: Final = 8883
_PORTS: Final = {"mqtt": 1883, "mqtts": _TLS_PORT, "ws": 80, "wss": 443}

# What is of use with TLS only, and does not ask for it by itself: flags and where argparse puts them.
_TLS_DETAILS: Final = {
    "--cert": "cert",
    "--key": "key",
    "--ciphers": "ciphers",
    "--tls-version": "tls_version",
    "--tls-alpn": "tls_alpn",
    "--tls-keylog": "tls_keylog",
    "--insecure": "insecure",
}
_TLS_REQUESTS: Final = {
    "--cafile": "cafile",
    "--capath": "capath",
    "--tls-use-os-certs": "tls_use_os_certs",
    "--psk": "psk",
}
_WILL_DETAILS: Final = {"--will-payload": "will_payload", "--will-qos": "will_qos", "--will-retain": "will_retain"}


# How flags are read


class FlagParser(Parser):
    """Reads flags as mosquitto_pub does: a value is the next word whatever it is, and files may hold flags too."""

    def __init__(self, command: str, description: str, **settings: Any) -> None:
        super().__init__(
            prog=f"telex {command}",
            description=description,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **settings,
        )
        self.command = command
        self.version: Version = "3.1.1"  # when nothing asks for another one
        self.properties_for: Sequence[str] = tuple(COMMANDS)  # what -D may be said of
        self._place = ""  # of the flag that is being read, if that is a file
        self.register("type", None, _as_it_was)

    def error(self, message: str) -> NoReturn:
        """End with one line that says what is wrong, and in which file."""
        super().error(f"{self._place}: {message}" if self._place else message)

    def parse_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """The flags of the command line, after those of the options file."""
        words = self._joined(list(sys.argv[1:] if args is None else args))
        options = argparse.Namespace() if namespace is None else namespace
        if "--help" not in words and "--version" not in words:
            self._read_file(words, options)
        self._parse(words, options)
        try:
            _finish(options, self)
        except ValueError as error:
            self.error(str(error))
        return options

    def _read_file(self, words: Sequence[str], options: argparse.Namespace) -> None:
        given = [word.removeprefix("--options-file=") for word in words if word.startswith("--options-file=")]
        path = given[-1] if given else option_files.find(self.command)
        try:
            lines = [] if path is None else option_files.read(path)
        except ValueError as error:
            self.error(str(error))
        for line in lines:
            self._place = line.place
            self._parse(self._joined(self._words(line)), options)
        self._place = ""

    def _parse(self, words: list[str], options: argparse.Namespace) -> None:
        _, unknown = self.parse_known_args(words, options)
        if unknown:
            self._refuse(unknown[0])

    def _refuse(self, word: str) -> NoReturn:
        """End: this word is no flag, and no value of one."""
        if not word.startswith("-") or word == "-":
            self.error(f"{word!r} belongs to no flag; put quotes around a value with blanks")
        from difflib import get_close_matches

        flag = word.partition("=")[0]
        near = get_close_matches(flag, self._option_string_actions, 1, 0.7) if flag.startswith("--") else []
        self.error(f"there is no flag {flag}" + (f"; did you mean {near[0]}?" if near else ""))

    def _words(self, line: option_files.Line) -> list[str]:
        action = self._option_string_actions.get(line.flag)
        if action is None:
            self._refuse(line.flag)
        if action.dest == "options_file":
            self.error(f"{line.flag} is for the command line: it names the file to read in place of this one")
        if line.rest is None:
            return [line.flag]
        if isinstance(action, _PropertyAction):
            return [line.flag, *line.rest.split(maxsplit=word_count(line.rest.split()) - 1)]
        if action.nargs is not None:
            self.error(f"{line.flag} takes no value, found {line.rest!r}")
        return [line.flag, line.rest]

    def _joined(self, words: list[str]) -> list[str]:
        """The same with each value in its flag's own word, so that argparse does not take ``-1`` for a flag."""
        joined = []
        position = 0
        while position < len(words):
            word = words[position]
            position += 1
            action = self._option_string_actions.get(word)
            if isinstance(action, _PropertyAction):
                values = words[position : position + word_count(words[position:])]
                position += len(values)
                if len(values) < word_count(values):
                    self.error(f"{word} needs COMMAND PROPERTY VALUE, or COMMAND user-property NAME VALUE")
                joined.append(f"--property={_SEPARATOR.join(values)}")
            elif action is not None and action.nargs is None:
                if position == len(words):
                    self.error(f"{word} needs a value")
                value = words[position]
                position += 1
                if value == "--" and action.type is None:  # argparse would drop it
                    value = f"{_SEPARATOR}--"
                long = next((each for each in action.option_strings if each.startswith("--")), None)
                joined += [f"{long}={value}"] if long else [f"{word}{value}"] if value else [word, value]
            else:
                flag, is_given, value = word.partition("=")
                if is_given and flag in self._option_string_actions and self._option_string_actions[flag].nargs == 0:
                    self.error(f"{flag} takes no value, found {value!r}")
                joined.append(word)
        return joined


_SEPARATOR: Final = "\0"  # which no word of a command line can hold


def _as_it_was(text: str) -> str:
    """A type for argparse: a value that ``FlagParser`` may have protected from it."""
    return text.removeprefix(_SEPARATOR)


class _PropertyAction(argparse.Action):
    """``-D``: puts what it says into the options' ``properties``."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: object) -> None:
        assert isinstance(parser, FlagParser)
        if getattr(options, "properties", None) is None:
            options.properties = CommandProperties()
        command = values.split(_SEPARATOR)[0]
        if command in COMMANDS and command not in parser.properties_for:
            raise argparse.ArgumentError(self, f"telex {parser.command} sends no {command.upper()}")
        try:
            options.properties.add(values.split(_SEPARATOR))
        except ValueError as error:
            parser.error(str(error))


class _UrlAction(argparse.Action):
    """``-L``: stands for ``-h``, ``-p``, ``-u``, ``-P`` and ``-t``, and for ``--ws`` and TLS by its scheme."""

    def __call__(self, parser: argparse.ArgumentParser, options: argparse.Namespace, values: Any, *_: object) -> None:
        from telex.client.address import parse_address

        scheme, _separator, rest = values.partition("://")
        if not _separator or scheme not in _SCHEMES:
            parser.error(f"{values!r} is no URL for -L, expected mqtt, mqtts, ws or wss, as in mqtt://host/topic")
        server, slash, topic = rest.partition("/")
        is_optional = isinstance(parser, FlagParser) and parser.command in _NEED_NO_TOPIC
        if not topic and (slash or not is_optional):
            parser.error(f"{values!r} has no topic, expected {scheme}://{server}/TOPIC")
        try:
            address = parse_address(f"{scheme}://{server}")
        except ValueError as error:
            parser.error(str(error))
        options.scheme = scheme
        options.host = address.host
        options.port = address.port
        if address.user is not None:
            options.username = address.user
        if address.password is not None:
            options.pw = address.password
        options.url_topic = topic or None
        if isinstance(parser, FlagParser) and parser.command not in _HAVE_MANY_TOPICS:
            options.topic = topic


def expiry(text: str) -> float:
    """A type for argparse: the seconds of ``-x``."""
    if text in ("-1", "∞", "4294967295"):
        return math.inf
    seconds = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= seconds < 0xFFFF_FFFF:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds from 0 to 4294967294, nor -1 or ∞ for ever"
        )
    return seconds


def seconds(text: str) -> float:
    """A type for argparse: a time in seconds, with a fraction if need be."""
    try:
        value = float(text) if "_" not in text else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds")
    return value


def limit(text: str) -> float:
    """A type for argparse: a time in seconds that is not nothing."""
    value = seconds(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no time to wait")
    return value


def parser(
    command: str, description: str, *, usage: str = "[FLAGS]", version: Version = "3.1.1", epilog: str = ""
) -> FlagParser:
    """A parser with the shared flags; ``-h`` is the host here, not the help.

    Args:
        command: the name of the command.
        description: what it does.
        usage: what stands behind its name, in short.
        version: of MQTT, where no flag says another one.
        epilog: what stands below the flags, before the places of options files.
    """
    flags = _bare_parser(command, description, usage, version, epilog)
    flags.add_argument("-d", "--debug", action="store_true", help="print each packet that is sent and received")
    flags.add_argument("--quiet", action="store_true", help="print no errors")
    _add_connection(flags.add_argument_group("the broker"))
    _add_session(flags.add_argument_group("the connection"), version)
    _add_will(flags.add_argument_group("the will, which the broker publishes if it loses us"))
    _add_tls(flags.add_argument_group("TLS"))
    return flags


def address_parser(
    command: str, description: str, *, usage: str = "[FLAGS]", version: Version = "3.1.1", epilog: str = ""
) -> FlagParser:
    """A parser with those of the shared flags that say where the broker is: for a command with many clients.

    Args:
        command: the name of the command.
        description: what it does.
        usage: what stands behind its name, in short.
        version: of MQTT, where no flag says another one.
        epilog: what stands below the flags, before the places of options files.
    """
    flags = _bare_parser(command, description, usage, version, epilog)
    _add_connection(flags.add_argument_group("the broker"))
    _add_version(flags, version)
    _add_tls(flags.add_argument_group("TLS"))
    flags.set_defaults(**_NO_SESSION)
    return flags


# What the flags of one client's session and will would be, where a command has none of them.
_NO_SESSION: Final[dict[str, Any]] = {
    **dict.fromkeys(("id", "id_prefix", "session_expiry_interval", "max_inflight")),
    **dict.fromkeys(("will_topic", "will_payload", "will_qos")),
    **dict.fromkeys(("will_retain", "disable_clean_session", "debug"), False),
}


def _bare_parser(command: str, description: str, usage: str, version: Version, epilog: str) -> FlagParser:
    places = "\n".join(f"  {path}" for path in option_files.candidates(command))
    flags = FlagParser(
        command,
        description,
        usage=f"telex {command} {usage}",
        epilog=f"{epilog}options files (one flag with its value a line; the first that is there is read):\n{places}",
    )
    flags.version = version
    flags.add_argument("--help", action="help", help="show this and exit")
    flags.add_argument("--version", action=ShowVersion)
    flags.add_argument("-o", "--options-file", metavar="FILE", help="read flags from this file in place of those below")
    return flags


def _add_connection(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument("-h", "--host", default="localhost", help="its host (localhost)")
    flags.add_argument(
        "-p", "--port", type=number(1, 65_535), help="its port (1883; 8883 with TLS; 80 or 443 with --ws)"
    )
    flags.add_argument("-u", "--username", help="user name")
    flags.add_argument("-P", "--pw", help="password")
    flags.add_argument(
        *("-L", "--url"),
        action=_UrlAction,
        help="all of that and the topic: mqtt(s)://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, or ws(s)://",
    )
    flags.add_argument("--unix", metavar="PATH", help="its Unix socket, in place of host and port")
    flags.add_argument("--ws", action="store_true", help="speak WebSocket")
    flags.add_argument("-S", "--srv", action="store_true", help="look for its host and port in DNS (SRV) below -h")
    flags.add_argument("-A", "--bind", metavar="ADDRESS", help="the local address to connect from")
    flags.add_argument(
        "--proxy", metavar="URL", help="go through a proxy: socks5h://[USER[:PASSWORD]@]HOST[:PORT], socks5, http"
    )
    flags.add_argument(
        "--nodelay", action="store_true", help="send small packets at once; that is always so, with or without this"
    )


def _add_session(flags: argparse._ArgumentGroup, version: Version) -> None:
    flags.add_argument("-i", "--id", help="client id (the broker chooses one)")
    flags.add_argument("-I", "--id-prefix", metavar="PREFIX", help="a client id of this and the process id")
    flags.add_argument(
        *("-k", "--keepalive"),
        type=number(5, 65_535),
        default=60,
        metavar="SECONDS",
        help="between signs of life (60)",
    )
    flags.add_argument(
        *("-c", "--disable-clean-session"),
        action="store_true",
        help="the broker keeps the session, for ever unless -x says otherwise; needs -i",
    )
    flags.add_argument(
        *("-x", "--session-expiry-interval"),
        type=expiry,
        metavar="SECONDS",
        help="for which the broker keeps the session; -1: for ever. It makes it MQTT 5",
    )
    _add_version(flags, version)
    flags.add_argument(
        *("-D", "--property"),
        action=_PropertyAction,
        metavar="COMMAND PROPERTY VALUE",
        help="a property of MQTT 5, which it makes it; COMMAND is " + ", ".join(COMMANDS),
    )
    flags.add_argument("-q", "--qos", type=int, choices=(0, 1, 2), default=0, help="quality of service (0)")
    flags.add_argument(
        *("-M", "--max-inflight"),
        type=number(1, 65_535),
        metavar="COUNT",
        help="messages above QoS 0 that may wait for their acknowledgement",
    )


def _add_version(flags: argparse._ActionsContainer, version: Version) -> None:
    flags.add_argument(
        *("-V", "--protocol-version"),
        choices=VERSIONS,
        metavar="VERSION",
        help=f"of MQTT: 5, 311 or 31, also as mqttv5 and so on ({version.replace('.', '')})",
    )


def _add_will(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument("--will-topic", metavar="TOPIC", help="where")
    flags.add_argument("--will-payload", metavar="TEXT", help="what (nothing)")
    flags.add_argument("--will-qos", type=int, choices=(0, 1, 2), help="how (0)")
    flags.add_argument("--will-retain", action="store_true", help="the broker keeps it for later subscribers")


def _add_tls(flags: argparse._ArgumentGroup) -> None:
    flags.add_argument("--cafile", metavar="FILE", help="trust these CA certificates")
    flags.add_argument("--capath", metavar="DIR", help="trust the CA certificates in this directory")
    flags.add_argument(
        "--tls-use-os-certs", action="store_true", help="trust the system's CAs; port 8883 does so by itself"
    )
    flags.add_argument("--no-tls", action="store_true", help="no TLS, on port 8883 neither")
    flags.add_argument("--cert", metavar="FILE", help="our certificate")
    flags.add_argument("--key", metavar="FILE", help="its private key")
    flags.add_argument("--keyform", metavar="FORM", help="pem: keys are in files; engines are refused")
    flags.add_argument("--ciphers", help="those that may be used, as OpenSSL names them")
    flags.add_argument("--tls-version", choices=("tlsv1.2", "tlsv1.3"), help="the lowest that may be (tlsv1.2)")
    flags.add_argument("--tls-alpn", metavar="PROTOCOL", help="the protocol to ask for by ALPN")
    flags.add_argument("--tls-keylog", metavar="FILE", help="write the session keys there, for Wireshark")
    flags.add_argument("--insecure", action="store_true", help="do not check that the certificate is for this host")
    flags.add_argument("--psk", metavar="HEX", help="a pre-shared key in place of certificates")
    flags.add_argument("--psk-identity", metavar="NAME", help="whose key it is")
    flags.add_argument("--tls-engine", metavar="ENGINE", help="refused: Python has no OpenSSL engines")
    flags.add_argument("--tls-engine-kpass-sha1", metavar="SHA1", help="refused, as engines are")


# What the flags say together


def _finish(options: argparse.Namespace, parser: FlagParser) -> None:
    """Decide what depends on more than one flag.

    Raises:
        ValueError: flags that cannot be together.
    """
    for name, value in (("properties", None), ("scheme", None), ("url_topic", None)):
        if getattr(options, name, None) is None:
            setattr(options, name, value)
    options.command = parser.command
    _check_words(options)
    properties = options.properties = options.properties or CommandProperties()
    said = properties.connect
    if options.max_inflight is not None and said is not None and said.receive_maximum is not None:
        raise ValueError("-M and -D connect receive-maximum say the same thing; give one of them")
    if options.session_expiry_interval is not None and said is not None and said.session_expiry_interval is not None:
        raise ValueError("-x and -D connect session-expiry-interval say the same thing; give one of them")
    options.version = VERSIONS.get(options.protocol_version, parser.version)
    if options.session_expiry_interval is not None or properties.commands:
        options.version = "5"
    _finish_session(options, parser)
    _finish_will(options)
    _finish_tls(options)
    if options.srv and (options.unix or options.port or options.url_topic is not None):
        raise ValueError("-S finds the port by itself: leave out -p, -L and --unix")
    if options.unix and (options.ws or options.bind or options.proxy):
        raise ValueError("--unix is a way of its own: leave out --ws, -A and --proxy")


# What MQTT takes as text only: flags and where argparse puts them.
_TEXTS: Final = {
    "-t": "topic",
    "-e": "response_topic",
    "-i": "id",
    "-I": "id_prefix",
    "-u": "username",
    "-T": "filter_out",
    "-U": "unsubscribe",
    "--will-topic": "will_topic",
}


def _check_words(options: argparse.Namespace) -> None:
    for flag, attribute in _TEXTS.items():
        value = getattr(options, attribute, None) or ""
        for text in [value] if isinstance(value, str) else value:
            if not text.isprintable() and any("\ud800" <= each <= "\udfff" for each in text):
                raise ValueError(f"{flag} {os.fsencode(text)!r}: it is not UTF-8, as which MQTT has all text")
    if options.unix is not None:
        return
    host: str = options.host
    if not host:
        raise ValueError("-h is empty; give the broker's host, or leave it out for localhost")
    if "://" in host or "/" in host:
        raise ValueError(f"-h {host}: a host stands there alone; -L takes a URL, with a topic: -L mqtt://HOST/TOPIC")
    name, _, port = host.rpartition(":")
    if name and ":" not in name and port.isdigit():
        raise ValueError(f"-h {host}: a host stands there alone: -h {name} -p {port}")


def _finish_session(options: argparse.Namespace, parser: FlagParser) -> None:
    if options.id is not None and options.id_prefix is not None:
        raise ValueError("-i and -I cannot be used together")
    if options.disable_clean_session and not options.id and options.id_prefix is None:
        raise ValueError("-c needs a client id, by which the broker knows the session: give -i ID")
    if options.session_expiry_interval == math.inf and not options.id and options.id_prefix is None:
        raise ValueError("a session for ever (-x) needs a client id, by which the broker knows it: give -i ID")
    options.client_id = options.id or ""
    if options.id_prefix is not None:
        options.client_id = f"{options.id_prefix}{os.getpid()}"
    if options.max_inflight is not None and options.version != "5" and parser.command != "pub":
        raise ValueError(
            "-M is what the broker may have on its way to us, and it cannot be told that before MQTT 5: -V 5"
        )


def _finish_will(options: argparse.Namespace) -> None:
    if options.will_topic is not None:
        topics.check_name(options.will_topic)
        return
    for flag, name in _WILL_DETAILS.items():
        value = getattr(options, name)
        if value is not None and value is not False:  # 0 is something that somebody has said
            raise ValueError(f"{flag} is part of a will, and there is none: give --will-topic TOPIC")
    if options.properties.will is not None:
        raise ValueError("-D will is part of a will, and there is none: give --will-topic TOPIC")


def _finish_tls(options: argparse.Namespace) -> None:
    if options.tls_engine is not None or options.tls_engine_kpass_sha1 is not None:
        raise ValueError("--tls-engine cannot be done: Python has no OpenSSL engines; give --key FILE with a PEM key")
    if options.keyform is not None and options.keyform != "pem":
        raise ValueError(f"--keyform {options.keyform} cannot be done, only pem: Python has no OpenSSL engines")
    for flags in (("--cert", "--key"), ("--key", "--cert"), ("--keyform", "--key"), ("--psk", "--psk-identity")):
        given, needed = (getattr(options, flag[2:].replace("-", "_")) for flag in flags)
        if given is not None and needed is None:
            raise ValueError(f"{flags[0]} needs {flags[1]} too")
    if options.psk_identity is not None and options.psk is None:
        raise ValueError("--psk-identity needs --psk too")
    if options.psk is not None and (options.cafile or options.capath or options.tls_use_os_certs):
        raise ValueError("--psk is in place of certificates: leave out --cafile, --capath and --tls-use-os-certs")
    requests = [flag for flag, name in _TLS_REQUESTS.items() if getattr(options, name)]
    details = [flag for flag, name in _TLS_DETAILS.items() if getattr(options, name)]
    has_secure_url = options.scheme in ("mqtts", "wss")
    if options.no_tls and (requests or details or has_secure_url):
        raise ValueError(f"--no-tls, and {(requests + details or [f'{options.scheme}://'])[0]} asks for TLS")
    if options.unix and (requests or details):
        raise ValueError(f"--unix needs no TLS: leave out {(requests + details)[0]}")
    by_port = options.port == _TLS_PORT and not options.no_tls and not options.unix
    options.is_secure = bool(requests) or has_secure_url or by_port
    if details and not options.is_secure:
        raise ValueError(f"{details[0]} is part of TLS, and nothing asks for that: give --cafile or --tls-use-os-certs")
    is_websocket = options.ws or options.scheme in ("ws", "wss")
    options.scheme = {(0, 0): "mqtt", (0, 1): "mqtts", (1, 0): "ws", (1, 1): "wss"}[is_websocket, options.is_secure]
    if options.port is None and not options.srv:
        options.port = _PORTS[options.scheme]


# The client


def client(options: argparse.Namespace, *, comes_back: bool = True, **changes: Any) -> "Client":
    """The client that the flags ask for; it has not connected yet.

    Args:
        options: the flags.
        comes_back: whether a connection that is lost is made again; the first one never is.
        changes: for the constructor, in place of what the flags say.

    Raises:
        ValueError: what cannot be: a file that is no certificate, and so on.
    """
    from telex.client.aio import Client
    from telex.client.reconnect import Reconnect

    said = options.properties.connect
    settings: dict[str, Any] = {
        "client_id": options.client_id,
        "user": options.username,
        "password": None if options.pw is None else os.fsencode(options.pw),
        "version": options.version,
        "keep_alive": options.keepalive,
        "will": _will(options),
        "reconnect": Reconnect(at_start=False) if comes_back else None,
    }
    lifetime = _lifetime(options)
    if lifetime is not None:
        settings["session_expiry_interval"] = lifetime
        settings["clean_start"] = not options.disable_clean_session
        # A session has a name. It is ours to choose: one of the broker's would come too late.
        settings["client_id"] = options.client_id or f"telex-{secrets.token_hex(8)}"
    if options.max_inflight is not None:
        settings["most_in_flight" if options.command == "pub" else "receive_maximum"] = options.max_inflight
    if said is not None:
        for name in ("receive_maximum", "maximum_packet_size", "topic_alias_maximum"):
            if getattr(said, name) is not None:
                settings[name] = getattr(said, name)
        settings["request_response_information"] = said.request_response_information == 1
        settings["request_problem_information"] = said.request_problem_information != 0
        settings["user_properties"] = said.user_properties
        settings["authenticator"] = _authenticator(said)
    made = Client(dialer(options), **(settings | changes))
    if options.debug:
        from telex.cli.trace import Trace

        made._tap = Trace(tells_grants=options.command == "sub").saw
    return made


def _lifetime(options: argparse.Namespace) -> float | None:
    """For how many seconds the broker is to keep the session; None: it ends with the command."""
    if options.session_expiry_interval is not None:
        return float(options.session_expiry_interval)
    said = options.properties.connect
    if said is not None and said.session_expiry_interval is not None:
        return math.inf if said.session_expiry_interval == 0xFFFF_FFFF else float(said.session_expiry_interval)
    return math.inf if options.disable_clean_session else None


def _will(options: argparse.Namespace) -> "Will | None":
    if options.will_topic is None:
        return None
    from telex.client.will import Will

    said = options.properties.will
    return Will(
        options.will_topic,
        os.fsencode(options.will_payload or ""),
        qos=options.will_qos or 0,
        retain=options.will_retain,
        **({} if said is None else said_of(said, _WILL_PROPERTIES)),
    )


_MESSAGE_PROPERTIES: Final = (
    "content_type",
    "message_expiry_interval",
    "response_topic",
    "correlation_data",
    "payload_format_indicator",
    "user_properties",
)
_WILL_PROPERTIES: Final = (*_MESSAGE_PROPERTIES, "will_delay_interval")


def message_properties(options: argparse.Namespace) -> dict[str, Any]:
    """What ``-D publish`` has said, as ``Client.publish`` takes it."""
    said = options.properties.publish
    return {} if said is None else said_of(said, (*_MESSAGE_PROPERTIES, "topic_alias"))


def said_of(properties: Properties, names: Sequence[str]) -> dict[str, Any]:
    """Those of the named properties that are there, as arguments."""
    found = {name: getattr(properties, name) for name in names}
    return {name: value for name, value in found.items() if value not in (None, ())}


class _Words:
    """An authentication method of which CONNECT says all (``-D connect authentication-method``)."""

    def __init__(self, method: str, data: bytes | None) -> None:
        self.method = method
        self._data = data

    def begin(self) -> bytes | None:
        """What CONNECT says."""
        return self._data

    def answer(self, challenge: bytes) -> bytes:
        """There is nothing more to say."""
        raise Refused(
            ReasonCode.BAD_AUTHENTICATION_METHOD,
            f"the broker asks a question of the method {self.method!r}, and flags cannot answer one",
        )

    def finish(self, data: bytes) -> None:
        """All is well."""


def _authenticator(said: Properties) -> "Authenticator | None":
    if said.authentication_method is not None:
        return _Words(said.authentication_method, said.authentication_data)
    if said.authentication_data is not None:
        raise ValueError("-D connect authentication-data needs -D connect authentication-method too")
    return None


def dialer(options: argparse.Namespace) -> "Dialer":
    """The way to the broker that the flags ask for.

    Raises:
        ValueError: what cannot be: a file that is no certificate, and so on.
    """
    from telex.client.address import Address, join, split_place
    from telex.client.dialing import Dialer

    if options.unix is not None:
        return Dialer(Address("unix", "", 0, os.path.abspath(options.unix)))
    host, port = split_place(join(options.host, options.port or 1), f"-h {options.host}")
    return Dialer(
        Address(options.scheme, host, port if options.port else 0),
        tls=_tls(options) if options.is_secure else None,
        proxy=options.proxy,
        bind=options.bind or "",
        use_srv=options.srv,
    )


def _tls(options: argparse.Namespace) -> "ClientTls | ssl.SSLContext":
    from telex.client.tls import ClientTls

    tls = ClientTls(
        ca_file=options.cafile,
        ca_path=options.capath,
        certificate=options.cert,
        key=options.key,
        insecure=options.insecure,
        alpn=options.tls_alpn,
        ciphers=options.ciphers,
        minimum_version=options.tls_version,
        keylog_file=options.tls_keylog,
        psk_identity=options.psk_identity,
        psk=options.psk,
    )
    if options.tls_use_os_certs and (options.cafile or options.capath):
        context = tls.context()
        context.load_default_certs()
        return context
    return tls


async def close(client: "Client", options: argparse.Namespace) -> None:
    """Take leave, with what ``-D disconnect`` has said."""
    said = options.properties.disconnect
    names = ("session_expiry_interval", "reason_string", "user_properties")
    await client.close(**({} if said is None else said_of(said, names)))


# How a command ends


def run(options: argparse.Namespace, main: Callable[[], Coroutine[Any, Any, int]], *, fast: bool = True) -> int:
    """Run a command's coroutine; its exit code, or that of what went wrong, which is told in one line.

    Args:
        options: the flags.
        main: makes the coroutine.
        fast: whether there is so much to do that loading uvloop pays.

    Raises:
        BrokenPipeError: nobody reads what is printed.
    """
    log = logging.getLogger("telex.client")
    handler = _Teller(options)
    log.addHandler(handler)
    try:
        return run_loop(main()) if fast else asyncio.run(main())
    except TimeIsUp:
        return fail(options, "Timed out", TIMED_OUT)
    except ValueError as error:
        return fail(options, str(error))
    except BrokenPipeError:  # `telex sub | head`
        raise
    except (OSError, MqttError) as error:
        return fail(options, *failure(error, options))
    finally:
        log.removeHandler(handler)


class _Teller(logging.Handler):
    """Tells what the client has to say meanwhile: that it has lost the connection, for one."""

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(logging.WARNING)
        self._options = options

    def emit(self, record: logging.LogRecord) -> None:
        warn(self._options, record.getMessage())


def failure(error: Exception, options: argparse.Namespace) -> tuple[str, int]:
    """What went wrong with the broker, in one line, and the exit code that says it."""
    cause = error.__cause__ if isinstance(error, NotConnected) and error.__cause__ is not None else error
    if isinstance(error, Refused):
        return f"{error}{_login_hint(error, options)}", error.reason_code
    if isinstance(error, Untrusted):
        return str(error), _TLS_FAILED
    if options.unix is not None:
        return str(error), 1
    if options.proxy is None and not options.srv:
        if isinstance(cause, socket.gaierror):
            return f"the host name {options.host!r} does not resolve; check -h", 1
        if isinstance(cause, ConnectionRefusedError):
            where = f"{options.host}, port {options.port}"
            return f"no broker answers at {where}; start one with: telex serve -p {options.port}", 1
        if isinstance(error, NotConnected | Timeout):
            return f"{error}; to find out why: telex doctor {options.host} -p {options.port}", 1
    return str(error), 1


# What CONNACK says of user names and passwords; 4 and 5 before MQTT 5.
_LOGIN_CODES: Final = (4, 5, ReasonCode.BAD_USER_NAME_OR_PASSWORD, ReasonCode.NOT_AUTHORIZED)


def _login_hint(error: Refused, options: argparse.Namespace) -> str:
    if error.reason_code not in _LOGIN_CODES or "refused the connection" not in str(error):
        return ""
    return "; check -u and -P" if options.username is not None else "; it may want -u USER and -P PASSWORD"


def fail(options: argparse.Namespace, text: str, code: int = 1) -> int:
    """Say in one line what went wrong, unless ``--quiet``; returns the exit code."""
    return code if options.quiet else say(text, code)


def warn(options: argparse.Namespace, text: str) -> None:
    """Say in one line what somebody should know, unless ``--quiet``."""
    fail(options, text)
