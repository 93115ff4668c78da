"""The referee of the crash tests complains whenever a rule is broken, and only then."""

import pytest

from telex.wire.packets import Publish
from tests.crash.referee import LATE, Message, Referee, matches


class Story:
    """What clients write and get, told in few words; the clock moves by hand."""

    def __init__(self) -> None:
        self.now = 0.0
        self.referee = Referee(lambda: self.now)
        self.referee.started()

    @property
    def faults(self) -> str:
        return "\n".join(self.referee.faults)

    def connects(self, name: str, *, session_present: bool = False, clean_start: bool = False) -> None:
        self.referee.connects(name, clean_start=clean_start)
        self.referee.connack(name, session_present)

    def returns(self, name: str) -> None:
        """Lose the connection, and come back."""
        self.referee.loses(name)
        self.connects(name, session_present=True)

    def subscribes(self, name: str, topic_filter: str = "a", qos: int = 2) -> None:
        self.referee.subscribes(name, topic_filter, qos)
        self.referee.suback(name, topic_filter)

    def unsubscribes(self, name: str, topic_filter: str = "a", code: int = 0) -> None:
        self.referee.unsubscribes(name, topic_filter)
        self.referee.unsuback(name, topic_filter, [code])

    def sends(self, number: int, qos: int = 1, *, topic: str = "a", acknowledged: bool = True) -> Message:
        """A new message of ann's."""
        message = Message("ann", number, topic, qos)
        self.referee.writes(message)
        if acknowledged and qos > 0:
            self.referee.acknowledged(message)
        return message

    def keeps(self, number: int, *, acknowledged: bool = True, is_deletion: bool = False) -> Message:
        """The same, retained for ``r``."""
        message = Message("ann", number, "r", 1, retain=True, is_deletion=is_deletion)
        self.referee.writes(message)
        if acknowledged:
            self.referee.acknowledged(message)
        return message

    def crashes(self, *names: str) -> None:
        """The broker is killed and started; these come back."""
        for name, session in self.referee.sessions.items():
            if session.is_connected:
                self.referee.loses(name)
        self.referee.started()
        for name in names:
            self.connects(name, session_present=True)

    def gets(self, name: str, message: Message, packet_id: int = 0, *, dup: bool = False, answers: bool = True) -> None:
        """At the QoS of the message; with an answer."""
        packet = Publish(message.topic, message.payload, message.qos, dup=dup, packet_id=packet_id)
        self.referee.receives(name, packet)
        if answers and message.qos > 0:
            self.referee.answers(name, packet_id)

    def gets_all(self, name: str, message: Message, packet_id: int) -> None:
        """The whole exchange at QoS 2."""
        self.gets(name, message, packet_id)
        self.referee.releases(name, packet_id)
        self.referee.completes(name, packet_id)

    def proves(self) -> None:
        """Something later is acknowledged, so that all before it is stored."""
        message = Message("zoe", self.referee.moment, "elsewhere", 2)
        self.referee.writes(message)
        self.referee.acknowledged(message)

    def pings(self, name: str) -> None:
        self.referee.pings(name)
        self.referee.pingresp(name)

    def looks(self, *found: Message, is_whole: bool = True) -> None:
        """What is retained is looked at."""
        floors = self.referee.retained_floors()
        payloads = {each.topic: each.payload for each in found}
        self.referee.judge_retained(floors, payloads, is_whole=is_whole)


@pytest.fixture
def story() -> Story:
    """Sub has subscribed at QoS 2."""
    story = Story()
    story.connects("sub")
    story.subscribes("sub")
    return story


# What is as it should be


def test_it_has_no_complaint_where_all_is_well(story: Story) -> None:
    story.gets("sub", story.sends(1), 1)
    story.gets_all("sub", story.sends(2, 2), 2)
    story.gets("sub", story.sends(3, 0))
    story.crashes("sub")
    story.gets("sub", story.sends(4), 1)
    story.referee.rests()
    assert story.faults == ""


