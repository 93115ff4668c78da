"""The referee sees what is wrong: stories made up by hand, each with one thing as it must not be."""

from itertools import pairwise
from typing import Self

import pytest

from telex.wire.encode import encode
from telex.wire.packets import (
    ConnAck,
    Connect,
    Disconnect,
    Packet,
    PubAck,
    PubComp,
    Publish,
    PubRec,
    PubRel,
    SubAck,
    Subscribe,
    SubscriptionRequest,
    Will,
)
from telex.wire.properties import Properties
from tests.simulation.history import (
    AppDone,
    AppGot,
    AppPublishes,
    BrokerGot,
    BrokerLost,
    BrokerSent,
    BrokerWrote,
    ClientGot,
    ClientLost,
    ClientWrote,
    Committed,
    Crashed,
    Event,
    Failing,
    Moved,
    Opened,
    Recovered,
    Rested,
    Settled,
    Ticked,
)
from tests.simulation.ledger import Fault, Terms, matches, split_shared
from tests.simulation.referee import Referee
from tests.simulation.simulation import Simulation

SOME_LIVES = 30


class Story:
    """A history that is made up: ``says`` is a packet of a client, ``gets`` one of the broker."""

    def __init__(self, **terms: int) -> None:
        self.terms = Terms(**terms)  # type: ignore[arg-type]
        self.referee = Referee(self.terms)
        self.links = 0
        self.turn = 0

    def happens(self, *events: Event) -> Self:
        for event in events:
            self.referee.see(event)
        return self

    def connects(
        self,
        name: str,
        *,
        clean_start: bool = False,
        session_present: bool = False,
        will: Will | None = None,
        receive_maximum: int | None = None,
        maximum_packet_size: int | None = None,
        session_expiry_interval: int = 60,
    ) -> int:
        """A client connects, and keeps its session for a minute: its link."""
        self.links += 1
        link = self.links
        said = Properties(
            session_expiry_interval=session_expiry_interval,
            receive_maximum=receive_maximum,
            maximum_packet_size=maximum_packet_size,
        )
        self.happens(Opened(link, name, 5))
        self.says(link, Connect(name, clean_start=clean_start, keep_alive=0, will=will, properties=said))
        self.gets(link, ConnAck(session_present=session_present), leaves=False)
        self.settles().commits().leaves(link, ConnAck(session_present=session_present))
        return link

    def says(self, link: int, packet: Packet, *, arrives: bool = True) -> Self:
        frame = encode(packet, 5)
        self.happens(ClientWrote(link, packet, frame))
        return self.happens(BrokerGot(link, packet, frame)) if arrives else self

    def gets(self, link: int, packet: Packet, *, leaves: bool = True, arrives: bool = True, topic: str = "a") -> Self:
        """A packet comes, or stays with the broker; a message goes to the application, but for a repeat."""
        self.happens(BrokerWrote(link, packet, encode(packet, 5)))
        return self.leaves(link, packet, arrives=arrives, topic=topic) if leaves else self

    def leaves(self, link: int, packet: Packet, *, arrives: bool = True, topic: str = "a") -> Self:
        """A packet comes that was written before."""
        frame = encode(packet, 5)
        self.happens(BrokerSent(link, (frame,)))
        if arrives:
            self.happens(ClientGot(link, packet, frame))
            if isinstance(packet, Publish):
                self.happens(AppGot(link, topic, packet.payload, packet.qos))
        return self

    def settles(self, *closed: int, dropped: int = 0) -> Self:
        self.turn += 1
        return self.happens(Settled(dropped, closed))

    def commits(self) -> Self:
        """All turns so far are safe, where there is a store."""
        return self.happens(Committed(self.turn)) if self.terms.commits else self

    def crashes(self, *, undone: int = 0) -> Self:
        """The broker's process ends, and so many turns are undone; another begins."""
        return self.happens(Crashed(self.turn - undone)).settles().commits()

    def loses(self, link: int) -> Self:
        return self.happens(ClientLost(link), BrokerLost(link)).settles(link)

    def subscribes(self, link: int, topic_filter: str = "a", qos: int = 2) -> Self:
        self.says(link, Subscribe(1, [SubscriptionRequest(topic_filter, qos)]))
        self.gets(link, SubAck(1, [qos]), leaves=False).settles().commits()
        return self.leaves(link, SubAck(1, [qos]))

    def publishes(self, link: int, payload: bytes, qos: int, packet_id: int = 1) -> Self:
        return self.says(link, Publish("a", payload, qos, packet_id=packet_id))


def message(payload: bytes, qos: int, packet_id: int = 1, *, dup: bool = False) -> Publish:
    """A message on topic ``a``."""
    return Publish("a", payload, qos, dup=dup, packet_id=packet_id)


