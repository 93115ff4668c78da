"""The API's operations about messages: publish, and what is retained.

Rights and limits are those that a client would have that came in at the HTTP port.
"""

import math
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from telex import topics
from telex.codes import MQTT_5, ReasonCode, reason_name
from telex.engine.engine import message_of
from telex.engine.message import Message
from telex.engine.permissions import Grant, publishing, receiving
from telex.server.config import ConfigError, Listener, limits_of
from telex.server.guard import Meter
from telex.server.web import types
from telex.server.web.house import House
from telex.server.web.listing import SLICE, Topics, key_of, token_of, turn
from telex.server.web.logins import Caller
from telex.server.web.operations import Asked, Operation, get, refused, time_of
from telex.server.web.problems import Refusal
from telex.wire.encode import encode
from telex.wire.packets import Publish
from telex.wire.properties import Properties

_UNITS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_MOST_METERS: Final = 1_000
_CLEARED: Final = 200  # retained messages that are cleared in one turn of the loop: each is a publish


class Messages:
    """Messages of one broker.

    Args:
        house: the broker.
        listener: tells as what listener people come in here.
    """

    def __init__(self, house: House, listener: Callable[[], Listener]) -> None:
        self._house = house
        self._listener = listener
        self._topics = Topics(house.now)
        self._meters: OrderedDict[tuple[str, str], Meter] = OrderedDict()  # by user and address, of those who publish
        page = types.Page
        self.operations = [
            Operation(
                "POST", "/publish", "Publish a message", types.Published, self._publish, body=types.PublishRequest
            ),
            get("/retained", "Retained messages", page[types.RetainedItem], self._retained, types.RetainedQuery),
            Operation(
                "DELETE",
                "/retained",
                "Clear retained messages",
                types.Deleted,
                self._delete_retained,
                types.RetainedDelete,
            ),
            get("/retained/{topic}", "A retained message", types.RetainedMessage, self._retained_one),
        ]

    async def _publish(self, asked: Asked) -> types.Published:
        house, wish = self._house, asked.body
        assert isinstance(wish, types.PublishRequest)
        now = house.now()
        _check_topic(wish.topic)
        topic = self._mount_point + wish.topic
        message = message_of(topic, _payload_of(wish), wish.qos, wish.retain, _properties_of(wish.properties), now)
        message.publisher_user = asked.caller.user or ""
        grant = publishing(asked.caller.permissions, topic)
        if topic.startswith("$CONTROL/"):  # an order, which is answered to the client that gave it
            raise refused(403, ReasonCode.NOT_AUTHORIZED, "orders to the broker are given by MQTT")
        if grant.max_qos < wish.qos or (wish.retain and not grant.may_retain):
            house.engine.observer.denied(asked.caller.visit, "publish", topic, grant.rule)
            raise refused(403, ReasonCode.NOT_AUTHORIZED, f"no permission to publish that to {topics.shown(topic)}")
        self._check_limits(message)
        self._check_rate(asked.caller, message, now)
        has_reached = house.engine.publish(message, None, now)
        house.flush_soon()
        if (wish.qos or wish.retain) and not await house.stored():
            raise refused(503, ReasonCode.QUOTA_EXCEEDED, "the broker cannot store it now")
        code = ReasonCode.SUCCESS if has_reached else ReasonCode.NO_MATCHING_SUBSCRIBERS
        return types.Published(int(code), reason_name(code))

    def _check_rate(self, caller: Caller, message: Message, now: float) -> None:
        """Refuse who brings more than a client may that comes from there."""
        key = (caller.user or "", caller.visit.host)
        meter = self._meters.pop(key, None) or self._house.guard.meter(caller.visit.host)
        if meter is None:  # nothing is limited
            return
        self._meters[key] = meter
        if len(self._meters) > _MOST_METERS:
            self._meters.popitem(last=False)
        pause = meter.received(message.weight, 1, now)
        if pause:
            seconds = math.ceil(abs(pause))
            text = f"It brings more than it may; expected it to wait for {seconds} s."
            raise Refusal(429, text, {"Retry-After": str(seconds)}, reason_code=int(ReasonCode.MESSAGE_RATE_TOO_HIGH))

    def _check_limits(self, message: Message) -> None:
        """Refuse what a client that came in here could not publish either."""
        engine = self._house.engine
        try:
            options = limits_of(self._house.config, self._listener())
        except ConfigError:  # it was checked when the broker began
            options = engine.options
        if message.qos > options.maximum_qos:
            raise refused(422, ReasonCode.QOS_NOT_SUPPORTED, f"QoS {message.qos}, {options.maximum_qos} is allowed")
        if message.retain and not options.retain_available:
            raise refused(422, ReasonCode.RETAIN_NOT_SUPPORTED, "retained messages are switched off")
        if message.retain and message.topic.count("/") >= options.max_topic_levels:
            text = f"the topic has more than {options.max_topic_levels} levels"
            raise refused(422, ReasonCode.TOPIC_NAME_INVALID, text)
        if len(message.topic.encode()) > topics.MAX_TOPIC_BYTES:
            raise refused(422, ReasonCode.TOPIC_NAME_INVALID, "the topic is longer than 65,535 bytes")
        most = options.maximum_payload_size
        if len(message.payload) > most:
            raise refused(
                413, ReasonCode.QUOTA_EXCEEDED, f"a payload of {len(message.payload):,} bytes, we take {most:,}"
            )
        size, most = _packet_size(message), options.maximum_packet_size
        if size > most:
            raise refused(413, ReasonCode.PACKET_TOO_LARGE, f"a packet of {size:,} bytes, we take {most:,}")
        if engine.journal.is_failing and (message.qos or message.retain):
            raise refused(503, ReasonCode.QUOTA_EXCEEDED, "the broker cannot store it now")
        if message.retain and not engine.may_retain(message):
            raise refused(507, ReasonCode.QUOTA_EXCEEDED, "the broker retains as much as it may")

    # What is retained

    async def _retained(self, asked: Asked) -> types.Page[types.RetainedItem]:
        query = asked.query
        assert isinstance(query, types.RetainedQuery)
        engine = self._house.engine
        until = self._until(query.older_than)
        self._check_subscribe(asked.caller, query.filter)
        mount_point = self._mount_point
        after = key_of(query.after)
        found: list[types.RetainedItem] = []
        looked = 0
        # The keys are whole topics, as the others are known to the broker.
        for topic in await self._topics.after(engine.retained, mount_point + query.filter, after):
            looked += 1
            if looked % SLICE == 0:
                await turn()
            if not topic.startswith(mount_point):  # "house/#" is about "house" too, which stands above
                continue
            message = engine.retained.get(topic, self._house.now())
            if message is None or not self._may_see(asked.caller, message) or message.published_at > until:
                continue
            if len(found) == query.limit:
                return types.Page(found, token_of(mount_point + found[-1].topic))
            found.append(types.RetainedItem(**self._described(asked.caller, message)))
        return types.Page(found, None)

    async def _retained_one(self, asked: Asked) -> types.RetainedMessage:
        _check_topic(asked.name)
        self._check_subscribe(asked.caller, asked.name)
        message = self._house.engine.retained.get(self._mount_point + asked.name, self._house.now())
        if message is None or not self._may_see(asked.caller, message):
            raise Refusal(404, f"The topic {topics.shown(asked.name)} has no retained message.")
        return types.RetainedMessage(
            **self._described(asked.caller, message),
            payload=_text(message.payload),
            payload_base64=b64encode(message.payload).decode(),
            properties=_shown_properties(message),
        )

    async def _delete_retained(self, asked: Asked) -> types.Deleted:
        """Clear them a few at a time, each as a client would: those that subscribed are told."""
        query = asked.query
        assert isinstance(query, types.RetainedDelete)
        house = self._house
        self._check_subscribe(asked.caller, query.filter)
        until = self._until(query.older_than)
        walk = house.engine.retained.walk(self._mount_point + query.filter)
        matched = removed = 0
        while not walk.is_over:
            await turn()
            if not query.dry_run and house.engine.journal.is_failing:
                raise refused(503, ReasonCode.QUOTA_EXCEEDED, f"the broker cannot store now; {removed:,} are cleared")
            for message in walk.take(SLICE if query.dry_run else _CLEARED, house.now()):
                is_above = not message.topic.startswith(self._mount_point)
                if is_above or message.published_at > until or not self._may_see(asked.caller, message):
                    continue
                matched += 1
                if not query.dry_run and self._clear(asked.caller, message):
                    removed += 1
            house.flush_soon()
        if removed and not await house.stored():
            raise refused(503, ReasonCode.QUOTA_EXCEEDED, "the broker cannot store that they are cleared")
        return types.Deleted(matched, removed)

    def _clear(self, caller: Caller, message: Message) -> bool:
        """Whether somebody may clear a retained message; then it is done."""
        grant = publishing(caller.permissions, message.topic)
        if grant.max_qos < 0 or not grant.may_retain:
            return False
        self._house.engine.publish(Message(message.topic, b"", 0, retain=True), None, self._house.now())
        return True

    @property
    def _mount_point(self) -> str:
        return self._listener().mount_point

    def _until(self, age: str | None) -> float:
        """When a message must have been published at the latest to be so old."""
        if age is None:
            return float("inf")
        unit = _UNITS.get(age[-1])
        if unit is None and not age[-1].isdigit():  # to a pattern, a line may end before its end
            raise Refusal(422, "older_than: expected seconds, or a number with a unit: 90s, 15m, 12h, 7d, 4w.")
        return self._house.now() - (int(age) if unit is None else int(age[:-1]) * unit)

    def _check_subscribe(self, caller: Caller, topic_filter: str) -> None:
        """Refuse who could not subscribe to that filter."""
        try:
            topics.check_filter(topic_filter)
        except ValueError as error:
            raise Refusal(422, f"{error}") from None
        if topics.is_shared(topic_filter):
            raise Refusal(422, "Expected a filter without $share.")
        whole = self._mount_point + topic_filter
        grant: Grant = caller.permissions.grant_subscribe(whole)
        if grant.max_qos < 0:
            self._house.engine.observer.denied(caller.visit, "subscribe", whole, grant.rule)
            text = f"no permission to subscribe to {topics.shown(topic_filter)}"
            raise refused(403, ReasonCode.NOT_AUTHORIZED, text)

    def _may_see(self, caller: Caller, message: Message) -> bool:
        grant = receiving(caller.permissions, message.topic)
        return grant.max_qos >= 0 and grant.may_retain

    def _described(self, caller: Caller, message: Message) -> dict[str, Any]:
        publisher = None
        if caller.is_administrator and (message.publisher_id or message.publisher_user):
            publisher = types.Publisher(message.publisher_id or None, message.publisher_user or None)
        return {
            "topic": message.topic.removeprefix(self._mount_point),
            "size": len(message.payload),
            "qos": message.qos,
            "published": time_of(message.published_at) if message.published_at else None,
            "publisher": publisher,
            "expires": None if message.expires_at is None else time_of(message.expires_at),
        }