def test_it_accepts_a_repeat_after_a_crash(story: Story) -> None:
    one = story.sends(1)
    story.gets("sub", one, 7)
    story.proves()
    story.crashes("sub")
    story.gets("sub", one, 7, dup=True)
    two = story.sends(2, 2)
    story.gets("sub", two, 8)
    story.crashes("sub")
    story.gets("sub", two, 8, dup=True)
    story.referee.releases("sub", 8)
    story.referee.completes("sub", 8)
    story.crashes("sub")
    story.referee.releases("sub", 8)
    story.referee.completes("sub", 8)
    story.referee.rests()
    assert story.faults == ""


def test_it_accepts_a_qos1_copy_that_the_publisher_has_caused(story: Story) -> None:
    message = story.sends(1, acknowledged=False)
    story.gets("sub", message, 1)
    story.crashes("sub")
    story.referee.writes(message)
    story.referee.acknowledged(message)
    story.gets("sub", message, 5)
    story.referee.rests()
    assert story.faults == ""


def test_it_accepts_a_qos1_message_sent_as_new_if_the_crash_came_before_the_commit(story: Story) -> None:
    message = story.sends(1)
    story.gets("sub", message, 1)
    story.crashes("sub")
    story.gets("sub", message, 5)
    assert story.faults == ""


# What is lost


@pytest.mark.parametrize("qos", [1, 2])
def test_it_sees_a_lost_message(story: Story, qos: int) -> None:
    story.sends(1, qos)
    story.crashes("sub")
    story.referee.rests()
    assert "sub was never given, though acknowledged, ann:1" in story.faults


def test_it_does_not_miss_what_was_never_acknowledged_to_a_subscriber_that_came_later(story: Story) -> None:
    message = story.sends(1, acknowledged=False)
    story.connects("late")
    story.subscribes("late")
    story.gets("sub", message, 1)
    story.referee.acknowledged(message)
    story.referee.rests()
    assert story.faults == ""


def test_it_sees_a_publisher_that_is_never_answered(story: Story) -> None:
    story.gets("sub", story.sends(1, acknowledged=False), 1)
    story.referee.rests()
    assert "never acknowledged: ann:1" in story.faults


def test_it_sees_a_lost_session(story: Story) -> None:
    story.crashes()
    story.connects("sub", session_present=False)
    assert "sub has lost its session" in story.faults


def test_it_sees_a_lost_subscription(story: Story) -> None:
    story.crashes("sub")
    story.sends(1)
    story.referee.rests()
    assert "sub was never given" in story.faults


def test_it_sees_a_lost_subscription_by_the_code_of_unsuback(story: Story) -> None:
    story.crashes("sub")
    story.unsubscribes("sub", code=0x11)
    assert "sub has lost its subscription to 'a'" in story.faults


def test_it_sees_a_subscription_that_is_there_again(story: Story) -> None:
    story.unsubscribes("sub")
    story.crashes("sub")
    story.gets("sub", story.sends(1), 1)
    assert "had no subscription" in story.faults


def test_it_accepts_either_while_a_subscription_is_not_acknowledged(story: Story) -> None:
    story.referee.unsubscribes("sub", "a")
    story.crashes("sub")
    story.gets("sub", story.sends(1), 1)
    story.sends(2)
    story.referee.rests()
    assert story.faults == ""


def test_it_sees_a_will_that_does_not_come(story: Story) -> None:
    will = Message("dan", 1, "a", 1)
    story.referee.wills(will)
    story.crashes("sub")
    story.referee.willed(will)
    story.referee.rests()
    assert "sub was never given, though acknowledged, dan:1" in story.faults


def test_it_sees_what_was_not_sent_again(story: Story) -> None:
    story.gets("sub", story.sends(1), 1, answers=False)
    story.gets("sub", story.sends(2, 2), 2, answers=False)
    story.gets("sub", story.sends(3, 2), 3)
    story.proves()
    story.crashes("sub")
    story.referee.rests()
    assert "sub was never sent again ann:1 ('a', QoS 1) of life 1, ann:2" in story.faults
    assert "sub waits for PUBREL of ann:2 ('a', QoS 2) of life 1, ann:3" in story.faults


