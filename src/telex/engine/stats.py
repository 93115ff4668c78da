"""What a broker counts. Plain integers, added up where things happen, sampled by whoever shows them."""


class Stats:
    """Counters since the start; ``server/sys_topics.py`` gives them their public names."""

    def __init__(self) -> None:
        self.packets_received = 0
        self.packets_sent = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.publish_received = 0
        self.publish_sent = 0
        self.publish_dropped = 0  # messages that a client should have got and did not
        self.publish_bytes_received = 0  # of payload
        self.publish_bytes_sent = 0
        self.sockets_opened = 0  # connections accepted, with a CONNECT or without
        self.sockets_open = 0
        self.connections_opened = 0  # CONNECTs that were accepted
        self.clients_connected = 0
        self.clients_maximum = 0  # the most sessions at one time
        self.clients_expired = 0  # sessions that ended because their time was over