@pytest.fixture
def story() -> Story:
    """A story in which link 1 has subscribed to ``a``, and link 2 publishes."""
    story = Story()
    story.subscribes(story.connects("sub"))
    story.connects("pub")
    return story.settles()


def test_a_story_without_fault_is_accepted(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1)).settles()
    story.says(1, PubAck(1)).settles()
    story.publishes(2, b"2", 2).gets(1, message(b"2", 2, 2)).gets(2, PubRec(1)).settles()
    story.says(2, PubRel(1)).gets(2, PubComp(1)).settles()
    story.says(1, PubRec(2)).gets(1, PubRel(2)).settles().says(1, PubComp(2)).settles()
    story.happens(Rested())


def test_it_sees_a_lost_qos1_message(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(2, PubAck(1)).settles()
    with pytest.raises(Fault, match=r"b'1' on 'a' at QoS 1 for session 3 of sub is lost"):
        story.happens(Rested())


def test_it_sees_a_qos1_message_that_never_goes_again(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1), arrives=False).gets(2, PubAck(1)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    story.settles()
    with pytest.raises(Fault, match="is lost"):
        story.happens(Rested())


def test_it_sees_a_qos2_message_that_is_not_completed(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2)).gets(2, PubRec(1)).settles()
    with pytest.raises(Fault, match="is lost"):
        story.happens(Rested())


def test_it_sees_a_lost_qos0_message_at_once(story: Story) -> None:
    with pytest.raises(Fault, match="was lost, and its client was there"):
        story.publishes(2, b"1", 0, packet_id=0).settles()


def test_it_sees_a_qos2_message_that_is_sent_twice(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2))
    with pytest.raises(Fault, match="nobody owes it that, or not again"):
        story.gets(1, message(b"1", 2, 2))


def test_it_sees_a_qos2_message_that_the_application_gets_twice(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2)).gets(2, PubRec(1)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    with pytest.raises(Fault, match="came to the application twice"):
        story.gets(3, message(b"1", 2, dup=True))


def test_it_sees_a_qos2_message_of_a_client_that_is_published_twice(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2)).gets(2, PubRec(1)).settles()
    with pytest.raises(Fault, match="pub published b'1' twice at QoS 2"):
        story.publishes(2, b"1", 2, packet_id=2)


def test_it_sees_an_order_that_is_swapped(story: Story) -> None:
    story.publishes(2, b"1", 1).publishes(2, b"2", 1, packet_id=2)
    story.gets(1, message(b"2", 1, 1))
    with pytest.raises(Fault, match=r"b'1' on 'a' .* comes after a later one"):
        story.gets(1, message(b"1", 1, 2))


def test_it_sees_an_order_that_is_swapped_on_a_new_connection(story: Story) -> None:
    story.publishes(2, b"1", 1).publishes(2, b"2", 1, packet_id=2)
    story.gets(1, message(b"1", 1, 1), arrives=False).gets(1, message(b"2", 1, 2), arrives=False)
    story.gets(2, PubAck(1)).gets(2, PubAck(2)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    story.gets(3, message(b"2", 1, 2, dup=True))
    with pytest.raises(Fault, match="again, after one that was sent later"):
        story.gets(3, message(b"1", 1, 1, dup=True))


def test_it_sees_a_new_message_before_one_in_flight(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1), arrives=False).gets(2, PubAck(1)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    story.publishes(2, b"2", 1)
    with pytest.raises(Fault, match="overtakes"):
        story.gets(3, message(b"2", 1, 2))


def test_it_sees_a_packet_id_that_is_used_twice(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1, 7))
    story.publishes(2, b"2", 2, packet_id=2)
    with pytest.raises(Fault, match=r"packet id 7 .* is in use"):
        story.gets(1, message(b"2", 2, 7))


def test_it_sees_a_packet_id_that_a_client_uses_twice(story: Story) -> None:
    story.publishes(2, b"1", 1)
    with pytest.raises(Fault, match="pub uses packet id 1"):
        story.publishes(2, b"2", 1)


def test_it_sees_a_packet_id_that_is_used_for_a_message_and_a_request(story: Story) -> None:
    story.publishes(2, b"1", 1)
    with pytest.raises(Fault, match="pub uses packet id 1"):
        story.subscribes(2, "b")


def test_it_sees_dup_on_what_was_never_sent(story: Story) -> None:
    story.publishes(2, b"1", 1)
    with pytest.raises(Fault, match="it was never sent"):
        story.gets(1, message(b"1", 1, dup=True))


def test_it_sees_dup_on_the_same_connection(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1))
    with pytest.raises(Fault, match="again on one connection"):
        story.gets(1, message(b"1", 1, dup=True))


