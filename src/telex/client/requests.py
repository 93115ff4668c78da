"""Requests and their answers (section 4.10): which answer belongs to which request.

Knows correlation data, and one topic on which all answers to this client come.
Answers that come late, or to somebody else, meet nobody.
"""

import asyncio
import secrets
from typing import Final, Protocol

from telex import topics
from telex.client.message import Message
from telex.client.payloads import UserProperties
from telex.client.subscription import Subscription
from telex.codes import ReasonCode
from telex.errors import MqttError, NotConnected, Refused, Timeout
from telex.wire.properties import Properties

_NOBODY: Final = ReasonCode.NO_MATCHING_SUBSCRIBERS


class Asker(Protocol):
    """The client that asks."""

    @property
    def version(self) -> str:
        """The version of MQTT that is spoken."""

    @property
    def server(self) -> Properties:
        """What CONNACK has said."""

    @property
    def subscriptions(self) -> list[Subscription]:
        """All that are in use."""

    def read_on(self) -> None:
        """Take in what comes, whoever does not keep up with it."""

    async def wait_connected(self) -> None:
        """Wait until there is a connection."""

    async def publish(
        self,
        topic: str,
        payload: object = b"",
        *,
        qos: int = 0,
        content_type: str | None = None,
        message_expiry_interval: int | None = None,
        response_topic: str | None = None,
        correlation_data: bytes | None = None,
        user_properties: UserProperties = (),
    ) -> ReasonCode:
        """Publish."""

    def subscribe(self, *filters: str, qos: int = 0) -> Subscription:
        """Subscribe."""


class _Answers:
    """Where the answers come: one response topic."""

    def __init__(self, topic: str, subscription: Subscription) -> None:
        self.topic = topic
        self.subscription = subscription
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()  # the broker sends them here
        self.task: asyncio.Task[None] | None = None


class Requests:
    """The requests of one client that wait for their answers."""

    def __init__(self, client: Asker) -> None:
        self._client = client
        self._waiting: dict[bytes, asyncio.Future[Message]] = {}  # by correlation data
        self._answers: dict[str, _Answers] = {}  # by response topic
        self._own_topics: dict[int, str] = {}  # by the QoS at which they are subscribed to
        self._next_number = secrets.randbits(63)  # nobody else's correlation data are the same by chance

    async def request(
        self,
        topic: str,
        payload: object,
        *,
        timeout: float | None,
        qos: int,
        content_type: str | None,
        message_expiry_interval: int | None,
        response_topic: str | None,
        user_properties: UserProperties,
    ) -> Message:
        """As ``Client.request``."""
        topics.check_name(topic)
        if response_topic is not None:
            topics.check_name(response_topic)
        try:
            async with asyncio.timeout(timeout):
                return await self._request(
                    topic, payload, qos, content_type, message_expiry_interval, response_topic, user_properties
                )
        except TimeoutError:
            raise Timeout(f"no answer to the request on {topics.shown(topic)} within {timeout:g} s") from None

    async def _request(
        self,
        topic: str,
        payload: object,
        qos: int,
        content_type: str | None,
        message_expiry_interval: int | None,
        response_topic: str | None,
        user_properties: UserProperties,
    ) -> Message:
        client = self._client
        await client.wait_connected()
        if client.version != "5":
            raise ValueError(
                f"request() needs MQTT 5, and the broker speaks {client.version}: publish and subscribe there"
            )
        qos_of_answers = self._qos_of_answers()
        answers = await self._answers_on(response_topic or self._response_topic(qos_of_answers), qos_of_answers)
        self._next_number += 1
        correlation = self._next_number.to_bytes(9, "big")
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[correlation] = answer
        client.read_on()
        try:
            reason_code = await client.publish(
                topic,
                payload,
                qos=qos,
                content_type=content_type,
                message_expiry_interval=message_expiry_interval,
                response_topic=answers.topic,
                correlation_data=correlation,
                user_properties=user_properties,
            )
            if reason_code == _NOBODY and not answer.done():
                raise Refused(reason_code, f"nobody has subscribed to {topics.shown(topic)}, so nobody answers")
            return await answer
        finally:
            del self._waiting[correlation]
            if answer.done() and not answer.cancelled():
                answer.exception()  # it was looked at, also if publish has raised before

    @property
    def awaits_answers(self) -> bool:
        """Whether somebody waits for one."""
        return bool(self._waiting)

    async def stop(self) -> None:
        """Let go of the response topics; whoever waits is told."""
        self.closed(NotConnected("the client was closed"))
        tasks = [answers.task for answers in self._answers.values() if answers.task is not None]
        self._answers.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def closed(self, error: MqttError) -> None:
        """No answers will come."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)

    def _qos_of_answers(self) -> int:
        """2, so that an answer keeps its own and outlives a lost connection.

        But 0 if messages may wait here for a handler, and it for the answer: they may take all of Receive Maximum, and
        more like them wait at the broker in front of the answer.
        """
        own = [answers.subscription for answers in self._answers.values()]
        return 0 if any(each.may_hold_up for each in self._client.subscriptions if each not in own) else 2

    def _response_topic(self, qos: int) -> str:
        """A topic of our own, under the one that the broker names if it does (section 3.2.2.3.14)."""
        topic = self._own_topics.get(qos)
        if topic is None:
            information = self._client.server.response_information
            topic = f"{information.rstrip('/') if information else 'reply'}/{secrets.token_hex(8)}"
            self._own_topics[qos] = topic
        return topic

    async def _answers_on(self, topic: str, qos: int) -> _Answers:
        """Have the answers on a topic come here; subscribed once."""
        answers = self._answers.get(topic)
        if answers is None:
            answers = self._answers[topic] = _Answers(topic, self._client.subscribe(topic, qos=qos))
            answers.task = asyncio.get_running_loop().create_task(self._collect(answers), name="telex answers")
        await asyncio.shield(answers.ready)
        return answers

    async def _collect(self, answers: _Answers) -> None:
        try:
            async with answers.subscription as messages:
                answers.ready.set_result(None)
                async for message in messages:
                    waiting = self._waiting.get(message.correlation_data or b"")
                    if waiting is not None and not waiting.done():
                        waiting.set_result(message)
        except (MqttError, ValueError) as error:
            self._answers.pop(answers.topic, None)
            if not answers.ready.done():
                answers.ready.set_exception(error)
                answers.ready.exception()  # whoever asked gets it
