"""What a client is told before it connects: to whom, by which way, as whom, with which limits.

Knows what paho lets a program set, and when. Knows no socket that is open.
"""

import enum
import ssl
import uuid
from typing import Any, Final, Literal, Self

from telex import codes
from telex.paho.callbacks import Callbacks
from telex.paho.enums import CallbackAPIVersion, MQTTProtocolVersion
from telex.paho.names import MQTT_BRIDGE, MQTT_CLEAN_START_FIRST_ONLY, MQTT_CLIENT, MQTTv31
from telex.paho.nonblocking import SocketLike
from telex.paho.properties import Properties, to_wire
from telex.paho.proxies import is_valid
from telex.paho.sockets import Way
from telex.paho.websocket import WebSocketHeaders
from telex.wire.packets import Connect, Will
from telex.wire.properties import WILL

Transport = Literal["tcp", "websockets", "unix"]
PayloadType = str | bytes | bytearray | int | float | None
CleanStartOption = bool | Literal[3]

_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MAX_PAYLOAD: Final = 268_435_455  # a remaining length says no more (section 2.1.4)


class ConnectionState(enum.Enum):
    """Where a client is on its way to a broker."""

    MQTT_CS_NEW = enum.auto()
    MQTT_CS_CONNECT_ASYNC = enum.auto()  # the loop is to connect
    MQTT_CS_CONNECTING = enum.auto()
    MQTT_CS_CONNECTED = enum.auto()
    MQTT_CS_CONNECTION_LOST = enum.auto()
    MQTT_CS_DISCONNECTING = enum.auto()  # the program wants to leave
    MQTT_CS_DISCONNECTED = enum.auto()


LEAVING: Final = (ConnectionState.MQTT_CS_DISCONNECTING, ConnectionState.MQTT_CS_DISCONNECTED)


def random_client_id() -> str:
    """22 characters that nobody else has."""
    number = uuid.uuid4().int
    digits = []
    while number:
        number, rest = divmod(number, 62)
        digits.append(_DIGITS[rest])
    return "".join(reversed(digits)).rjust(22, "0")


def encode_payload(payload: PayloadType) -> bytes:
    """A payload as bytes: text in UTF-8, numbers in digits, None as nothing.

    Raises:
        TypeError: anything else.
        ValueError: it is too long for a packet.
    """
    if isinstance(payload, bytes):
        data = payload
    elif isinstance(payload, str):
        data = payload.encode()
    elif isinstance(payload, bytearray):
        data = bytes(payload)
    elif isinstance(payload, int | float):
        data = str(payload).encode("ascii")
    elif payload is None:
        data = b""
    else:
        raise TypeError("payload must be a string, bytearray, int, float or None.")
    if len(data) > _MAX_PAYLOAD:
        raise ValueError("Payload too large.")
    return data


