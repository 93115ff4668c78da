"""One life of a broker and its clients: a seed decides everything.

Knows what may happen, and how often. Knows no rule: what must hold is the
referee's business. A life has three parts: things happen; then everybody comes
back and everything comes to rest; then everybody leaves, and nothing may be left.

A life with a store has crashes: the broker's process ends, and another begins
with what the store has. Its clients live on.
"""

import gc
import random
from collections import Counter
from collections.abc import Callable
from itertools import accumulate

from telex.codes import NEVER_EXPIRES
from telex.engine.options import Options
from telex.engine.seams import Journal
from telex.engine.session import Session
from telex.wire.packets import Connect, SubscriptionRequest, Will
from telex.wire.properties import Properties
from tests.simulation.clients import Client, CoreClient, PlainClient
from tests.simulation.history import Event, Over, Rested, line
from tests.simulation.ledger import BIG, NO_LIMIT, Fault, Terms
from tests.simulation.referee import Referee
from tests.simulation.store import Store, TurnJournal
from tests.simulation.world import Link, World, leftovers

TOPICS = ["a", "a/b", "a/c", "a/b/c", "b", "b/b", "c/a/b", "$x/a"]
FILTERS = ["a", "a/b", "a/+", "a/#", "#", "+", "+/b", "+/+/c", "b/#", "b", "w/+", "$x/#", "c/a/b"]
SHARED = ["$share/g/a/#", "$share/g/a/b", "$share/h/a/#", "$share/h/+/b", "$share/h/#"]
SMALL_PACKETS = (150, 180)
"""Maximum Packet Sizes that every packet fits but that of a BIG message."""

_FIRST_OF_SHARES = 1_000
"""The Subscription Identifiers of groups begin here, those of other subscriptions are lower."""

_CENSUS_EVERY = 20
"""Of so many lives, one ends with a search of the memory, which takes longer than the life."""

_MOST_ROUNDS = 5_000
"""In so many rounds everything comes to rest."""

_LAST_EVENTS = 25


class Failure(AssertionError):
    """A life that broke a rule: which, what came before, and how to live it again."""