def test_it_sees_a_repeat_without_dup(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    with pytest.raises(Fault, match="nobody owes it that, or not again"):
        story.gets(3, message(b"1", 1))


def test_it_sees_too_many_in_flight() -> None:
    story = Story()
    story.subscribes(story.connects("sub", receive_maximum=1))
    story.connects("pub")
    story.publishes(2, b"1", 1).publishes(2, b"2", 1, packet_id=2)
    story.gets(1, message(b"1", 1))
    with pytest.raises(Fault, match="is number 2 in flight, 1 may be"):
        story.gets(1, message(b"2", 1, 2))


def test_it_sees_a_packet_that_is_too_large() -> None:
    story = Story()
    story.subscribes(story.connects("sub", maximum_packet_size=30))
    story.connects("pub")
    story.publishes(2, b"1" * 30, 1)
    with pytest.raises(Fault, match="exceeds 30 bytes"):
        story.gets(1, message(b"1" * 30, 1))


def test_it_sees_a_second_connack(story: Story) -> None:
    with pytest.raises(Fault, match="a second CONNACK"):
        story.gets(1, ConnAck())


def test_it_sees_a_wrong_session_present(story: Story) -> None:
    story.loses(1)
    with pytest.raises(Fault, match="session present is True"):
        story.connects("sub")


def test_it_sees_a_session_that_outlives_its_time(story: Story) -> None:
    story.loses(1).happens(Ticked(60.0)).settles()
    with pytest.raises(Fault, match="session present is False"):
        story.connects("sub", session_present=True)


def test_it_sees_an_answer_to_nothing(story: Story) -> None:
    with pytest.raises(Fault, match="answers nothing"):
        story.gets(2, PubAck(9))


def test_it_sees_a_missing_answer(story: Story) -> None:
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).settles().says(1, PubAck(1)).settles()
    with pytest.raises(Fault, match=r"link 2 waits for \[\('PubAck', 1\)\]"):
        story.happens(Rested())


def test_it_sees_a_message_before_pubrec_is_answered_by_pubrel_only(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2))
    with pytest.raises(Fault, match="before PUBREC"):
        story.gets(1, PubRel(1))


def test_it_sees_a_message_again_after_pubrec(story: Story) -> None:
    story.publishes(2, b"1", 2).gets(1, message(b"1", 2)).gets(2, PubRec(1)).settles()
    story.says(1, PubRec(1)).gets(1, PubRel(1)).settles()
    story.loses(1)
    story.connects("sub", session_present=True)
    with pytest.raises(Fault, match="again after PUBREC"):
        story.gets(3, message(b"1", 2, dup=True), arrives=False)


def test_it_sees_what_nobody_subscribed_to(story: Story) -> None:
    story.publishes(2, b"1", 1)
    with pytest.raises(Fault, match="nobody owes it that"):
        story.gets(2, message(b"1", 1))


def test_it_sees_a_packet_after_disconnect(story: Story) -> None:
    story.gets(1, Disconnect(0x8E))
    with pytest.raises(Fault, match="after DISCONNECT"):
        story.gets(1, Disconnect(0x8E))


def test_it_sees_a_connection_that_is_closed_without_a_reason(story: Story) -> None:
    with pytest.raises(Fault, match="the broker closed links"):
        story.settles(1)


def test_it_sees_a_will_that_does_not_come(story: Story) -> None:
    link = story.connects("dan", will=Will("a", b"gone", qos=1))
    story.settles().loses(link)
    story.connects("dan", session_present=True)
    story.settles()
    with pytest.raises(Fault, match=r"b'gone' .* is lost"):
        story.happens(Rested())


def test_it_sees_a_message_that_two_members_of_a_group_get() -> None:
    story = Story()
    for name in ("ann", "bob"):
        story.subscribes(story.connects(name), "$share/g/a")
    story.connects("pub")
    story.publishes(3, b"1", 2).gets(1, message(b"1", 2))
    with pytest.raises(Fault, match="the group g of 'a' went to two members"):
        story.gets(2, message(b"1", 2))


def test_it_sees_a_message_that_no_member_of_a_group_gets() -> None:
    story = Story()
    story.subscribes(story.connects("ann"), "$share/g/a")
    story.connects("pub")
    story.publishes(2, b"1", 2).gets(2, PubRec(1)).settles().says(2, PubRel(1)).gets(2, PubComp(1)).settles()
    with pytest.raises(Fault, match="for the group g of 'a' is lost"):
        story.happens(Rested())


def test_it_accepts_a_drop_at_the_limit_and_no_other() -> None:
    story = Story(max_queued_messages=1)
    story.subscribes(story.connects("sub", receive_maximum=1))
    story.connects("pub")
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1)).settles()
    story.publishes(2, b"2", 1).gets(2, PubAck(1)).settles()
    story.publishes(2, b"3", 1).gets(2, PubAck(1)).settles(dropped=1)
    story.says(1, PubAck(1)).gets(1, message(b"2", 1, 2)).settles().says(1, PubAck(2)).settles().happens(Rested())
    story.publishes(2, b"4", 1)
    with pytest.raises(Fault, match="1 messages dropped, and 0 met a limit"):
        story.settles(dropped=1)