# What a message is made of


def _check_topic(topic: str) -> None:
    try:
        topics.check_name(topic)
    except ValueError as error:
        raise refused(422, ReasonCode.TOPIC_NAME_INVALID, str(error)) from None


def _packet_size(message: Message) -> int:
    """As a client would have sent it."""
    publish = Publish(
        message.topic,
        message.payload,
        qos=message.qos,
        retain=message.retain,
        packet_id=1 if message.qos else 0,
        properties=message.properties,
    )
    return len(encode(publish, MQTT_5))


def _base64(text: str, name: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Refusal(422, f"{name}: expected base64.") from None


def _payload_of(wish: types.PublishRequest) -> bytes:
    if wish.payload is not None and wish.payload_base64 is not None:
        raise Refusal(422, "Expected payload or payload_base64, not both.")
    if wish.payload_base64 is not None:
        return _base64(wish.payload_base64, "payload_base64")
    return _encoded(wish.payload or "", "payload")


def _encoded(text: str, name: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise Refusal(422, f"{name}: a surrogate is no character.") from None


def _properties_of(wish: types.PublishProperties) -> Properties | None:
    if wish == types.PublishProperties():
        return None
    if wish.response_topic is not None:
        _check_topic(wish.response_topic)
    texts = {"content_type": wish.content_type or ""}
    texts.update((f"user_properties[{number}]", "".join(pair)) for number, pair in enumerate(wish.user_properties))
    for name, text in texts.items():
        if "\0" in text or len(_encoded(text, name)) > topics.MAX_TOPIC_BYTES:
            raise Refusal(422, f"{name}: expected text of at most 65,535 bytes, without null characters.")
    correlation = None if wish.correlation_data is None else _base64(wish.correlation_data, "correlation_data")
    return Properties(
        content_type=wish.content_type,
        response_topic=wish.response_topic,
        correlation_data=correlation,
        message_expiry_interval=wish.message_expiry_interval,
        payload_format_indicator=wish.payload_format_indicator,
        user_properties=tuple(wish.user_properties),
    )


def _shown_properties(message: Message) -> types.PublishProperties:
    said = message.properties
    if said is None:
        return types.PublishProperties()
    correlation = said.correlation_data
    return types.PublishProperties(
        content_type=said.content_type,
        response_topic=said.response_topic,
        correlation_data=None if correlation is None else b64encode(correlation).decode(),
        payload_format_indicator=said.payload_format_indicator,
        user_properties=list(said.user_properties),
    )


def _text(payload: bytes) -> str | None:
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None