class Manners:
    """What kind of life a seed leads."""

    def __init__(self, chance: random.Random) -> None:
        def sometimes(share: float) -> bool:
            return chance.random() < share

        self.steps = chance.choice((200, 400, 800, 1_000, 1_300, 1_800, 2_500))
        self.clients = chance.randint(2, 5)
        self.shares = sometimes(0.35)
        self.retains = sometimes(0.4)
        self.wills = sometimes(0.4)
        self.expires = sometimes(0.35)
        self.is_big = sometimes(0.25)
        self.stalls = sometimes(0.2)
        self.keeps_alive = sometimes(0.4)
        self.has_impostors = sometimes(0.3)
        self.refuses = sometimes(0.2)
        self.restarts = sometimes(0.4)
        self.lasts_for_ever = sometimes(0.3)  # sessions do, that ask for it
        self.cuts = chance.choice((0, 1, 3, 10, 30))
        self.most_seconds = chance.choice((1, 3, 20))
        self.qos = chance.choice(((0, 1, 2), (1, 2), (1,), (2,), (0, 1, 1, 2, 2)))
        self.topics = chance.sample(TOPICS, chance.randint(2, len(TOPICS)))
        small = (1, 2, 3, 5)
        self.receive_maximum = chance.choice(small) if sometimes(0.4) else 1_000
        self.max_inflight = chance.choice(small) if sometimes(0.3) else 1_000
        self.max_queued = chance.choice((1, 2, 5, 10)) if sometimes(0.2) else NO_LIMIT
        self.max_queued_bytes = chance.choice((5, 20, 500)) if sometimes(0.15) else NO_LIMIT
        self.drops_oldest = sometimes(0.5)
        self.max_queue_memory = chance.choice((700, 1_500, 4_000)) if sometimes(0.3) else NO_LIMIT
        self.max_outbox_bytes = chance.choice((40, 200)) if self.stalls else 1_000_000
        self.session_expiry = NEVER_EXPIRES if self.lasts_for_ever else 30
        self.v3_session_expiry = chance.choice((3, 20, NEVER_EXPIRES))
        # What is recorded is forgotten (memory), safe at the end of its turn (at once), when chance has it (late),
        # or at some time, and counts as safe before (relaxed).
        self.store = chance.choice(("memory", "memory", "at once", "late", "late", "late", "late", "relaxed"))
        self.gives_back = sometimes(0.7)
        self.page = chance.choice((1, 2, 5, 500))
        # After this share of crashes the store gives back what its records come to, otherwise all of them.
        self.folds = chance.choice((0.0, 0.5, 1.0)) if self.gives_back else 0.0
        self.crashes = chance.choice((0, 1, 2, 6)) if self.store in ("at once", "late") else 0  # on the average
        self.failures = chance.choice((1, 3)) if self.store in ("at once", "late") and sometimes(0.3) else 0

    @property
    def has_store(self) -> bool:
        """Whether records go anywhere."""
        return self.store != "memory"

    def journal(self) -> Journal:
        """Where records go."""
        if not self.has_store:
            return Journal()
        return TurnJournal(Store(), 0, gives_back=self.gives_back, page=self.page, is_relaxed=self.store == "relaxed")

    def options(self) -> Options:
        """The limits of the broker."""
        return Options(
            receive_maximum=self.receive_maximum,
            max_inflight_messages=self.max_inflight,
            max_queued_messages=self.max_queued,
            max_queued_bytes=self.max_queued_bytes,
            queue_drops="oldest" if self.drops_oldest else "newest",
            max_queue_memory=self.max_queue_memory,
            max_outbox_bytes=self.max_outbox_bytes,
            maximum_session_expiry=self.session_expiry,
            v3_session_expiry=self.v3_session_expiry,
        )

    def terms(self) -> Terms:
        """The same, for the referee."""
        return Terms(
            maximum_session_expiry=self.session_expiry,
            v3_session_expiry=self.v3_session_expiry,
            receive_maximum=self.receive_maximum,
            max_inflight_messages=self.max_inflight,
            max_queued_messages=self.max_queued,
            max_queued_bytes=self.max_queued_bytes,
            drops_oldest=self.drops_oldest,
            max_queue_memory=self.max_queue_memory,
            gives_back=self.has_store and self.gives_back,
            may_drop_qos0=self.stalls,
            commits=self.store in ("at once", "late"),
        )