def test_it_sees_a_message_that_had_expired(story: Story) -> None:
    story.loses(1)
    story.says(2, Publish("a", b"1", 1, packet_id=1, properties=Properties(message_expiry_interval=2)))
    story.gets(2, PubAck(1)).settles().happens(Ticked(2.0)).settles()
    story.connects("sub", session_present=True)
    with pytest.raises(Fault, match="had expired"):
        story.gets(3, Publish("a", b"1", 1, packet_id=1, properties=Properties(message_expiry_interval=0)))


def test_it_sees_an_application_that_is_told_too_early(story: Story) -> None:
    story.happens(AppPublishes("pub", 5, b"1", 1))
    with pytest.raises(Fault, match="the broker never got it"):
        story.happens(AppDone("pub", 5, 0))


def test_it_sees_an_application_that_is_never_told(story: Story) -> None:
    story.happens(AppPublishes("pub", 5, b"1", 1))
    with pytest.raises(Fault, match="was never told how b'1' went"):
        story.happens(Rested())


def test_it_sees_an_acknowledgement_of_what_the_application_has_not_got(story: Story) -> None:
    packet = message(b"1", 1)
    story.publishes(2, b"1", 1).gets(1, packet, arrives=False).happens(ClientGot(1, packet, encode(packet, 5)))
    with pytest.raises(Fault, match="the application has not got it"):
        story.says(1, PubAck(1))


# What a queue may drop


def drops_oldest() -> Story:
    """Message 1 is in flight to ``sub``; of 2 and 3, which came then, one was dropped."""
    story = Story(max_queued_messages=1, drops_oldest=True)
    story.subscribes(story.connects("sub", receive_maximum=1))
    story.connects("pub")
    story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1)).settles()
    story.publishes(2, b"2", 1).gets(2, PubAck(1)).settles()
    return story.publishes(2, b"3", 1).gets(2, PubAck(1)).settles(dropped=1).says(1, PubAck(1))


def test_it_accepts_that_the_oldest_is_dropped() -> None:
    drops_oldest().gets(1, message(b"3", 1, 2)).settles().says(1, PubAck(2)).settles().happens(Rested())


def test_it_sees_that_the_newest_is_dropped_in_its_place() -> None:
    story = drops_oldest()
    with pytest.raises(Fault, match="nobody owes it that"):
        story.gets(1, message(b"2", 1, 2))


def test_it_counts_what_was_dropped() -> None:
    story = Story(max_queued_messages=1)
    story.subscribes(story.connects("sub"))
    story.connects("pub")
    story.publishes(2, b"1", 1).gets(2, PubAck(1)).settles()
    for payload in (b"2", b"3", b"4"):
        story.publishes(2, payload, 1, packet_id=1).publishes(2, payload + b"0", 1, packet_id=2)
        story.gets(2, PubAck(1)).gets(2, PubAck(2)).settles(dropped=1)  # two met the limit
    story.gets(1, message(b"1", 1)).settles().says(1, PubAck(1)).settles()
    with pytest.raises(Fault, match="6 messages are lost, and 3 were dropped"):
        story.happens(Rested())


def test_it_accepts_a_drop_for_want_of_memory_and_not_from_a_queue_that_can_be_on_disk() -> None:
    for gives_back in (False, True):
        story = Story(max_queue_memory=1_000, gives_back=gives_back)
        story.subscribes(story.connects("sub", receive_maximum=1))
        story.connects("pub")
        story.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1)).settles()
        story.publishes(2, b"2", 1).gets(2, PubAck(1))
        if gives_back:
            with pytest.raises(Fault, match="1 messages dropped, and 0 met a limit"):
                story.settles(dropped=1)
        else:
            story.settles(dropped=1)


# What is promised, and what waits for that


@pytest.fixture
def kept() -> Story:
    """The same story with a store; all that has happened is safe."""
    story = Story(commits=True)
    story.subscribes(story.connects("sub"))
    story.connects("pub")
    return story.settles().commits()


def test_answers_leave_when_what_they_promise_is_committed(kept: Story) -> None:
    kept.publishes(2, b"1", 2).gets(1, message(b"1", 2), leaves=False).gets(2, PubRec(1), leaves=False).settles()
    kept.commits().leaves(1, message(b"1", 2)).leaves(2, PubRec(1))
    kept.says(1, PubRec(1)).gets(1, PubRel(1), leaves=False).settles().commits().leaves(1, PubRel(1))
    kept.says(2, PubRel(1)).gets(2, PubComp(1), leaves=False).settles().commits().leaves(2, PubComp(1))
    kept.says(1, PubComp(1)).settles().commits().happens(Rested())