class Settings(Callbacks):
    """What a program says of the connections to come."""

    def __init__(
        self,
        callback_api_version: CallbackAPIVersion,
        client_id: str | None,
        clean_session: bool | None,
        userdata: Any,
        protocol: MQTTProtocolVersion,
        transport: Transport,
        reconnect_on_failure: bool,
    ) -> None:
        super().__init__(callback_api_version, protocol, userdata)
        if protocol == codes.MQTT_5:
            if clean_session is not None:
                raise ValueError("Clean session is not used for MQTT 5.0")
        elif clean_session is False and not client_id:
            raise ValueError("A client id must be provided if clean session is False.")
        self._transport = transport
        self._clean_session = clean_session is not False  # before MQTT 5
        self._clean_start: CleanStartOption = MQTT_CLEAN_START_FIRST_ONLY  # with MQTT 5
        self._mqttv5_first_connect = True  # no broker has let us in since ``connect``
        if not client_id:
            client_id = random_client_id() if protocol == MQTTv31 else ""
        self._client_id = client_id.encode() if isinstance(client_id, str) else client_id
        self._reconnect_on_failure = reconnect_on_failure
        self._state = ConnectionState.MQTT_CS_NEW
        self._sock: SocketLike | None = None
        self._host = ""
        self._port = 1883
        self._keepalive = 60
        self._connect_timeout = 5.0
        self._bind_address = ""
        self._bind_port = 0
        self._connect_properties: Properties | None = None
        self._client_mode = MQTT_CLIENT
        self._username: bytes | None = None
        self._password: bytes | None = None
        self._max_inflight_messages = 20
        self._max_queued_messages = 0
        self._will = False
        self._will_topic = b""
        self._will_payload: bytes | bytearray = b""
        self._will_qos = 0
        self._will_retain = False
        self._will_properties: Properties | None = None
        self._ssl = False
        self._ssl_context: ssl.SSLContext | None = None
        self._tls_insecure = False
        self._proxy: dict[str, Any] = {}
        self._websocket_path = "/mqtt"
        self._websocket_extra_headers: WebSocketHeaders | None = None

    def _connection_closed(self) -> bool:
        """Whether there is neither a connection nor an attempt at one."""
        return self._state == ConnectionState.MQTT_CS_NEW or (self._state in LEAVING and self._sock is None)

    def _check_closed(self, name: str) -> None:
        if not self._connection_closed():
            raise RuntimeError(f"updating {name} on established connection is not supported")

    # To whom

    @property
    def host(self) -> str:
        """The broker's name or address; the path of a Unix socket. Cannot be set while there is a connection."""
        return self._host

    @host.setter
    def host(self, value: str) -> None:
        self._check_closed("host")
        if not value:
            raise ValueError("Invalid host.")
        self._host = value

    @property
    def port(self) -> int:
        """The broker's port. Cannot be set while there is a connection."""
        return self._port

    @port.setter
    def port(self, value: int) -> None:
        self._check_closed("port")
        if value <= 0:
            raise ValueError("Invalid port number.")
        self._port = value

    @property
    def keepalive(self) -> int:
        """Seconds after which a silent connection is looked after; 0: never. Cannot be set while there is one."""
        return self._keepalive

    @keepalive.setter
    def keepalive(self, value: int) -> None:
        self._check_closed("keepalive")
        if value < 0:
            raise ValueError("Keepalive must be >=0.")
        self._keepalive = value

    @property
    def connect_timeout(self) -> float:
        """Seconds that opening a connection may take. Cannot be set while there is one."""
        return self._connect_timeout

    @connect_timeout.setter
    def connect_timeout(self, value: float) -> None:
        self._check_closed("connect_timeout")
        if value <= 0.0:
            raise ValueError("timeout must be a positive number")
        self._connect_timeout = value

    # By which way

    @property
    def transport(self) -> Transport:
        """TCP, a WebSocket or a Unix socket. Cannot be set while there is a connection."""
        return self._transport

    @transport.setter
    def transport(self, value: Transport) -> None:
        self._check_closed("transport")
        self._transport = value

    def ws_set_options(self, path: str = "/mqtt", headers: WebSocketHeaders | None = None) -> None:
        """Set what a WebSocket's request says: its path, further headers, or a function that makes all of them.

        Raises:
            ValueError: headers that are neither.
        """
        self._websocket_path = path
        if headers is not None:
            if not isinstance(headers, dict) and not callable(headers):
                raise ValueError("'headers' option to ws_set_options has to be either a dictionary or callable")
            self._websocket_extra_headers = headers

    def tls_set_context(self, context: ssl.SSLContext | None = None) -> None:
        """Use TLS, as this context says; without one, with the certificate authorities of the system.

        Raises:
            ValueError: TLS was set before.
        """
        if self._ssl_context is not None:
            raise ValueError("SSL/TLS has already been configured.")
        if context is None:
            context = ssl.create_default_context()
        self._ssl = True
        self._ssl_context = context
        self._tls_insecure = not context.check_hostname

    def tls_set(
        self,
        ca_certs: str | None = None,
        certfile: str | None = None,
        keyfile: str | None = None,
        cert_reqs: ssl.VerifyMode | None = None,
        tls_version: int | None = None,
        ciphers: str | None = None,
        keyfile_password: str | None = None,
        alpn_protocols: list[str] | None = None,
    ) -> None:
        """Use TLS.

        Args:
            ca_certs: a file of certificates that are trusted; None: those of the system.
            certfile: our certificate, if the broker asks for one.
            keyfile: its key, if that is not in the same file.
            cert_reqs: whether the broker must have a certificate that passes; None: it must.
            tls_version: one of ``ssl.PROTOCOL_...``; None: the best that both ends know.
            ciphers: those that may be used, as OpenSSL writes them.
            keyfile_password: the password of the key.
            alpn_protocols: what we offer to speak, the first one first.

        Raises:
            ValueError: TLS was set before.
            OSError: a file cannot be read, or is none of its kind.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT if tls_version is None else tls_version)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        if certfile is not None:
            context.load_cert_chain(certfile, keyfile, keyfile_password)
        if cert_reqs == ssl.CERT_NONE:
            context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if cert_reqs is None else cert_reqs
        if ca_certs is not None:
            context.load_verify_locations(ca_certs)
        else:
            context.load_default_certs()
        if alpn_protocols is not None:
            context.set_alpn_protocols(alpn_protocols)
        self.tls_set_context(context)
        self.tls_insecure_set(cert_reqs == ssl.CERT_NONE)  # a name in what is not looked at cannot be looked at

    def tls_insecure_set(self, value: bool) -> None:
        """Say whether a certificate for any other host is good enough. Then anybody can be the broker.

        Raises:
            ValueError: TLS is not set.
        """
        if self._ssl_context is None:
            raise ValueError("Must configure SSL context before using tls_insecure_set.")
        self._tls_insecure = value
        self._ssl_context.check_hostname = not value

    def proxy_set(self, **proxy_args: Any) -> None:
        """Go through a proxy: ``proxy_type``, ``proxy_addr``, ``proxy_port`` and so on, as PySocks has them.

        Raises:
            ValueError: there is no such type, or no address.
        """
        if not is_valid(proxy_args):
            raise ValueError("proxy_type and/or proxy_addr are invalid.")
        self._proxy = proxy_args

    # As whom

    @property
    def protocol(self) -> MQTTProtocolVersion:
        """The version of MQTT that is spoken."""
        return self._protocol

    @property
    def username(self) -> str | None:
        """The user name, if one is said. Cannot be set while there is a connection."""
        return None if self._username is None else self._username.decode()

    @username.setter
    def username(self, value: str | None) -> None:
        self._check_closed("username")
        self._username = None if value is None else value.encode()

    @property
    def password(self) -> str | None:
        """The password, if one is said. Cannot be set while there is a connection."""
        return None if self._password is None else self._password.decode()

    @password.setter
    def password(self, value: str | None) -> None:
        self._check_closed("password")
        self._password = None if value is None else value.encode()

    def username_pw_set(self, username: str | None, password: str | None = None) -> None:
        """Set user name and password for the next connection. A password without a name is not said."""
        self._username = None if username is None else username.encode()
        self._password = password.encode() if isinstance(password, str) else password

    def enable_bridge_mode(self) -> None:
        """Say in CONNECT that we are a bridge, as Mosquitto understands it: what we publish does not come back."""
        self._client_mode = MQTT_BRIDGE

    @property
    def will_topic(self) -> str | None:
        """Where the will goes; empty if there is none."""
        return None if self._will_topic is None else self._will_topic.decode()

    @property
    def will_payload(self) -> bytes | bytearray | None:
        """What the will says."""
        return self._will_payload

    def will_set(
        self,
        topic: str,
        payload: PayloadType = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Set what the broker publishes when the next connection ends without a ``disconnect``.

        Raises:
            ValueError: no topic, no such QoS, or properties that are none.
            TypeError: as for the payload of ``publish``.
        """
        if topic is None or len(topic) == 0:
            raise ValueError("Invalid topic.")
        if qos < 0 or qos > 2:
            raise ValueError("Invalid QoS level.")
        if properties and not isinstance(properties, Properties):
            raise ValueError("The properties argument must be an instance of the Properties class.")
        self._will_payload = payload if isinstance(payload, bytearray) else encode_payload(payload)
        self._will = True
        self._will_topic = topic.encode()
        self._will_qos = qos
        self._will_retain = retain
        self._will_properties = properties

    def will_clear(self) -> None:
        """Have no will."""
        self._will = False
        self._will_topic = b""
        self._will_payload = b""
        self._will_qos = 0
        self._will_retain = False

    # With which limits

    @property
    def max_inflight_messages(self) -> int:
        """Messages above QoS 0 on their way at a time; 0: any number. Cannot be set while there is a connection."""
        return self._max_inflight_messages

    @max_inflight_messages.setter
    def max_inflight_messages(self, value: int) -> None:
        self._check_closed("max_inflight_messages")
        if value < 0:
            raise ValueError("Invalid inflight.")
        self._max_inflight_messages = value

    def max_inflight_messages_set(self, inflight: int) -> None:
        """Set ``max_inflight_messages``."""
        self.max_inflight_messages = inflight

    @property
    def max_queued_messages(self) -> int:
        """Messages above QoS 0 that may be unfinished; 0: any number. Cannot be set while there is a connection."""
        return self._max_queued_messages

    @max_queued_messages.setter
    def max_queued_messages(self, value: int) -> None:
        self._check_closed("max_queued_messages")
        if value < 0:
            raise ValueError("Invalid queue size.")
        self._max_queued_messages = value

    def max_queued_messages_set(self, queue_size: int) -> Self:
        """Set ``max_queued_messages``; returns the client."""
        if not isinstance(queue_size, int):
            raise TypeError("queue_size should be an int")
        self.max_queued_messages = queue_size
        return self

    # What comes of it

    def _way(self) -> Way:
        return Way(
            host=self._host,
            port=self._port,
            transport=self._transport,
            timeout=self._connect_timeout,
            bind_address=self._bind_address,
            bind_port=self._bind_port,
            tls_context=self._ssl_context if self._ssl else None,
            tls_insecure=self._tls_insecure,
            proxy=self._proxy,
            websocket_path=self._websocket_path,
            websocket_headers=self._websocket_extra_headers,
        )

    def _connect_packet(self) -> Connect:
        """The CONNECT that opens the next connection.

        Raises:
            ValueError: what it cannot say.
        """
        is_5 = self._protocol == codes.MQTT_5
        if not is_5:
            is_clean = self._clean_session
        elif self._clean_start == MQTT_CLEAN_START_FIRST_ONLY:
            is_clean = self._mqttv5_first_connect
        else:
            is_clean = bool(self._clean_start)
        user_name = None if self._username is None else self._username.decode()
        will = None
        if self._will:
            will = Will(
                self._will_topic.decode(),
                bytes(self._will_payload),
                qos=self._will_qos,
                retain=bool(self._will_retain),
                properties=to_wire(self._will_properties, WILL) if is_5 else None,
            )
        return Connect(
            self._client_id.decode(),
            version=int(self._protocol),
            clean_start=is_clean,
            keep_alive=self._keepalive,
            will=will,
            user_name=user_name,
            # A password alone, which MQTT 5 allows, paho does not send.
            password=None if user_name is None else self._password,
            properties=to_wire(self._connect_properties, codes.CONNECT) if is_5 else None,
        )