class Simulation:
    """A life, ready to be lived.

    Args:
        seed: decides everything.
        steps: how many there are, in place of as many as the seed has it.
        crash_after: in place of the crashes that the seed has, there is one soon after so many turns, and these
            are all that is safe then.
        is_verbose: print each event.
    """

    def __init__(
        self, seed: int, *, steps: int | None = None, crash_after: int | None = None, is_verbose: bool = False
    ) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        manners = self.manners = Manners(self.chance)
        manners.steps = steps or manners.steps
        self._crash_after = crash_after
        if crash_after is not None:
            manners.store, manners.crashes, manners.failures = "late", 0, 0
        self._undone = self.chance.randint(0, 12)  # turns, in that crash
        self.world = World(
            manners.options(),
            Referee(manners.terms()),
            manners.journal(),
            commits_at_once=manners.store == "at once",
            is_verbose=is_verbose,
        )
        self.clients = [self._client(number) for number in range(self.manners.clients)]
        self.impostors: list[PlainClient] = []
        self.count = 0  # of messages
        weighed = self._moves()
        self._choices = [move for move, _ in weighed]
        self._weights = list(accumulate(weight for _, weight in weighed))

    @property
    def counts(self) -> Counter[str]:
        """How often each kind of thing happened."""
        return self.world.history.counts

    def run(self) -> str:
        """Live the life: the digest of its history.

        Raises:
            Failure: a rule was broken, or something raised what nobody expected.
        """
        try:
            self._live()
            self._come_to_rest()
            self._leave()
        except Exception as error:
            raise Failure(self._report(error)) from error
        self._count_stats()
        return self.world.history.digest

    def _count_stats(self) -> None:
        stats = self.world.engine.stats
        self.counts["sessions expired"] += stats.clients_expired
        self.counts["dropped by the broker"] += stats.publish_dropped

    def _report(self, error: Exception) -> str:
        last = "\n".join(line(event) for event in self.events[-_LAST_EVENTS:])
        what = str(error) if isinstance(error, Fault) else f"{type(error).__name__}: {error}"
        return (
            f"seed {self.seed}, event {len(self.events):,}: {what}\n"
            f"the last events were\n{last}\n"
            f"seed {self.seed}: {what}\n"
            f"to live it again: python -m tests.simulation --seed {self.seed} --verbose"
        )

    @property
    def events(self) -> list[Event]:
        """What has happened so far."""
        return self.world.history.events

    # Things happen

    def _client(self, number: int) -> Client:
        chance = self.chance
        name = ["ann", "bob", "cyd", "dan", "eve"][number]
        version = chance.choice((4, 5, 5))
        is_core = chance.random() < 0.5
        refuses = self.manners.refuses and version == 5 and chance.random() < 0.5
        is_prompt = chance.random() < 0.3
        client: Client
        if is_core:
            client = CoreClient(self.world, name, name, version)
        else:
            client = PlainClient(self.world, name, name, version, is_prompt=is_prompt, refuses=refuses)
        if self.manners.shares and version == 4 and chance.random() < 0.5:
            client.share = chance.choice(SHARED)
        return client

    def _moves(self) -> list[tuple[Callable[[], bool], float]]:
        """What may happen, and how often. A move that finds nothing to do says False."""
        manners = self.manners
        once = 110 / manners.steps  # the weight of what happens once in a life
        return [
            (self._carry_up, 28),
            (self._carry_down, 36),
            (self._answer, 12),
            (self._publish, 18),
            (self._subscribe, 3),
            (self._unsubscribe, 1),
            (self._connect, 4),
            (self._cut, manners.cuts / 4),
            (self._take_over, manners.cuts / 20),
            (self._disconnect, 0.4),
            (self._let_time_pass, 1.5),
            (self._commit, 10 if manners.store in ("late", "relaxed") else 0),
            (self._answer_fetch, 3 if manners.has_store else 0),
            (self._check_law, once if manners.has_store else 0),
            (self._crash, manners.crashes * once),
            (self._fail, manners.failures * once),
            (self._recover, 1.5 if manners.failures else 0),
            (self._stop_reading, 1 if manners.stalls else 0),
            (self._read_again, 2 if manners.stalls else 0),
            (self._impose, 0.2 if manners.has_impostors else 0),
            (self._restart, 0.3 if manners.restarts else 0),
        ]

    def _live(self) -> None:
        for client in self.clients:
            self._open(client)
        choices = self.chance.choices
        for _ in range(self.manners.steps):
            (move,) = choices(self._choices, cum_weights=self._weights)
            if not move() and not self._carry_down() and not self._carry_up():
                self._publish()
            if self._crash_after is not None and self.world.turn >= self._crash_after + self._undone:
                self.crash(self._most_to_commit)
                self._crash_after = None

    def _carry_up(self) -> bool:
        links = [link for link in self.world.links.values() if link.up or link.ends_up]
        if not links:
            return False
        link = self.chance.choice(links)
        if not link.up:
            link.ends_up = False
            self.world.lose(link)
            return True
        count, cut_at = 1, 0
        if self.chance.random() < 0.3:
            count = self.chance.randint(1, 8)
            cut_at = self.chance.choice((0, 1, 5, 20))
        self.world.carry_up(link, count, cut_at)
        return True

    def _carry_down(self) -> bool:
        links = [link for link in self.world.links.values() if link.down or (link.ends_down and link.is_client_here)]
        if not links:
            return False
        link = self.chance.choice(links)
        user = self._user(link)
        if link.down:
            user.gets(link.down.popleft())
        else:
            user.loses_link()
        return True

    def _user(self, link: Link) -> Client:
        for client in (*self.clients, *self.impostors):
            if client.link is link:
                return client
        raise AssertionError(f"nobody has link {link.number}")

    def _answer(self) -> bool:
        clients = [client for client in self.clients if client.is_ready]
        if not clients:
            return False
        return self.chance.choice(clients).answers(self.chance.randint(1, 4))

    def _ready(self) -> Client | None:
        """Somebody who may send."""
        ready = [client for client in self.clients if client.is_ready]
        return self.chance.choice(ready) if ready else None

    def _publish(self) -> bool:
        client = self._ready()
        if client is None or client.unfinished > 12:
            return False
        chance, manners = self.chance, self.manners
        qos = chance.choice(manners.qos)
        retain = manners.retains and chance.random() < 0.25
        properties: Properties | None = None
        if client.version == 5:
            interval = chance.choice((1, 3, 10)) if manners.expires and chance.random() < 0.5 else None
            said = (("n", str(self.count)),) if chance.random() < 0.1 else ()
            if interval is not None or said:
                properties = Properties(message_expiry_interval=interval, user_properties=said)
                self.counts["message expiry"] += interval is not None
        payload = self._payload()
        if retain and chance.random() < 0.3:
            payload, properties = b"", None  # such messages cannot be told from each other
        self.counts[f"published at QoS {qos}"] += 1
        self.counts["retained"] += retain
        client.publishes(self.count, chance.choice(manners.topics), payload, qos, retain, properties)
        return True

    def _payload(self) -> bytes:
        self.count += 1
        payload = b"%d" % self.count
        if self.manners.is_big and self.chance.random() < 0.1:
            self.counts["big messages"] += 1
            return payload.ljust(BIG, b".")
        return payload

    def _subscribe(self) -> bool:
        client = self._ready()
        if client is None:
            return False
        chance = self.chance
        if self.manners.shares and (client.share or (client.version == 5 and chance.random() < 0.5)):
            return self._subscribe_to_share(client)
        requests = [self._request(client) for _ in range(chance.choice((1, 1, 2, 3)))]
        identifier = chance.randint(1, _FIRST_OF_SHARES - 1) if client.version == 5 and chance.random() < 0.4 else None
        client.topic_filters.extend(request.topic_filter for request in requests)
        self.counts["subscribed"] += len(requests)
        client.subscribes(requests, identifier)
        return True

    def _subscribe_to_share(self, client: Client) -> bool:
        """Subscribe in such a way that each message says by which group it came.

        A client of version 5 gives each group an identifier, another one is in no
        other group and has no other subscription.
        """
        topic_filter = client.share or self.chance.choice(SHARED)
        identifier = _FIRST_OF_SHARES + SHARED.index(topic_filter) if client.version == 5 else None
        client.topic_filters.append(topic_filter)
        self.counts["subscribed to a share"] += 1
        client.subscribes([SubscriptionRequest(topic_filter, self.chance.choice((0, 1, 2, 2)))], identifier)
        return True

    def _request(self, client: Client) -> SubscriptionRequest:
        chance = self.chance
        qos = chance.choice((0, 1, 2, 2))
        topic_filter = chance.choice(FILTERS)
        if client.version != 5:
            return SubscriptionRequest(topic_filter, qos)
        return SubscriptionRequest(
            topic_filter,
            qos,
            no_local=chance.random() < 0.15,
            retain_as_published=chance.random() < 0.3,
            retain_handling=chance.choice((0, 0, 1, 2)),
        )

    def _unsubscribe(self) -> bool:
        client = self._ready()
        if client is None or not client.topic_filters:
            return False
        self.counts["unsubscribed"] += 1
        client.unsubscribes([self.chance.choice(client.topic_filters)])
        return True

    def _connect(self) -> bool:
        away = [client for client in self.clients if client.link is None]
        if not away:
            return False
        self._open(self.chance.choice(away))
        return True

    def _open(self, client: Client, *, clean_start: bool | None = None) -> None:
        """Let a client connect, in one of many ways."""
        chance, manners = self.chance, self.manners
        if clean_start is None:
            clean_start = manners.restarts and chance.random() < 0.1
        clean_start = clean_start or client.has_forgotten
        self.counts["connected with a clean start" if clean_start else "connected"] += 1
        if client.link is not None:
            self.counts["took over"] += 1
        properties: Properties | None = None
        if client.version == 5:
            properties = Properties(
                session_expiry_interval=chance.choice((0, 3, 10, 60, 60, NEVER_EXPIRES, NEVER_EXPIRES)),
                receive_maximum=chance.choice((None, None, 1, 2, 5)),
                topic_alias_maximum=chance.choice((None, 0, 1, 3, 10)),
                maximum_packet_size=chance.choice((None, *SMALL_PACKETS)) if manners.is_big else None,
            )
        keep_alive = chance.choice((0, 2, 5, 10)) if manners.keeps_alive else 0
        client.opens(
            Connect(
                client.client_id,
                version=client.version,
                clean_start=clean_start,
                keep_alive=keep_alive,
                will=self._will(client),
                properties=properties,
            )
        )

    def _will(self, client: Client) -> Will | None:
        chance, manners = self.chance, self.manners
        if not manners.wills or chance.random() < 0.4:
            return None
        self.counts["wills"] += 1
        properties: Properties | None = None
        if client.version == 5:
            properties = Properties(
                will_delay_interval=chance.choice((None, 0, 2, 10)),
                message_expiry_interval=chance.choice((None, 5)) if manners.expires else None,
            )
        retain = manners.retains and chance.random() < 0.3
        topic = f"w/{client.client_id}"
        return Will(topic, self._payload(), qos=chance.choice((0, 1, 2)), retain=retain, properties=properties)

    def _take_over(self) -> bool:
        there = [client for client in self.clients if client.link is not None]
        if not there:
            return False
        self._open(self.chance.choice(there))
        return True

    def _restart(self) -> bool:
        """A client forgets everything, and begins again."""
        client = self.chance.choice(self.clients)
        self.counts["restarted"] += 1
        client.loses_link()
        client.restarts()
        self._open(client, clean_start=True)
        return True

    def _impose(self) -> bool:
        """Somebody else comes with a client's id, and goes again."""
        if self.impostors:
            impostor = self.impostors.pop()
            if impostor.is_ready and self.chance.random() < 0.5:
                impostor.disconnects(0, None)
            link = impostor.link
            impostor.loses_link()
            if link is not None:
                link.ends_up = True
            return True
        self.counts["impostors"] += 1
        victim = self.chance.choice(self.clients)
        impostor = PlainClient(
            self.world,
            f"impostor {self.counts['impostors']}",
            victim.client_id,
            self.chance.choice((4, 5)),
            is_prompt=True,
        )
        self.impostors.append(impostor)
        impostor.opens(Connect(victim.client_id, version=impostor.version, clean_start=True, keep_alive=0))
        return True

    def _disconnect(self) -> bool:
        client = self._ready()
        if client is None:
            return False
        self._say_goodbye(client)
        return True

    def _say_goodbye(self, client: Client, *, expiry_interval: int | None = None) -> None:
        chance = self.chance
        self.counts["disconnected"] += 1
        reason_code = 4 if client.version == 5 and chance.random() < 0.3 else 0
        said = client.connect.properties
        if expiry_interval is None and said is not None and said.session_expiry_interval:
            expiry_interval = chance.choice((None, None, 0, 5, NEVER_EXPIRES))
        client.disconnects(reason_code, expiry_interval)
        link = client.link
        client.loses_link()
        if link is not None:
            link.ends_up = True

    def _cut(self) -> bool:
        """A link fails, and one end or both notice it."""
        there = [client for client in self.clients if client.link is not None]
        if not there:
            return False
        client = self.chance.choice(there)
        link = client.link
        assert link is not None
        how = self.chance.choice(
            (
                self._cut_at_once,
                self._cut_inside_packet_up,
                self._cut_inside_packet_down,
                self._cut_for_client,
                self._cut_for_broker,
                self._cut_in_silence,
            )
        )
        self.counts[how.__name__[1:].replace("_", " ")] += 1
        how(client, link)
        return True

    def _cut_at_once(self, client: Client, link: Link) -> None:
        client.loses_link()
        self.world.lose(link)

    def _cut_inside_packet_up(self, client: Client, link: Link) -> None:
        if link.up and link.is_broker_here:
            self.world.carry_half(link)
        self._cut_at_once(client, link)

    def _cut_inside_packet_down(self, client: Client, link: Link) -> None:
        if link.down and isinstance(client, CoreClient):
            client.gets_half(link.down[0][1])
        self._cut_at_once(client, link)

    def _cut_for_client(self, client: Client, link: Link) -> None:
        """The client notices first; some of what it sent still arrives."""
        self._lose_some(link)
        link.ends_up = True
        client.loses_link()

    def _cut_for_broker(self, client: Client, link: Link) -> None:
        """The broker notices first; some of what it sent still arrives."""
        for _ in range(self.chance.randint(0, len(link.down))):
            link.down.pop()
        link.ends_down = True
        self.world.lose(link)

    def _cut_in_silence(self, client: Client, link: Link) -> None:
        """The client is gone, and nobody tells the broker."""
        self._lose_some(link)
        client.loses_link()

    def _lose_some(self, link: Link) -> None:
        for _ in range(self.chance.randint(0, len(link.up))):
            link.up.pop()

    def _let_time_pass(self) -> bool:
        chance = self.chance
        seconds = chance.choice((0.25, 0.5, 1.0, 1.5, chance.randint(1, self.manners.most_seconds)))
        self._advance(seconds)
        return True

    def _advance(self, seconds: float) -> None:
        for now in self.world.advance(seconds):
            self.counts["seconds"] += 1
            for client in self.clients:
                if client.is_ready:
                    client.ticks(now)

    # The store

    def _commit(self) -> bool:
        """Let what was recorded become safe, all or some of it."""
        if not self._most_to_commit or self.world.journal.is_failing:
            return False
        self.world.commit(self._some_pending())
        return True

    @property
    def _most_to_commit(self) -> int:
        """How many turns may become safe now."""
        journal = self.world.journal
        if self._crash_after is None or not isinstance(journal, TurnJournal):
            return self.world.pending
        return sum([turn <= self._crash_after for turn, _, _ in journal.pending])

    def _some_pending(self) -> int:
        most = self._most_to_commit
        return most if self.chance.random() < 0.6 else self.chance.randint(0, most)

    def _commit_all(self) -> None:
        self.world.commit(self.world.pending)
        while self.world.answer_fetch():
            self.world.commit(self.world.pending)

    def _answer_fetch(self) -> bool:
        has_answered = self.world.answer_fetch()
        self.counts["fetched from the store"] += has_answered
        return has_answered

    def _check_law(self) -> bool:
        self.counts["replayed the records"] += 1
        self.world.check_law()
        return True

    def _crash(self) -> bool:
        """The broker's process ends; clients notice that sooner or later, and some of what was under way is lost."""
        chance, world = self.chance, self.world
        self.crash(0 if world.journal.is_failing else chance.choice((0, 0, self._some_pending())))
        return True

    def crash(self, count: int) -> None:
        """Let the broker's process end, after so many turns more became safe."""
        self._count_stats()
        self.counts["crashed"] += 1
        self.counts["turns undone"] += self.world.pending - count
        for link in self.world.links.values():
            for _ in range(self.chance.randint(0, len(link.down))):
                link.down.pop()
        self.world.crash(count, is_folded=self.chance.random() < self.manners.folds)

    def _fail(self) -> bool:
        if self.world.journal.is_failing:
            return False
        self.counts["the store failed"] += 1
        self.world.fail()
        return True

    def _recover(self) -> bool:
        if not self.world.journal.is_failing:
            return False
        self.world.recover(self._some_pending())
        return True

    def _stop_reading(self) -> bool:
        links = [link for link in self.world.links.values() if link.is_client_here]
        if not links:
            return False
        self.counts["stopped reading"] += 1
        self.chance.choice(links).is_read = False
        return True

    def _read_again(self) -> bool:
        for link in self.world.links.values():
            link.is_read = True
        self.world.flush()
        return True

    # Everything comes to rest

    def _come_to_rest(self) -> None:
        """Everybody comes back, and gets and does all that is due."""
        while self.impostors:
            self._impose()
        self._recover()
        for _ in range(_MOST_ROUNDS):
            self._read_again()
            self._commit_all()
            moved = self._move_everything()
            for client in self.clients:
                if client.link is None:
                    self._open(client, clean_start=False)
                    moved = True
                elif client.is_ready and client.answers(self.chance.randint(1, 50)):
                    moved = True
            if not moved:
                break
        else:
            raise Fault("it does not come to rest")
        self.world.tell(Rested())

    def _move_everything(self) -> bool:
        moved = False
        for _ in range(len(self.world.links) * 4):
            moved |= self._carry_up()
            moved |= self._carry_down()
        return moved

    # Everybody leaves

    def _leave(self) -> None:
        for client in self.clients:
            if client.topic_filters and self.chance.random() < 0.5:
                client.unsubscribes(sorted(set(client.topic_filters)))
        self._come_to_rest()
        for client in self.clients:
            if self.manners.lasts_for_ever:
                self._bid_farewell(client)
            elif self.chance.random() < 0.5:
                self._cut_at_once(client, self._link_of(client))
            else:
                self._say_goodbye(client)
        self._deliver_the_rest()
        self._advance(32)
        self._sweep()
        self.world.tell(Over())
        self._check_engine()

    def _link_of(self, client: Client) -> Link:
        assert client.link is not None
        return client.link

    def _deliver_the_rest(self) -> None:
        while self._move_everything():
            self._commit_all()
            for link in list(self.world.links.values()):
                if not link.is_client_here:
                    link.ends_up = link.is_broker_here

    def _bid_farewell(self, client: Client) -> None:
        """End a session that would last for ever."""
        visitor = PlainClient(self.world, f"farewell of {client.name}", client.client_id, client.version)
        self._visit(visitor)
        client.loses_link()
        client.restarts()

    def _visit(self, visitor: PlainClient, topics: tuple[str, ...] = ()) -> None:
        self.impostors.append(visitor)
        visitor.opens(Connect(visitor.client_id, version=visitor.version, clean_start=True, keep_alive=0))
        while not visitor.is_ready:
            self._commit_all()
            self._move_everything()
        for topic in topics:
            visitor.publishes(0, topic, b"", 0, True, None)
        visitor.disconnects(0, None)
        link = visitor.link
        visitor.loses_link()
        self.impostors.remove(visitor)
        if link is not None:
            link.ends_up = True

    def _sweep(self) -> None:
        """Take away the retained messages."""
        topics = tuple(self.world.referee.retained)
        if topics:
            self._visit(PlainClient(self.world, "sweeper", "sweeper", 4), topics)
            self._deliver_the_rest()
        self._advance(1)

    def _check_engine(self) -> None:
        self._commit_all()
        engine, journal = self.world.engine, self.world.journal
        found = leftovers(engine)
        if isinstance(journal, TurnJournal) and not journal.store.is_empty:
            found.append(f"in its store {journal.store.folded()}")
        if found:
            raise Fault(f"the engine still has {'; '.join(found)}")
        if self.seed % _CENSUS_EVERY == 0:
            gc.collect()
            for each in gc.get_objects():
                if isinstance(each, Session) and each.surroundings is engine.surroundings:
                    raise Fault(f"the session of {each.client_id} is still in memory")
