"""What the broker says of itself under ``$SYS``: names and formats as Mosquitto has them.

Besides, ``store/state`` and ``connections/refused/count``, which Mosquitto has not.

All are retained, of QoS 2, and published at the interval, each only when its value
has changed.
"""

import math
from collections.abc import Callable, Mapping
from typing import Final

from telex.engine.engine import Engine
from telex.engine.message import Message

_MINUTES: Final = (1, 5, 15)


class SysTopics:
    """The ``$SYS`` topics of one engine.

    Args:
        engine: whose numbers are shown.
        version: the text of ``$SYS/broker/version``.
        now: the time of the start, on the engine's clock.
        others: numbers that the engine does not know, by topic.
    """

    def __init__(
        self, engine: Engine, version: str, now: float, others: Callable[[], Mapping[str, int]] = dict
    ) -> None:
        self._engine = engine
        self._version = version
        self._others = others
        self._started_at = now
        self._last_at = now  # when the loads were worked out last
        self._published: dict[str, str] = {}
        self._counted: dict[str, int] = {}  # the loads' counters then
        self._loads: dict[tuple[str, int], float] = {}

    def publish(self, now: float) -> None:
        """Publish what has changed since the last time."""
        self._tell("version", self._version, now)
        self._tell("uptime", f"{int(now - self._started_at)} seconds", now)
        for topic, value in (*self._numbers().items(), *self._others().items()):
            self._tell(topic, str(value), now)
        self.publish_state(now)
        self._publish_loads(now)

    def publish_state(self, now: float) -> None:
        """Publish whether what must outlive the process can be stored: ``ok``, ``failing``, or ``memory`` only."""
        journal = self._engine.journal
        state = "failing" if journal.is_failing else "ok" if journal.gives_back else "memory"
        self._tell("store/state", state, now)

    @property
    def values(self) -> dict[str, str]:
        """What was published last, by topic."""
        return {f"$SYS/broker/{topic}": value for topic, value in self._published.items()}

    def _tell(self, topic: str, value: str, now: float) -> None:
        if self._published.get(topic) == value:
            return
        self._published[topic] = value
        self._engine.publish(Message(f"$SYS/broker/{topic}", value.encode(), qos=2, retain=True), None, now)

    def _numbers(self) -> dict[str, int]:
        engine = self._engine
        stats = engine.stats
        connected = stats.clients_connected
        total = len(engine.sessions)
        waiting = sum(session.message_count for session in engine.sessions.values())
        stored = engine.retained.count + waiting
        out_count = sum(len(session.outbox.frames) for session in engine.sessions.values() if session.outbox)
        out_bytes = sum(session.outbox.size for session in engine.sessions.values() if session.outbox)
        return {
            "clients/total": total,
            "clients/maximum": stats.clients_maximum,
            "clients/disconnected": total - connected,
            "clients/inactive": total - connected,
            "clients/connected": connected,
            "clients/active": connected,
            "clients/expired": stats.clients_expired,
            "messages/stored": stored,
            "store/messages/count": stored,
            "store/messages/bytes": engine.retained.bytes,
            "subscriptions/count": engine.subscriptions.count,
            "shared_subscriptions/count": engine.subscriptions.shared_count,
            "retained messages/count": engine.retained.count,
            "messages/received": stats.packets_received,
            "messages/sent": stats.packets_sent,
            "bytes/received": stats.bytes_received,
            "bytes/sent": stats.bytes_sent,
            "publish/bytes/received": stats.publish_bytes_received,
            "publish/bytes/sent": stats.publish_bytes_sent,
            "packet/out/count": out_count,
            "packet/out/bytes": out_bytes,
            "connections/socket/count": stats.sockets_open,
            "publish/messages/dropped": stats.publish_dropped,
            "publish/messages/received": stats.publish_received,
            "publish/messages/sent": stats.publish_sent,
        }

    def _counters(self) -> dict[str, int]:
        stats = self._engine.stats
        return {
            "messages/received": stats.packets_received,
            "messages/sent": stats.packets_sent,
            "publish/dropped": stats.publish_dropped,
            "publish/received": stats.publish_received,
            "publish/sent": stats.publish_sent,
            "bytes/received": stats.bytes_received,
            "bytes/sent": stats.bytes_sent,
            "sockets": stats.sockets_opened,
            "connections": stats.connections_opened,
        }

    def _publish_loads(self, now: float) -> None:
        """Moving averages of what happens in a minute, over 1, 5 and 15 minutes."""
        elapsed = now - self._last_at
        self._last_at = now
        for name, count in self._counters().items():
            a_minute = (count - self._counted.get(name, 0)) * 60 / elapsed if elapsed > 0 else 0.0
            self._counted[name] = count
            for minutes in _MINUTES:
                former = self._loads.get((name, minutes), 0.0)
                load = a_minute + math.exp(-elapsed / (minutes * 60)) * (former - a_minute)
                self._loads[name, minutes] = load
                topic = f"load/{name}/{minutes}min"
                told = self._published.get(topic)
                if told is None or abs(load - float(told)) >= 0.01:
                    self._tell(topic, f"{load:.2f}", now)
