"""Exactly once, always: a Sender and a Receiver over a link that fails at every packet in turn."""

from itertools import combinations, product

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telex.codes import MAX_PACKET_ID
from tests.flow.link import Fault, Link, Parcel

law = settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])

KINDS = pytest.mark.parametrize("kind", ["1", "2", "12", "221"])
RECEIVE_MAXIMA = pytest.mark.parametrize("receive_maximum", [1, 2, 3, MAX_PACKET_ID])
FAULTS = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name)


def parcels(kind: str, count: int) -> list[Parcel]:
    """So many parcels, with the QoS of each in turn: "12" is 1, 2, 1, 2 and so on."""
    return [Parcel(int(kind[number % len(kind)]), f"m{number}") for number in range(count)]


@KINDS
@RECEIVE_MAXIMA
def test_a_good_link_delivers_everything_once_and_in_order(kind: str, receive_maximum: int) -> None:  # section 4.3
    link = Link(parcels(kind, 20), receive_maximum=receive_maximum, receiver_maximum=receive_maximum).run()
    link.check()
    assert link.receiving.delivered == [f"m{number}" for number in range(20)]
    assert link.cuts == 0
    assert link.carried == sum(2 if parcel.qos == 1 else 4 for parcel in link.parcels)
    assert link.sending.most_unacknowledged == min(receive_maximum, 20)


@KINDS
@RECEIVE_MAXIMA
@FAULTS
def test_one_fault_at_any_packet_loses_and_doubles_nothing(  # [MQTT-4.3.3-10] [MQTT-4.4.0-1]
    kind: str, receive_maximum: int, fault: Fault
) -> None:
    packets = Link(parcels(kind, 8), receive_maximum=receive_maximum).run().carried
    for number in range(packets):
        link = Link(parcels(kind, 8), receive_maximum=receive_maximum, faults={number: fault}).run()
        link.check(order=fault is not Fault.LOST)
        assert link.cuts == (fault is not Fault.TWICE)


@KINDS
@pytest.mark.parametrize("receive_maximum", [1, 2, MAX_PACKET_ID])
@pytest.mark.parametrize(
    "faults", list(product(Fault, repeat=2)), ids=lambda faults: " and ".join(fault.name for fault in faults)
)
def test_two_faults_at_any_packets_lose_and_double_nothing(  # [MQTT-4.3.3-10] [MQTT-4.4.0-1]
    kind: str, receive_maximum: int, faults: tuple[Fault, Fault]
) -> None:
    for numbers in combinations(range(14), 2):
        planned = dict(zip(numbers, faults, strict=True))
        link = Link(parcels(kind, 3), receive_maximum=receive_maximum, faults=planned).run()
        link.check(order=Fault.LOST not in faults)


@KINDS
def test_a_link_that_is_cut_at_every_second_packet_delivers_in_the_end(kind: str) -> None:  # [MQTT-4.4.0-1]
    faults = dict.fromkeys(range(1, 500, 2), Fault.CUT_AFTER)
    link = Link(parcels(kind, 10), faults=faults).run()
    link.check()
    assert link.cuts > 5


@law
@given(data=st.data())
def test_any_faults_at_any_packets_lose_and_double_nothing(data: st.DataObject) -> None:  # [MQTT-4.3.3-10]
    sizes = st.lists(st.sampled_from([1, 2]), min_size=1, max_size=10)
    sent = [Parcel(qos, f"m{number}") for number, qos in enumerate(data.draw(sizes))]
    faults = data.draw(st.dictionaries(st.integers(0, 60), st.sampled_from(Fault), max_size=8))
    refuses = data.draw(st.sets(st.sampled_from(sent), max_size=3))
    link = Link(
        sent,
        receive_maximum=data.draw(st.sampled_from([1, 2, 3, 5, MAX_PACKET_ID])),
        faults=faults,
        refuses=frozenset(parcel.text for parcel in refuses),
        backward_first=lambda: data.draw(st.booleans()),
    ).run()
    link.check(order=Fault.LOST not in faults.values())


@RECEIVE_MAXIMA
@FAULTS
def test_a_refused_message_is_neither_delivered_nor_sent_again(  # [MQTT-4.4.0-2] [MQTT-4.3.3-9]
    receive_maximum: int, fault: Fault
) -> None:
    refuses = frozenset({"m0", "m3", "m4"})
    packets = Link(parcels("2", 6), receive_maximum=receive_maximum, refuses=refuses).run().carried
    assert packets == 3 * 4 + 3 * 2
    for number in range(packets):
        faults = {number: fault}
        link = Link(parcels("2", 6), receive_maximum=receive_maximum, refuses=refuses, faults=faults).run()
        link.check(order=fault is not Fault.LOST)
        assert sorted(link.sending.refused) == sorted(refuses)


@RECEIVE_MAXIMA
@FAULTS
def test_at_qos_1_a_fault_never_exceeds_the_receive_maximum(receive_maximum: int, fault: Fault) -> None:
    for number in range(16):  # [MQTT-3.3.4-7] [MQTT-3.3.4-9]
        link = Link(parcels("1", 8), receive_maximum=receive_maximum, faults={number: fault}).run()
        assert link.sending.most_unacknowledged <= receive_maximum


@pytest.mark.parametrize("receive_maximum", [1, 2, 3])
@pytest.mark.parametrize("fault", [Fault.CUT_BEFORE, Fault.CUT_AFTER], ids=lambda fault: fault.name)
def test_at_qos_2_a_cut_never_exceeds_the_receive_maximum(receive_maximum: int, fault: Fault) -> None:
    for number in range(32):  # [MQTT-3.3.4-7] [MQTT-3.3.4-9]
        link = Link(parcels("2", 8), receive_maximum=receive_maximum, faults={number: fault}).run()
        assert link.sending.most_unacknowledged <= receive_maximum, f"cut at packet {number}"


@pytest.mark.parametrize("receive_maximum", [1, 2, 3])
def test_after_a_cut_our_receiver_takes_what_our_sender_sends(receive_maximum: int) -> None:  # section 4.9
    for number in range(32):
        faults = {number: Fault.CUT_AFTER}
        maxima = {"receive_maximum": receive_maximum, "receiver_maximum": receive_maximum}
        Link(parcels("2", 8), faults=faults, **maxima).run().check()


@pytest.mark.parametrize("receive_maximum", [4, 2])
def test_a_receiver_may_allow_less_after_a_cut_than_before(receive_maximum: int) -> None:  # section 4.9
    link = Link(parcels("2", 4), receive_maximum=4, receiver_maximum=4)
    link.sending.fill()
    link.carry()  # two of four PUBLISH arrive
    link.carry()
    link.backward_first = lambda: True
    link.carry()  # both are acknowledged, their PUBREL are on their way
    link.carry()
    assert [parcel.is_released for parcel in link.parcels] == [True, True, False, False]
    link.receive_maximum = receive_maximum
    link.receiver_maximum = receive_maximum
    link.cut()
    link.run().check()