def test_it_sees_a_puback_before_its_message_is_committed(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(1, message(b"1", 1))  # this promises nothing
    kept.gets(2, PubAck(1), leaves=False).settles()
    with pytest.raises(Fault, match=r"PubAck.* left on link 2, and what it promises is not committed"):
        kept.leaves(2, PubAck(1))


def test_it_sees_a_pubrec_before_its_id_is_committed(kept: Story) -> None:
    kept.says(2, Publish("nobody/wants/it", b"1", 2, packet_id=1)).gets(2, PubRec(1, 0x10), leaves=False).settles()
    with pytest.raises(Fault, match=r"PubRec.* left on link 2, and what it promises is not committed"):
        kept.leaves(2, PubRec(1, 0x10))


def test_it_sees_a_pubcomp_before_it_is_committed_that_the_id_is_free(kept: Story) -> None:
    kept.says(2, Publish("b", b"1", 2, packet_id=1)).gets(2, PubRec(1), leaves=False).settles().commits()
    kept.leaves(2, PubRec(1)).says(2, PubRel(1)).gets(2, PubComp(1), leaves=False).settles().loses(2)
    link = kept.connects("pub", session_present=True)
    kept.referee.see(Committed(kept.turn - 4))
    kept.says(link, PubRel(1)).gets(link, PubComp(1, 0x92), leaves=False).settles()
    with pytest.raises(Fault, match=r"PubComp.* left on link 3, and what it promises is not committed"):
        kept.leaves(link, PubComp(1, 0x92))


def test_it_sees_a_qos2_message_that_goes_on_before_its_packet_id_is_committed(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(1, message(b"1", 1))  # at QoS 1 that is allowed
    kept.publishes(2, b"2", 2, packet_id=2).gets(1, message(b"2", 2, 2), leaves=False).settles()
    with pytest.raises(Fault, match=r"Publish.* left on link 1, and what it promises is not committed"):
        kept.leaves(1, message(b"2", 2, 2))


def test_it_sees_a_qos2_message_that_goes_on_at_qos_0_before_it_is_committed_that_it_came(kept: Story) -> None:
    kept.subscribes(2, "b", qos=0).commits()
    kept.says(2, Publish("b", b"1", 2, packet_id=1)).gets(2, Publish("b", b"1"), leaves=False).settles()
    with pytest.raises(Fault, match=r"Publish.* left on link 2, and what it promises is not committed"):
        kept.leaves(2, Publish("b", b"1"), topic="b")


def test_it_sees_a_suback_before_its_subscription_is_committed(kept: Story) -> None:
    kept.says(2, Subscribe(1, [SubscriptionRequest("b", 1)])).gets(2, SubAck(1, [1]), leaves=False).settles()
    with pytest.raises(Fault, match=r"SubAck.* left on link 2, and what it promises is not committed"):
        kept.leaves(2, SubAck(1, [1]))


def test_it_sees_a_connack_before_its_session_is_committed(kept: Story) -> None:
    kept.happens(Opened(3, "new", 5))
    kept.says(3, Connect("new", keep_alive=0, properties=Properties(session_expiry_interval=60)))
    kept.gets(3, ConnAck(), leaves=False).settles()
    with pytest.raises(Fault, match=r"ConnAck.* left on link 3, and what it promises is not committed"):
        kept.leaves(3, ConnAck())


def test_it_sees_a_connack_before_it_is_committed_that_the_former_session_is_over(kept: Story) -> None:
    kept.says(2, Disconnect(0, Properties(session_expiry_interval=0))).settles(2)
    kept.happens(ClientLost(2), Opened(3, "pub", 5)).says(3, Connect("pub", keep_alive=0))
    kept.gets(3, ConnAck(), leaves=False).settles()
    with pytest.raises(Fault, match=r"ConnAck.* left on link 3, and what it promises is not committed"):
        kept.leaves(3, ConnAck())


def test_what_promises_nothing_leaves_at_once(kept: Story) -> None:
    link = kept.connects("passing", session_expiry_interval=0)
    kept.says(link, Subscribe(1, [SubscriptionRequest("b", 1)])).gets(link, SubAck(1, [1])).settles()
    kept.says(link, Publish("b", b"1", 1, packet_id=2)).gets(link, Publish("b", b"1", 1, packet_id=1), topic="b")
    kept.gets(link, PubAck(2)).settles().says(link, PubAck(1)).settles().happens(Rested())


def test_it_sees_a_qos0_message_that_waits(kept: Story) -> None:
    kept.subscribes(2, "b", qos=0).commits()
    kept.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1), leaves=False).settles()
    kept.happens(BrokerSent(2, ()))  # that one may wait
    kept.says(2, Publish("b", b"2")).gets(2, Publish("b", b"2"), leaves=False).settles()
    with pytest.raises(Fault, match=r"Publish.* waits on link 2, and nothing is to be committed for it"):
        kept.happens(BrokerSent(2, ()))


