"""The types of packets, by number and by name."""

from telex import codes


class PacketTypes:
    """The numbers of the packet types (section 2.1.2), and their names in ``Names``."""

    indexes = range(codes.CONNECT, codes.AUTH + 1)

    CONNECT = codes.CONNECT
    CONNACK = codes.CONNACK
    PUBLISH = codes.PUBLISH
    PUBACK = codes.PUBACK
    PUBREC = codes.PUBREC
    PUBREL = codes.PUBREL
    PUBCOMP = codes.PUBCOMP
    SUBSCRIBE = codes.SUBSCRIBE
    SUBACK = codes.SUBACK
    UNSUBSCRIBE = codes.UNSUBSCRIBE
    UNSUBACK = codes.UNSUBACK
    PINGREQ = codes.PINGREQ
    PINGRESP = codes.PINGRESP
    DISCONNECT = codes.DISCONNECT
    AUTH = codes.AUTH

    WILLMESSAGE = 99
    """No packet: the properties of a will, which travel within CONNECT (section 3.1.3.2)."""

    Names = (
        "reserved",
        "Connect",
        "Connack",
        "Publish",
        "Puback",
        "Pubrec",
        "Pubrel",
        "Pubcomp",
        "Subscribe",
        "Suback",
        "Unsubscribe",
        "Unsuback",
        "Pingreq",
        "Pingresp",
        "Disconnect",
        "Auth",
    )
