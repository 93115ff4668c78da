"""Who talks to a broker that is killed again and again: each is one client with one habit.

``plays`` is what an actor does from a start of the broker to its death; ``settles``
is what it does when nobody disturbs it, until all that it is owed has come. Chance
comes from a generator of its own, so that a seed gives it the same intentions.
"""

import asyncio
import random
from abc import ABC, abstractmethod

from telex.wire.packets import Publish
from tests.crash.client import Client, Surroundings
from tests.crash.referee import Message

TOPICS = 4
"""On which a publisher publishes in turn."""

PUBLISHERS = ("ann", "bob", "cid")
_RETAINED_TOPICS = 5
_IDLE = 10.0  # seconds without a packet after which nothing more is expected


class Actor(ABC):
    """One client with one habit."""

    def __init__(self, surroundings: Surroundings, client: Client, seed: str, *, qos: int) -> None:
        self.surroundings = surroundings
        self.client = client
        self.name = client.name
        self.qos = qos  # of most messages
        self.chance = random.Random(f"{seed} {client.name}")

    async def joins(self) -> bool:
        """Connect, with all subscriptions: False if the broker died meanwhile."""
        return (self.client.is_connected or await self.client.connects()) and await self.client.catches_up()

    async def pauses(self, seconds: float) -> None:
        """Let some time pass, up to so many seconds."""
        await asyncio.sleep(self.chance.uniform(0, seconds))

    @abstractmethod
    async def plays(self) -> None:
        """Go on until the broker dies, or for a while."""

    async def settles(self) -> None:
        """Come, stay, and bring everything to its end."""
        client = self.client
        client.patience = 0
        if not await self.joins():
            return
        client.gives_answers(0)
        referee = self.surroundings.referee
        while client.unfinished or not referee.is_done(client.name):
            if not await client.changed(_IDLE):
                return  # the referee says what is missing
        await client.pings()

    async def returns(self) -> None:
        """Come back once more, when there is nothing left to be done."""
        if await self.joins():
            await self.client.pings()


class Publisher(Actor):
    """Publishes in bursts, each message with the next number."""

    def __init__(self, surroundings: Surroundings, client: Client, seed: str, *, qos: int) -> None:
        super().__init__(surroundings, client, seed, qos=qos)
        self._number = 0

    async def plays(self) -> None:
        client, chance = self.client, self.chance
        while await self.joins():
            client.window = chance.choice((1, 5, 20, 50))
            while client.is_connected:
                for _ in range(chance.randrange(1, 30)):
                    client.publishes(self.message())
                if not await client.has_finished(client.window):
                    break
                await self.pauses(0.03)
                if chance.random() < 0.02:  # it loses its connection, and nobody else does
                    client.drops()

    def message(self) -> Message:
        """The next one."""
        chance = self.chance
        self._number += 1
        qos = self.qos if chance.random() < 0.95 else chance.choice((1, 2))
        size = chance.randrange(100) if chance.random() < 0.98 else chance.randrange(20_000)
        return Message(self.name, self._number, f"load/{self.name}/{chance.randrange(TOPICS)}", qos, size)


class Keeper(Publisher):
    """Publishes retained messages, and deletes some."""

    def message(self) -> Message:
        chance = self.chance
        self._number += 1
        topic = f"kept/{self.name}/{chance.randrange(_RETAINED_TOPICS)}"
        is_deletion = False
        if chance.random() < 0.3:
            topic = f"fading/{self.name}/{chance.randrange(_RETAINED_TOPICS)}"
            is_deletion = chance.random() < 0.5
        return Message(
            self.name,
            self._number,
            topic,
            max(self.qos, 1),
            chance.randrange(200),
            retain=True,
            is_deletion=is_deletion,
        )


class Reader(Actor):
    """Stays connected, and holds back some answers."""

    _most_patience = 8

    async def plays(self) -> None:
        while await self.joins():
            self.client.patience = self.chance.randrange(self._most_patience + 1)
            while self.client.is_connected:
                await self.pauses(0.1)
                await self.client.pings()


class PromptReader(Reader):
    """Stays connected, and answers at once."""

    _most_patience = 0


