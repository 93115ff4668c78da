"""The flags that ``telex pub`` and ``telex sub`` share, as mosquitto_pub and mosquitto_sub name them."""

import argparse
import socket
import uuid
from typing import Final

from telex import codes, version
from telex.cli.main import Parser, number
from telex.errors import MqttError, NotConnected, Refused, Timeout
from telex.wire.packets import Connect

VERSIONS: Final = {
    "31": codes.MQTT_3_1,
    "mqttv31": codes.MQTT_3_1,
    "311": codes.MQTT_3_1_1,
    "mqttv311": codes.MQTT_3_1_1,
    "5": codes.MQTT_5,
    "mqttv5": codes.MQTT_5,
}


def parser(command: str, description: str) -> Parser:
    """A parser with the flags of the connection; ``-h`` is the host here, not the help."""
    flags = Parser(prog=f"telex {command}", description=description, add_help=False, allow_abbrev=False)
    flags.add_argument("--help", action="help", help="show this and exit")
    flags.add_argument("--version", action="version", version=version.describe())
    flags.add_argument("-h", "--host", default="localhost", help="the broker's host (localhost)")
    flags.add_argument("-p", "--port", type=number(1, 65_535), default=1883, help="the broker's port (1883)")
    flags.add_argument("-i", "--id", default="", help="client id (the broker chooses one)")
    flags.add_argument("-u", "--username", help="user name")
    flags.add_argument("-P", "--pw", help="password")
    flags.add_argument(
        "-k", "--keepalive", type=number(5, 65_535), default=60, help="seconds between signs of life (60)"
    )
    flags.add_argument(
        "-V",
        "--protocol-version",
        choices=VERSIONS,
        default="311",
        metavar="VERSION",
        help="5, 311 or 31, also as mqttv5 and so on (311)",
    )
    flags.add_argument("-q", "--qos", type=int, choices=(0, 1, 2), default=0, help="quality of service (0)")
    return flags


def connect_packet(options: argparse.Namespace) -> Connect:
    """The CONNECT that the flags ask for."""
    protocol_version = VERSIONS[options.protocol_version]
    client_id = options.id
    if not client_id and protocol_version == codes.MQTT_3_1:
        client_id = f"telex-{uuid.uuid4().hex[:17]}"  # MQTT 3.1 has no clients without an id, nor any over 23 bytes
    return Connect(
        client_id,
        version=protocol_version,
        keep_alive=options.keepalive,
        user_name=options.username,
        password=None if options.pw is None else options.pw.encode(),
    )


def failure(error: Exception, options: argparse.Namespace) -> tuple[str, int]:
    """What went wrong with the broker, in one line, and the exit code that says it."""
    where = f"{options.host}, port {options.port}"
    if isinstance(error, Refused):
        return str(error), error.reason_code
    if isinstance(error, socket.gaierror):
        return f"the host name {options.host!r} does not resolve; check -h", 1
    if isinstance(error, ConnectionRefusedError):
        return f"no broker answers at {where}; start one with: telex serve -p {options.port}", 1
    if isinstance(error, NotConnected | Timeout):
        return f"{error}; to find out why: telex doctor {options.host} -p {options.port}", 1
    if isinstance(error, MqttError):
        return str(error), 1
    return f"cannot reach {where}: {error}", 1
