"""The broker's log: rare events as one line each, by Python's ``logging`` under the name ``telex``."""

import logging

from telex.codes import MQTT_3_1, MQTT_5
from telex.engine.seams import Observer
from telex.engine.visit import Visit
from telex.wire.packets import Connect

logger = logging.getLogger("telex")


class LogObserver(Observer):
    """Writes down what the engine tells: who came and went (INFO), what they asked for (DEBUG), losses (WARNING)."""

    def connected(self, visit: Visit, packet: Connect) -> None:
        """A client's CONNECT was accepted."""
        version = "5.0" if packet.version == MQTT_5 else "3.1" if packet.version == MQTT_3_1 else "3.1.1"
        logger.info(
            "connected client=%r address=%s version=%s keep_alive=%d user=%r",
            visit.client_id,
            visit.address,
            version,
            packet.keep_alive,
            packet.user_name,
        )

    def refused(self, visit: Visit, reason: str) -> None:
        """A CONNECT was refused."""
        logger.warning("refused client=%r address=%s reason=%s", visit.client_id, visit.address, reason)

    def disconnected(self, visit: Visit, reason: str, now: float) -> None:
        """A connection is over."""
        logger.info("disconnected client=%r address=%s reason=%s", visit.client_id, visit.address, reason)

    def denied(self, visit: Visit, action: str, topic: str, rule: str) -> None:
        """A client may not do what it wanted to."""
        logger.warning(
            "denied %s client=%r user=%r address=%s topic=%r rule=%s",
            action,
            visit.client_id,
            visit.user,
            visit.address,
            topic,
            rule or "its permissions",
        )

    def subscribed(self, client_id: str, topic_filter: str, qos: int) -> None:
        """A client subscribed."""
        logger.debug("subscribed client=%r filter=%r qos=%d", client_id, topic_filter, qos)

    def unsubscribed(self, client_id: str, topic_filter: str) -> None:
        """A client unsubscribed."""
        logger.debug("unsubscribed client=%r filter=%r", client_id, topic_filter)

    def missed(self, client_id: str, count: int, total: int) -> None:
        """A client did not get some messages."""
        logger.warning("dropped messages client=%r count=%d in_session=%d", client_id, count, total)

    def dropping(self, client_id: str, topic: str, reason: str) -> None:
        """The first of a row of messages that a client will not get."""
        logger.warning("dropping messages client=%r topic=%r reason=%s", client_id, topic, reason)
