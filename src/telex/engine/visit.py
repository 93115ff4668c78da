"""One connection as people see it: who came, from where, and what it did."""


class Visit:
    """What is known of one client's connection; it grows until the client is admitted.

    Args:
        address: where it comes from, for people: with the port.
        host: its IP address alone; empty: it came by a Unix socket.
        listener: where it came in, for people.
        identity: whom its TLS certificate, or its pre-shared key, names; empty: nobody.
    """

    def __init__(self, address: str, host: str = "", listener: str = "", identity: str = "") -> None:
        self.address = address
        self.host = host
        self.listener = listener
        self.identity = identity
        self.login: object = None  # what the gate remembers of it
        self.given_id = ""  # the client id that it gets from us, if it brings none
        self.client_id = ""  # until CONNECT says it, or we give it one
        self.user = ""  # who it says it is; once admitted, who it is
        self.version = 0  # of the protocol; 0: it has not said CONNECT
        self.keep_alive = 0  # seconds
        self.clean_start = False
        self.began_at = 0.0  # when the connection came
        self.publish_received = 0  # messages
        self.publish_sent = 0
        self.bytes_received = 0  # of all packets
        self.bytes_sent = 0