class Visitor(Reader):
    """Comes and goes: with a word, without one, or by taking itself over."""

    async def plays(self) -> None:
        client, chance = self.client, self.chance
        while await self.joins():
            client.patience = chance.randrange(self._most_patience + 1)
            await self.pauses(0.2)
            way = chance.randrange(3)
            if way == 0:
                await client.disconnects()
            elif way == 1:
                client.drops()
            else:
                await client.connects()
                continue
            await self.pauses(0.1)


class Absentee(Actor):
    """Subscribes and leaves; comes for what has gathered after many lives of the broker, if at all."""

    _away = 0

    async def plays(self) -> None:
        client, referee = self.client, self.surroundings.referee
        self._away -= 1
        if self._away > 0 or not await self.joins():
            return
        while not referee.is_done(self.name):
            if not await client.changed(_IDLE):
                return  # it comes again in the next life
        self._away = self.chance.randrange(5, 25)
        await client.disconnects()


class Changer(Actor):
    """Subscribes to single topics and unsubscribes again."""

    async def plays(self) -> None:
        wanted, chance = self.client.wanted, self.chance
        while await self.joins():
            topic_filter = f"load/{chance.choice(PUBLISHERS)}/{chance.randrange(TOPICS)}"
            if topic_filter in wanted:
                del wanted[topic_filter]
            else:
                wanted[topic_filter] = 2
            await self.pauses(0.05)


class Cleaner(Actor):
    """Lets a queue grow, then starts clean."""

    async def plays(self) -> None:
        client, chance = self.client, self.chance
        await self.pauses(0.2)
        if not client.granted or client.must_start_clean:
            if await self.joins():
                await client.disconnects()
        elif chance.random() < 0.25:
            self.surroundings.on_clean_start()
            await client.connects(clean_start=True)


class Mayfly(Actor):
    """Has a session that soon ends, and comes back before or after."""

    _away = 0

    async def plays(self) -> None:
        self._away -= 1
        while self._away <= 0 and await self.joins():
            await self.pauses(0.1)
            await self.client.disconnects()
            await self.pauses(0.3)
            self._away = self.chance.choice((0, 0, 0, 1, 1, 2, 4, 12))


class Testator:
    """Leaves wills: with each life of the broker a new client that is there when it dies."""

    def __init__(self, surroundings: Surroundings, *, qos: int) -> None:
        self.surroundings = surroundings
        self.qos = max(qos, 1)
        self.client: Client | None = None
        self._will: Message | None = None
        self._count = 0

    async def plays(self) -> None:
        """Connect with a will, and make sure that the broker has it."""
        self._count += 1
        name = f"testator-{self._count}"
        version = 5 if self._count % 2 else 4
        client = self.client = Client(self.surroundings, name, version, expiry_interval=0)
        will = Message(name, 1, f"wills/{name}", self.qos)
        if await client.connects(clean_start=True, will=will):
            client.publishes(Message(name, 2, f"wills/{name}/alive", 1))
            # What is recorded later than the will is acknowledged: so the will is recorded.
            if await client.has_finished():
                self._will = will

    def dies(self) -> None:
        """The broker was killed while the client was there."""
        if self.client is not None:
            self.surroundings.referee.forgets(self.client.name)
            if self._will is not None:
                self.surroundings.referee.willed(self._will)
        self.client = self._will = None


class Looker:
    """Asks for all retained messages, with a new client each time."""

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.client: _LookingClient | None = None
        self._count = 0

    async def looks(self) -> None:
        """Let the referee judge what is retained now."""
        self._count += 1
        referee = self.surroundings.referee
        client = self.client = _LookingClient(self.surroundings, f"looker-{self._count}")
        if await client.connects(clean_start=True):
            floors = referee.retained_floors()
            if await client.catches_up() and await client.pings():
                while referee.missing_retained(floors, client.found) and await client.changed(_IDLE):
                    pass
            referee.judge_retained(floors, client.found, is_whole=client.is_connected)
            client.drops()
        referee.forgets(client.name)


class _LookingClient(Client):
    """Keeps the first payload of each topic; empty where it saw how a message was deleted."""

    def __init__(self, surroundings: Surroundings, name: str) -> None:
        super().__init__(surroundings, name, 5, expiry_interval=0, retain_handling=0)
        self.wanted = {"kept/#": 0, "fading/#": 0}
        self.found: dict[str, bytes] = {}

    def _got_publish(self, packet: Publish) -> None:
        self.found.setdefault(packet.topic, packet.payload)