def test_it_sees_a_pubrel_that_was_not_sent_again(story: Story) -> None:
    story.gets("sub", story.sends(1, 2), 1)
    story.referee.releases("sub", 1)
    story.crashes("sub")
    story.referee.rests()
    assert "sub waits for PUBREL again of the ids [1]" in story.faults


# What comes twice


def test_it_sees_a_duplicate_at_qos2(story: Story) -> None:
    message = story.sends(1, 2)
    story.gets_all("sub", message, 1)
    story.crashes("sub")
    story.gets("sub", message, 1, dup=True)
    assert "duplicate at QoS 2" in story.faults


def test_it_sees_a_duplicate_at_qos2_under_another_id(story: Story) -> None:
    message = story.sends(1, 2)
    story.gets("sub", message, 1)
    story.crashes("sub")
    story.gets("sub", message, 2)
    assert "duplicate at QoS 2" in story.faults


@pytest.mark.parametrize("qos", [0, 1])
def test_it_sees_a_duplicate_without_a_reason(story: Story, qos: int) -> None:
    message = story.sends(1, qos)
    story.gets("sub", message, 1 if qos else 0)
    story.gets("sub", message, 1 if qos else 0, dup=bool(qos))
    assert ("on the same connection" if qos else "twice") in story.faults


def test_it_sees_a_qos2_message_twice_for_a_subscription_of_qos1(story: Story) -> None:
    story.connects("one")
    story.subscribes("one", qos=1)
    message = story.sends(1, 2)
    story.proves()
    packet = Publish("a", message.payload, 1, packet_id=1)
    story.referee.receives("one", packet)
    story.proves()
    story.crashes("one")
    story.referee.writes(message)  # that the publisher sends it again is no excuse
    packet.packet_id = 2
    story.referee.receives("one", packet)
    assert "in flight it must keep its id" in story.faults


def test_it_sees_a_repeat_without_dup(story: Story) -> None:
    message = story.sends(1)
    story.gets("sub", message, 1)
    story.proves()
    story.crashes("sub")
    story.gets("sub", message, 1)
    assert "without DUP" in story.faults


def test_it_sees_a_repeat_of_what_its_client_had_surely_acknowledged(story: Story) -> None:
    message = story.sends(1)
    story.gets("sub", message, 1)
    story.pings("sub")
    story.proves()
    story.crashes("sub")
    story.gets("sub", message, 1, dup=True)
    assert "its PUBACK was written down" in story.faults


def test_it_sees_an_id_that_means_another_message(story: Story) -> None:
    story.gets("sub", story.sends(1, 2), 1)
    story.crashes("sub")
    story.gets("sub", story.sends(2, 2), 1)
    assert "an id that ann:1 ('a', QoS 2) has in flight" in story.faults


def test_it_sees_an_id_that_is_in_use(story: Story) -> None:
    story.gets("sub", story.sends(1), 1, answers=False)
    story.gets("sub", story.sends(2), 1)
    assert "has not answered ann:1" in story.faults


def test_it_sees_an_id_that_waits_for_pubcomp(story: Story) -> None:
    story.gets("sub", story.sends(1, 2), 1)
    story.referee.releases("sub", 1)
    story.gets("sub", story.sends(2, 2), 1)
    assert "that id waits for its PUBCOMP" in story.faults


def test_it_sees_a_pubrel_for_nothing(story: Story) -> None:
    story.referee.releases("sub", 9)
    assert "PUBREL 9, which nobody had in flight" in story.faults


def test_it_sees_a_pubrel_before_pubrec(story: Story) -> None:
    story.gets("sub", story.sends(1, 2), 1, answers=False)
    story.referee.releases("sub", 1)
    assert "PUBREL 1 before its PUBREC left" in story.faults