def test_it_sees_a_puback_that_waits_for_nothing(kept: Story) -> None:
    kept.says(2, Publish("b", b"1", 1, packet_id=1)).gets(2, PubAck(1, 0x10), leaves=False).settles()
    with pytest.raises(Fault, match=r"PubAck.* waits on link 2, and nothing is to be committed for it"):
        kept.happens(BrokerSent(2, ()))


def test_it_sees_an_answer_that_overtakes_another(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1), leaves=False).settles()
    kept.says(2, Publish("b", b"2", 1, packet_id=2)).gets(2, PubAck(2, 0x10), leaves=False).settles()
    with pytest.raises(Fault, match=r"PubAck\(packet_id=2.* overtakes PubAck\(packet_id=1.* on link 2"):
        kept.leaves(2, PubAck(2, 0x10))


def test_it_sees_a_packet_that_overtakes_connack(kept: Story) -> None:
    kept.subscribes(1, "b", qos=0).commits().loses(1)
    kept.happens(Opened(3, "sub", 5))
    kept.says(3, Connect("sub", clean_start=False, properties=Properties(session_expiry_interval=60)))
    kept.gets(3, ConnAck(session_present=True), leaves=False).settles()
    kept.says(2, Publish("b", b"1")).gets(3, Publish("b", b"1"), leaves=False).settles()
    with pytest.raises(Fault, match="overtakes CONNACK on link 3"):
        kept.leaves(3, Publish("b", b"1"))


# A crash


