"""What the drop-in for paho-mqtt raises where neither Python nor the operating system has a name for it."""


class MQTTException(Exception):
    """A property or an option that MQTT does not have there, or a broker that refused one of the helpers."""


class MalformedPacket(MQTTException):
    """Bytes that are not what MQTT says they are."""