def test_it_sees_a_pubrel_twice_on_a_connection(story: Story) -> None:
    story.gets("sub", story.sends(1, 2), 1)
    story.referee.releases("sub", 1)
    story.referee.releases("sub", 1)
    assert "PUBREL 1 twice" in story.faults


def test_it_sees_what_comes_after_the_end(story: Story) -> None:
    message = story.sends(1)
    story.gets("sub", message, 1)
    story.crashes("sub")
    story.referee.is_at_rest = True
    story.gets("sub", message, 1, dup=True)
    assert "after everything was done" in story.faults


# Order, and what was never sent


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_it_sees_a_wrong_order(story: Story, qos: int) -> None:
    one, two = story.sends(1, qos), story.sends(2, qos)
    story.gets("sub", two, 2 if qos else 0)
    story.gets("sub", one, 1 if qos else 0)
    assert "got ann:1 ('a', QoS" in story.faults
    assert "behind 2: order" in story.faults


def test_it_sees_a_wrong_order_across_a_crash(story: Story) -> None:
    one, two = story.sends(1), story.sends(2)
    story.gets("sub", two, 2)
    story.crashes("sub")
    story.gets("sub", one, 1)
    assert "behind 2: order" in story.faults


def test_it_sees_repeats_in_a_wrong_order(story: Story) -> None:
    one, two = story.sends(1, 2), story.sends(2, 2)
    story.gets("sub", one, 1)
    story.gets("sub", two, 2)
    story.crashes("sub")
    story.gets("sub", two, 2, dup=True)
    story.gets("sub", one, 1, dup=True)
    assert "got ann:1 ('a', QoS 2) as id 1, DUP behind 2: order" in story.faults


def test_it_accepts_any_order_between_topics_and_between_qos(story: Story) -> None:
    story.subscribes("sub", "b")
    one, two, three = story.sends(1), story.sends(2, topic="b"), story.sends(3, 2)
    story.gets("sub", three, 3)
    story.gets("sub", two, 2)
    story.gets("sub", one, 1)
    assert story.faults == ""


def test_it_accepts_a_copy_in_its_own_turn_if_the_first_came_before_the_subscription() -> None:
    story = Story()
    story.connects("sub")
    one = story.sends(1, acknowledged=False)
    story.subscribes("sub")
    story.gets("sub", story.sends(2), 1)
    story.crashes("sub")
    story.referee.writes(one)
    story.gets("sub", one, 2)
    assert story.faults == ""


def test_it_sees_what_nobody_has_sent(story: Story) -> None:
    story.gets("sub", Message("ann", 9, "a", 1), 1)
    assert "what nobody has sent" in story.faults


def test_it_sees_a_payload_that_was_changed(story: Story) -> None:
    message = story.sends(1)
    story.referee.receives("sub", Publish("a", message.payload + b"!", 1, packet_id=1))
    assert "what nobody has sent" in story.faults


def test_it_sees_a_wrong_qos(story: Story) -> None:
    message = story.sends(1, 2)
    story.referee.receives("sub", Publish("a", message.payload, 1, packet_id=1))
    assert "at QoS 1" in story.faults


def test_it_sees_a_retain_flag_that_nobody_asked_for(story: Story) -> None:
    message = story.sends(1)
    story.referee.receives("sub", Publish("a", message.payload, 1, retain=True, packet_id=1))
    assert "with RETAIN" in story.faults


# Sessions that end


def test_it_sees_a_session_after_clean_start(story: Story) -> None:
    story.connects("sub", clean_start=True, session_present=True)
    assert "sub started clean, and its session is present" in story.faults


def test_it_sees_a_message_of_a_session_that_was_given_up(story: Story) -> None:
    message = story.sends(1)
    story.connects("sub", clean_start=True)
    story.crashes("sub")
    story.gets("sub", message, 1)
    assert "had no subscription" in story.faults