def test_what_was_acknowledged_is_owed_after_a_crash(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(2, PubAck(1), leaves=False).settles().commits().leaves(2, PubAck(1))
    kept.crashes()
    kept.connects("sub", session_present=True)
    kept.connects("pub", session_present=True)
    with pytest.raises(Fault, match=r"b'1' on 'a' at QoS 1 for session 3 of sub is lost"):
        kept.happens(Rested())


def test_what_was_not_acknowledged_may_be_lost_in_a_crash(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(1, message(b"1", 1)).gets(2, PubAck(1), leaves=False).settles()
    kept.crashes(undone=1)
    sub, pub = kept.connects("sub", session_present=True), kept.connects("pub", session_present=True)
    kept.says(pub, Publish("a", b"1", 1, dup=True, packet_id=1))
    kept.gets(sub, message(b"1", 1)).gets(pub, PubAck(1), leaves=False).settles().commits().leaves(pub, PubAck(1))
    kept.says(sub, PubAck(1)).settles().happens(Rested())


def test_it_sees_a_message_that_should_be_lost_in_a_crash(kept: Story) -> None:
    kept.publishes(2, b"1", 1).gets(2, PubAck(1), leaves=False).settles().crashes(undone=1)
    sub = kept.connects("sub", session_present=True)
    with pytest.raises(Fault, match="nobody owes it that"):
        kept.gets(sub, message(b"1", 1))


def test_it_sees_a_session_that_is_lost_in_a_crash(kept: Story) -> None:
    kept.crashes()
    with pytest.raises(Fault, match="session present is True"):
        kept.connects("sub")


def test_it_sees_a_subscription_that_is_lost_in_a_crash(kept: Story) -> None:
    kept.crashes()
    kept.connects("sub", session_present=True)
    pub = kept.connects("pub", session_present=True)
    kept.publishes(pub, b"1", 1).gets(pub, PubAck(1, 0x10), leaves=False).settles()
    with pytest.raises(Fault, match="is lost"):
        kept.happens(Rested())


def test_it_sees_a_session_that_comes_back_although_its_end_was_acknowledged(kept: Story) -> None:
    kept.loses(1)
    kept.connects("sub", clean_start=True)
    kept.crashes()
    link, pub = kept.connects("sub", session_present=True), kept.connects("pub", session_present=True)
    kept.publishes(pub, b"1", 1)
    with pytest.raises(Fault, match="nobody owes it that"):
        kept.gets(link, message(b"1", 1))


def in_flight(kept: Story, qos: int) -> None:
    """Message 1 is in flight to ``sub`` under packet id 7, and all is safe."""
    kept.publishes(2, b"1", qos).gets(1, message(b"1", qos, 7), leaves=False).settles().commits()
    kept.leaves(1, message(b"1", qos, 7))


def test_it_sees_another_packet_id_after_a_crash(kept: Story) -> None:
    in_flight(kept, 1)
    kept.crashes()
    with pytest.raises(Fault, match="nobody owes it that, or not again"):
        kept.gets(kept.connects("sub", session_present=True), message(b"1", 1, 1))


def test_it_sees_a_qos2_message_that_the_application_gets_again_after_a_crash(kept: Story) -> None:
    in_flight(kept, 2)
    kept.says(1, PubRec(7)).settles().crashes(undone=1)  # only the client knows that it answered
    link = kept.connects("sub", session_present=True)
    with pytest.raises(Fault, match="came to the application twice"):
        kept.gets(link, message(b"1", 2, 7, dup=True))


def test_it_sees_a_qos2_message_of_a_client_that_is_taken_twice_over_a_crash(kept: Story) -> None:
    kept.publishes(2, b"1", 2).gets(2, PubRec(1), leaves=False).settles().commits().leaves(2, PubRec(1)).crashes()
    sub, pub = kept.connects("sub", session_present=True), kept.connects("pub", session_present=True)
    kept.says(pub, PubRel(1)).gets(pub, PubComp(1), leaves=False).gets(sub, message(b"1", 2), leaves=False)
    kept.settles().commits().leaves(sub, message(b"1", 2)).leaves(pub, PubComp(1))
    with pytest.raises(Fault, match="nobody owes it that, or not again"):
        kept.gets(sub, message(b"1", 2, 2))


def test_it_sees_an_order_that_a_crash_has_swapped(kept: Story) -> None:
    kept.publishes(2, b"1", 1).publishes(2, b"2", 1, packet_id=2).settles().commits().crashes()
    link = kept.connects("sub", session_present=True)
    kept.gets(link, message(b"2", 1, 1))
    with pytest.raises(Fault, match="comes after a later one"):
        kept.gets(link, message(b"1", 1, 2))


def test_it_sees_a_retained_message_that_is_older_than_an_acknowledged_one(kept: Story) -> None:
    for payload in (b"old", b"new"):
        kept.says(2, Publish("b", payload, 1, retain=True, packet_id=1)).gets(2, PubAck(1, 0x10), leaves=False)
        kept.settles().commits().leaves(2, PubAck(1, 0x10))
    kept.crashes()
    link = kept.connects("sub", session_present=True)
    kept.subscribes(link, "b")
    with pytest.raises(Fault, match="nobody owes it that"):
        kept.gets(link, Publish("b", b"old", 1, retain=True, packet_id=1))


def test_it_sees_that_the_will_of_a_client_does_not_come_after_a_crash(kept: Story) -> None:
    for expiry_interval in (0, 60):
        kept.connects(
            f"dan {expiry_interval}",
            will=Will("a", b"%d" % expiry_interval, qos=1),
            session_expiry_interval=expiry_interval,
        )
    kept.crashes()
    link = kept.connects("sub", session_present=True)
    kept.gets(link, message(b"0", 1, 1)).gets(link, message(b"60", 1, 2))
    kept.says(link, PubAck(1)).says(link, PubAck(2)).settles()
    kept.connects("pub", session_present=True)
    kept.connects("dan 60", session_present=True)
    kept.happens(Rested())


def test_it_sees_a_will_that_was_withdrawn_by_the_clients_return_after_a_crash(kept: Story) -> None:
    will = Will("a", b"gone", qos=1, properties=Properties(will_delay_interval=10))
    kept.connects("dan", will=will)
    kept.crashes().happens(Ticked(9.0)).settles()
    kept.connects("dan", session_present=True)
    kept.happens(Ticked(11.0)).settles().commits()
    link = kept.connects("sub", session_present=True)
    with pytest.raises(Fault, match="nobody owes it that"):
        kept.gets(link, message(b"gone", 1))


def test_the_time_of_a_session_goes_on_over_a_crash(kept: Story) -> None:
    kept.loses(1).commits().happens(Ticked(50.0)).settles().crashes()
    kept.happens(Ticked(59.0)).settles().happens(Ticked(60.0)).settles().commits()
    with pytest.raises(Fault, match="session present is False"):
        kept.connects("sub", session_present=True)


def test_the_time_of_a_session_is_over_while_the_broker_is_down(kept: Story) -> None:
    kept.loses(1).commits().happens(Moved(61.0)).crashes()
    with pytest.raises(Fault, match="session present is False"):
        kept.connects("sub", session_present=True)


# A store that fails


def test_while_the_store_fails_messages_are_refused_and_go_nowhere(kept: Story) -> None:
    kept.happens(Failing()).publishes(2, b"1", 1).gets(2, PubAck(1, 0x97)).settles()
    with pytest.raises(Fault, match="nobody owes it that"):
        kept.gets(1, message(b"1", 1))


def test_it_sees_a_message_that_is_acknowledged_while_the_store_fails(kept: Story) -> None:
    kept.happens(Failing()).publishes(2, b"1", 1)
    with pytest.raises(Fault, match=r"PubAck\(packet_id=1, reason_code=16.*, and nothing could be stored"):
        kept.gets(2, PubAck(1, 0x10))


def test_it_sees_a_message_that_is_refused_although_it_could_be_stored(kept: Story) -> None:
    kept.happens(Failing(), Recovered()).publishes(2, b"1", 1)
    with pytest.raises(Fault, match="and everything could be stored"):
        kept.gets(2, PubAck(1, 0x97))


def test_it_sees_a_subscription_that_is_granted_while_the_store_fails(kept: Story) -> None:
    kept.happens(Failing()).says(2, Subscribe(1, [SubscriptionRequest("b", 1)]))
    with pytest.raises(Fault, match="and nothing could be stored"):
        kept.gets(2, SubAck(1, [1]))


def test_it_sees_a_session_that_begins_while_the_store_fails(kept: Story) -> None:
    kept.happens(Failing(), Opened(3, "new", 5))
    kept.says(3, Connect("new", keep_alive=0, properties=Properties(session_expiry_interval=60)))
    with pytest.raises(Fault, match="for a client whose session cannot be stored"):
        kept.gets(3, ConnAck())


def test_it_sees_a_v3_client_that_is_not_closed_when_the_store_works_again(kept: Story) -> None:
    kept.happens(Opened(3, "old", 4))
    connect, publish = Connect("old", version=4, keep_alive=0), Publish("a", b"1", 1, packet_id=1)
    for packet, answer in ((connect, ConnAck()), (publish, None)):
        frame = encode(packet, 4)
        kept.happens(ClientWrote(3, packet, frame), BrokerGot(3, packet, frame))
        if answer is not None:
            kept.happens(BrokerWrote(3, answer, encode(answer, 4))).settles()
            kept.happens(BrokerSent(3, (encode(answer, 4),)), Failing())
    kept.settles().happens(Recovered())
    with pytest.raises(Fault, match=r"the broker closed links \[\]; that was due for \[3\]"):
        kept.settles()


# Lives in which something is changed afterwards


def test_it_sees_that_a_message_is_missing_in_a_life() -> None:
    judged = 0
    for seed in range(SOME_LIVES):
        events = lived(seed)
        taken = [index for index in range(1, len(events)) if is_acknowledged(events, index)]
        if taken:
            del events[taken[len(taken) // 2]]
            with pytest.raises(Fault, match="the application has not got it"):
                judge(seed, events)
            judged += 1
    assert judged > SOME_LIVES / 2


def test_it_sees_that_two_packets_are_swapped_in_a_life() -> None:
    judged = 0
    for seed in range(SOME_LIVES):
        events = lived(seed)
        pairs = [index for index, (one, other) in enumerate(pairwise(events)) if are_in_order(one, other)]
        if pairs:
            index = pairs[len(pairs) // 2]
            events[index], events[index + 1] = events[index + 1], events[index]
            with pytest.raises(Fault):
                judge(seed, events)
            judged += 1
    assert judged > SOME_LIVES / 2


def are_in_order(one: Event, other: Event) -> bool:
    """Whether two messages of the broker, side by side, are in an order that matters."""
    return (
        isinstance(one, BrokerWrote)
        and isinstance(other, BrokerWrote)
        and isinstance(one.packet, Publish)
        and isinstance(other.packet, Publish)
        and (one.link, one.packet.topic, one.packet.qos) == (other.link, other.packet.topic, other.packet.qos)
        and one.packet.qos > 0
        and one.packet.payload != other.packet.payload
    )


def lived(seed: int) -> list[Event]:
    """The history of a life."""
    simulation = Simulation(seed)
    simulation.run()
    return simulation.events


def judge(seed: int, events: list[Event]) -> None:
    """What the referee says to a history."""
    referee = Referee(Simulation(seed).manners.terms())
    for event in events:
        referee.see(event)


def is_acknowledged(events: list[Event], index: int) -> bool:
    """Whether the acknowledgement of a message reached the broker at once."""
    got, gave = events[index - 1], events[index]
    if not isinstance(got, ClientGot) or not isinstance(got.packet, Publish) or not isinstance(gave, AppGot):
        return False
    if got.packet.qos != 1 or got.packet.dup:
        return False
    for event in events[index + 1 : index + 200]:
        if isinstance(event, BrokerGot) and event.link == got.link:
            if isinstance(event.packet, PubAck) and event.packet.packet_id == got.packet.packet_id:
                return event.packet.reason_code == 0
        elif isinstance(event, ClientLost | BrokerLost) and event.link == got.link:
            return False
    return False


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a", "a", True),
        ("a", "a/b", False),
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a/b", True),
        ("#", "$x/a", False),
        ("+", "$x", False),
        ("$x/#", "$x/a", True),
        ("+/+/c", "a/b/c", True),
        ("$share/g/a", "a", False),
    ],
)
def test_its_filters_match_as_the_specification_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected


def test_it_knows_the_parts_of_a_shared_subscription() -> None:
    assert split_shared("$share/g/a/#") == ("g", "a/#")
    assert split_shared("a/#") == ("", "a/#")
