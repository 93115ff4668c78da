"""The message that a broker publishes when it loses a client (section 3.1.2.5).

Knows how people say it, and what CONNECT carries of it.
"""

from telex import topics
from telex.client.payloads import STANDARD, Codecs, UserProperties, encode_payload, user_property_pairs
from telex.wire import packets
from telex.wire.properties import WILL, Properties, encode_property_list


class Will:
    """What the broker is to publish when this client is gone without a farewell.

    Args:
        topic: where.
        payload: what: bytes, text, a number, or what JSON can say, as for ``publish``.
        qos: 0, 1 or 2.
        retain: whether the broker keeps it.
        will_delay_interval: seconds that the broker waits for the client to come back; None: none.
        message_expiry_interval: seconds after which it is of no use any more; None: it does not expire.
        content_type: what the payload is.
        response_topic: where an answer is expected.
        correlation_data: what an answer repeats.
        payload_format_indicator: 1: the payload is UTF-8 text.
        user_properties: a mapping, or pairs.

    All that follows ``retain`` is MQTT 5's: a broker of before does not get it.

    Raises:
        ValueError: a topic or a number that MQTT does not have.
        TypeError: user properties that are not text.
    """

    def __init__(
        self,
        topic: str,
        payload: object = b"",
        *,
        qos: int = 0,
        retain: bool = False,
        will_delay_interval: int | None = None,
        message_expiry_interval: int | None = None,
        content_type: str | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        payload_format_indicator: int | None = None,
        user_properties: UserProperties = (),
    ) -> None:
        topics.check_name(topic)
        if qos not in (0, 1, 2):
            raise ValueError(f"will on topic {topics.shown(topic)}: QoS is {qos!r}, expected 0, 1 or 2")
        self.topic = topic
        self.payload = payload
        self.qos = qos
        self.retain = retain
        self.properties = Properties(
            will_delay_interval=will_delay_interval,
            message_expiry_interval=message_expiry_interval,
            content_type=content_type,
            response_topic=response_topic,
            correlation_data=correlation_data,
            payload_format_indicator=payload_format_indicator,
            user_properties=user_property_pairs(user_properties),
        )
        encode_property_list(self.properties, WILL)  # whether they can be written: better now than at connecting

    def packet(self, codecs: Codecs = STANDARD) -> packets.Will:
        """The will as CONNECT carries it.

        Raises:
            PayloadError: the payload cannot be encoded.
        """
        properties = self.properties.copy()
        payload, properties.content_type = encode_payload(
            self.payload, self.topic, content_type=properties.content_type, codecs=codecs
        )
        said = None if properties == Properties() else properties
        return packets.Will(self.topic, payload, qos=self.qos, retain=self.retain, properties=said)

    def __repr__(self) -> str:
        return f"Will({topics.shown(self.topic)}, qos={self.qos}, retain={self.retain})"