def test_it_sees_a_session_that_was_to_end_with_its_connection(story: Story) -> None:
    story.referee.connects("sub", clean_start=True, is_kept=False)
    story.referee.connack("sub", False)
    story.crashes("sub")
    assert "was to end with its connection" in story.faults


def test_it_sees_a_session_that_ends_too_early() -> None:
    story = Story()
    story.referee.session("fly", 10)
    story.connects("fly")
    story.referee.leaves("fly")
    story.referee.loses("fly", is_noticed=True)
    story.now = 9.0
    story.connects("fly", session_present=False)
    assert "fly has lost its session" in story.faults


@pytest.mark.parametrize("crashes", [False, True])
def test_it_sees_a_session_that_does_not_end(crashes: bool) -> None:
    story = Story()
    story.referee.session("fly", 10)
    story.connects("fly")
    story.referee.leaves("fly")
    story.referee.loses("fly", is_noticed=True)
    if crashes:
        story.crashes()
    story.proves()
    story.now = 10.0 + LATE / 2
    assert story.referee.may_be_over(story.referee.session("fly"))
    assert story.faults == ""
    story.now = 10.5 + LATE
    story.connects("fly", session_present=True)
    assert "fly has a session that should have ended" in story.faults


def test_it_accepts_both_where_a_session_may_have_ended() -> None:
    story = Story()
    story.referee.session("fly", 10)
    for present in (True, False):
        story.connects("fly")
        story.referee.leaves("fly")
        story.referee.loses("fly", is_noticed=True)
        story.now += 11.0
        story.connects("fly", session_present=present)
        story.referee.loses("fly")
        story.referee.forgets("fly")
        story.referee.session("fly", 10)
    assert story.faults == ""


# Retained messages


def test_it_sees_a_retained_message_that_is_too_old(story: Story) -> None:
    one = story.keeps(1)
    story.keeps(2)
    story.looks(one)
    assert "ann:1 ('r', QoS 1) is retained, and ann:2 ('r', QoS 1) was acknowledged" in story.faults
    assert "< PUBACK ann:2 ('r', QoS 1)" in story.referee.story[-1]


def test_it_accepts_a_retained_message_that_is_newer_than_the_last_acknowledged(story: Story) -> None:
    one, two = story.keeps(1), story.keeps(2, acknowledged=False)
    story.looks(one)
    story.looks(two)
    assert story.faults == ""


def test_it_sees_a_retained_message_that_is_lost(story: Story) -> None:
    story.keeps(1)
    story.looks(is_whole=False)
    assert story.faults == ""
    story.looks()
    assert "no message is retained for 'r', and ann:1 ('r', QoS 1) was acknowledged" in story.faults


def test_it_sees_a_retained_message_that_was_deleted(story: Story) -> None:
    one = story.keeps(1)
    story.keeps(2, is_deletion=True)
    story.looks()
    assert story.faults == ""
    story.looks(one)
    assert "ann:1 ('r', QoS 1) is retained, and ann:2" in story.faults


def test_it_sees_a_deletion_that_nobody_asked_for(story: Story) -> None:
    story.keeps(1)
    story.looks(Message("ann", 2, "r", 1, is_deletion=True))
    assert "'r' was deleted, and nobody asked for it" in story.faults


# What it shows


def test_a_fault_names_its_chapter_and_has_its_story(story: Story) -> None:
    story.referee.chapter = "round 3"
    message = story.sends(1, 2)
    story.gets("sub", message, 1)
    story.crashes("sub")
    story.gets("sub", message, 2)
    assert story.faults.startswith("round 3: sub got ann:1")
    assert any("< PUBLISH id 1 ann:1" in line for line in story.referee.story)
    assert any("the broker has started" in line for line in story.referee.story)


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [("a", "a", True), ("a", "a/b", False), ("a/+", "a/b", True), ("a/+", "a", False), ("a/#", "a/b/c", True)],
)
def test_its_filters_match_as_the_specification_says(topic_filter: str, topic: str, expected: bool) -> None:
    assert matches(topic_filter, topic) is expected
