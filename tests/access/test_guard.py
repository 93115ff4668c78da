"""The guard: how much one address or one client may cause. Time moves by hand, nothing else is there."""

import logging
from typing import Any

import pytest

from telex.server.config import Protection
from telex.server.guard import DISCONNECT, Guard

HERE = "*:1883"  # the listener
ALICE = "192.0.2.7"
BOB = "192.0.2.8"


def guard(limits: dict[str, int] | None = None, **protection: Any) -> Guard:
    return Guard(Protection(**protection), limits)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "telex"]


# Connections


def test_without_limits_everybody_comes_at_once() -> None:
    g = guard()
    assert [g.comes(ALICE, HERE, 0.0) for _ in range(1_000)] == [0.0] * 1_000
    assert g.meter(ALICE) is None
    assert g.open_count == 1_000


def test_there_are_only_so_many_connections_in_all() -> None:
    g = guard(max_connections=2)
    assert g.comes(ALICE, HERE, 0.0) == 0.0
    assert g.comes("", "/run/telex.sock", 0.0) == 0.0  # counts like all others
    assert g.comes(BOB, HERE, 0.0) is None
    g.goes("", "/run/telex.sock", 1.0)
    assert g.comes(BOB, HERE, 1.0) == 0.0
    assert g.counts.refused_connections == 1


def test_an_address_has_only_so_many_connections() -> None:
    g = guard(max_connections_per_address=1)
    assert g.comes(ALICE, HERE, 0.0) == 0.0
    assert g.comes(ALICE, "*:8883", 0.0) is None  # at whatever listener
    assert g.comes(BOB, HERE, 0.0) == 0.0
    assert [g.comes("", HERE, 0.0) for _ in range(3)] == [0.0] * 3  # this machine is no address
    g.goes(ALICE, HERE, 1.0)
    assert g.comes(ALICE, HERE, 1.0) == 0.0


def test_a_listener_has_only_so_many_connections() -> None:
    g = guard({HERE: 1})
    assert g.comes(ALICE, HERE, 0.0) == 0.0
    assert g.comes(BOB, HERE, 0.0) is None
    assert g.comes(BOB, "*:8883", 0.0) == 0.0
    g.goes(ALICE, HERE, 1.0)
    assert g.comes(BOB, HERE, 1.0) == 0.0


def test_a_limit_of_zero_at_a_listener_is_none() -> None:
    assert guard({HERE: 0}).comes(ALICE, HERE, 0.0) == 0.0


def test_connections_that_come_too_fast_wait_for_their_turn() -> None:
    g = guard(connects_per_second=2.0)
    assert [g.comes(ALICE, HERE, 10.0) for _ in range(5)] == [0.0, 0.0, 0.5, 1.0, 1.5]
    assert g.comes(BOB, HERE, 10.0) == 0.0
    assert g.comes(ALICE, HERE, 20.0) == 0.0  # all is forgotten
    assert g.counts.delayed_connections == 3


def test_a_steady_rate_that_is_allowed_never_waits() -> None:
    g = guard(connects_per_second=3.0)
    assert {g.comes(ALICE, HERE, 100 + number / 3) for number in range(1_000)} == {0.0}


def test_less_than_one_connection_a_second_can_be_allowed() -> None:
    g = guard(connects_per_second=0.25)
    assert [g.comes(ALICE, HERE, 0.0) for _ in range(4)] == [0.0, 4.0, 8.0, None]


def test_so_many_wait_and_no_more() -> None:
    g = guard(connects_per_second=100.0)
    waits = [g.comes(ALICE, HERE, 0.0) for _ in range(200)]
    assert waits[:100] == [0.0] * 100
    assert None not in waits[100:150]
    assert set(waits[150:]) == {None}
    assert g.counts.refused_rate == 50
    assert g.open_count == 150  # who is refused does not count


def test_ipv6_addresses_count_by_their_first_64_bits() -> None:
    g = guard(max_connections_per_address=1)
    assert g.comes("2001:db8::1", HERE, 0.0) == 0.0
    assert g.comes("2001:db8::ffff:2", HERE, 0.0) is None
    assert g.comes("2001:db8:0:1::1", HERE, 0.0) == 0.0
    g.goes("2001:db8::1", HERE, 0.0)
    assert g.comes("2001:db8::3", HERE, 0.0) == 0.0


def test_an_ipv4_address_is_the_same_in_an_ipv6_socket() -> None:
    g = guard(max_connections_per_address=1)
    assert g.comes(f"::ffff:{ALICE}", HERE, 0.0) == 0.0
    assert g.comes(ALICE, HERE, 0.0) is None


def test_a_link_local_address_may_have_a_scope() -> None:
    g = guard(max_connections_per_address=1)
    assert g.comes("fe80::1%eth0", HERE, 0.0) == 0.0
    assert g.comes("fe80::2", HERE, 0.0) is None


def test_refusals_are_told_a_few_times_and_then_counted(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(max_connections_per_address=1)
    g.comes(ALICE, HERE, 100.0)
    for _ in range(50):
        g.comes(ALICE, HERE, 100.0)
    line = f'"turned away" address={ALICE} listener=*:1883 reason="max_connections_per_address exceeded"'
    line = line.replace('"turned away"', "turned away")
    assert lines(caplog) == [line] * 3
    caplog.clear()
    g.tick(105.0)
    assert lines(caplog) == []
    g.tick(110.0)
    assert lines(caplog) == [f"{line} more=46"]
    caplog.clear()
    g.tick(120.0)
    assert lines(caplog) == []


# Memory


def test_a_million_addresses_leave_nothing_behind() -> None:
    g = guard(connects_per_second=5.0, max_connections=10)
    most = 0
    for number in range(100_000):
        host = f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"
        now = number / 1_000
        g.comes(host, HERE, now)
        g.goes(host, HERE, now)
        most = max(most, g.address_count)
    assert most < 2_000, "each is remembered for the second that its connection costs"
    for second in range(100, 200):
        g.tick(float(second))
    assert g.address_count == 0


def test_what_is_remembered_of_failures_is_bounded_too() -> None:
    g = guard(ban_after=5)
    g.comes(ALICE, HERE, 0.0)
    for number in range(70_000):
        g.failed(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", "root", 0.0)
    assert g.address_count <= 50_001
    g.goes(ALICE, HERE, 0.0)  # one that has a connection is never forgotten
    for user in range(10_000):
        g.failed(BOB, f"user-{user}", 0.0)
    assert g.banned_until(BOB, None, 0.0) > 0


# Rates


def test_who_keeps_the_rate_is_never_paused() -> None:
    g = guard(messages_per_second=10.0, bytes_per_second=1_000.0)
    meter = g.meter(ALICE)
    assert meter is not None
    assert {meter.received(100, 1, 100 + number / 10) for number in range(1_000)} == {0.0}


def test_a_burst_of_a_second_is_allowed_and_more_is_paid_with_a_pause() -> None:
    meter = guard(messages_per_second=10.0).meter(ALICE)
    assert meter is not None
    assert meter.received(1_000, 10, 100.0) == 0.0
    assert meter.received(1_000, 5, 100.0) == pytest.approx(0.5)
    assert meter.received(1_000, 10, 200.0) == 0.0


def test_bytes_are_measured_like_messages() -> None:
    meter = guard(bytes_per_second=1_000.0).meter("")  # also of who came by a Unix socket
    assert meter is not None
    assert meter.received(3_000, 0, 100.0) == pytest.approx(2.0)


def test_one_message_is_never_too_much_at_once() -> None:
    meter = guard(messages_per_second=0.1).meter(ALICE)
    assert meter is not None
    assert meter.received(100, 1, 100.0) == 0.0
    assert meter.received(100, 1, 100.0) == 5.0  # ten seconds, and a look in between


def flood(meter: Any, start: float, messages: int) -> list[float]:
    """Bring so many messages with each reading, and as soon as it is read again, until it has to go."""
    now, answers = start, []
    while now < start + 100:
        answer = meter.received(messages * 100, messages, now)
        answers.append(answer)
        if answer < 0:
            return [*answers, now - start]
        now += max(answer, 0.001)
    return answers


@pytest.mark.parametrize("messages", [1, 7, 20, 1_000])
def test_who_stays_above_the_rate_is_slowed_down_and_then_has_to_go(messages: int) -> None:
    g = guard(messages_per_second=10.0, patience=10.0)
    meter = g.meter(ALICE)
    *answers, last, after = flood(meter, 100.0, messages)
    assert last == DISCONNECT
    assert min(answers) >= 0
    assert 10 <= after < 16
    assert g.counts.disconnected_rate == 1
    assert g.counts.slowed_reads > 0


def test_who_brings_a_large_burst_and_then_keeps_quiet_may_stay() -> None:
    meter = guard(messages_per_second=10.0, patience=10.0).meter(ALICE)
    assert meter is not None
    now = 100.0
    pause = meter.received(30_000, 300, now)  # what a device gathered while it was offline
    for _ in range(10):
        assert 0 <= pause <= 5.0
        now += max(pause, 1.0)
        pause = meter.received(2, 0, now)  # PINGREQ
    assert pause == 0.0


def test_a_burst_long_after_another_is_no_crime() -> None:
    meter = guard(messages_per_second=10.0, patience=10.0).meter(ALICE)
    assert meter is not None
    assert meter.received(10_000, 100, 100.0) == 5.0
    assert meter.received(10_000, 1_000, 150.0) == 5.0


def test_all_clients_of_an_address_share_a_rate() -> None:
    g = guard(messages_per_second_per_address=10.0)
    g.comes(ALICE, HERE, 100.0)
    g.comes(ALICE, HERE, 100.0)
    g.comes(BOB, HERE, 100.0)
    one, other, elsewhere = g.meter(ALICE), g.meter(ALICE), g.meter(BOB)
    assert one is not None
    assert other is not None
    assert elsewhere is not None
    assert one.received(100, 10, 100.0) == 0.0
    assert other.received(100, 10, 100.0) == pytest.approx(1.0)
    assert elsewhere.received(100, 10, 100.0) == 0.0
    assert g.meter("") is None


def test_one_who_floods_has_to_go_and_the_neighbour_behind_the_same_address_may_stay() -> None:
    g = guard(messages_per_second_per_address=10.0, patience=10.0)
    for _ in range(2):
        g.comes(ALICE, HERE, 100.0)
    loud, quiet = g.meter(ALICE), g.meter(ALICE)
    assert loud is not None
    assert quiet is not None
    now, answer = 100.0, 0.0
    while answer >= 0:
        answer = loud.received(10_000, 100, now)
        assert quiet.received(100, 1, now) >= 0
        now += max(answer, 0.01)
    assert now < 120


def test_limits_that_change_hold_for_those_who_are_there() -> None:
    g = guard(messages_per_second=10.0)
    meter = g.meter(ALICE)
    assert meter is not None
    g.change(Protection(messages_per_second=1_000.0))
    assert meter.received(100, 500, 100.0) == 0.0
    g.change(Protection())
    assert meter.received(100, 50_000, 101.0) == 0.0
    assert g.meter(ALICE) is None


def test_counts_survive_a_change_of_limits() -> None:
    g = guard(max_connections=5)
    g.comes(ALICE, HERE, 0.0)
    g.change(Protection(max_connections=1), {})
    assert g.comes(BOB, HERE, 0.0) is None
    g.goes(ALICE, HERE, 0.0)
    assert g.comes(BOB, HERE, 0.0) == 0.0


# Failed logins


def test_without_a_setting_nobody_is_banned() -> None:
    g = guard()
    for _ in range(1_000):
        g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "root", 100.0) == 0.0


def test_an_address_that_fails_to_log_in_as_somebody_has_to_wait(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for _ in range(2):
        g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "root", 100.0) == 0.0
    g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "root", 100.0) == 160.0
    assert g.banned_until(ALICE, "root", 159.9) == 160.0
    assert g.banned_until(ALICE, "root", 160.0) == 0.0
    assert lines(caplog) == [f'banned address={ALICE} user=root seconds=60 reason="failed logins"']
    assert g.counts.bans == 1


def test_a_ban_of_one_user_is_none_of_the_others_behind_the_same_address() -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for _ in range(3):
        g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "carol", 100.0) == 0.0
    assert g.banned_until(ALICE, None, 100.0) == 0.0
    assert g.banned_until(BOB, "root", 100.0) == 0.0
    assert g.comes(ALICE, HERE, 100.0) == 0.0


def test_who_tries_many_names_is_shut_out_as_a_whole(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for number in range(15):
        g.failed(ALICE, f"user-{number}", 100.0)
    assert g.banned_until(ALICE, None, 100.0) == 160.0
    assert g.banned_until(ALICE, "carol", 100.0) == 160.0
    assert g.comes(ALICE, HERE, 100.0) is None
    assert g.counts.refused_banned == 1
    assert g.comes(ALICE, HERE, 160.0) == 0.0
    assert lines(caplog)[0] == f'banned address={ALICE} seconds=60 reason="failed logins"'


def test_bans_double_up_to_an_hour_and_an_hour_of_peace_ends_that() -> None:
    g = guard(ban_after=1, ban_seconds=60.0)
    now, bans = 100.0, []
    for _ in range(8):
        g.failed(ALICE, "root", now)
        until = g.banned_until(ALICE, "root", now)
        bans.append(until - now)
        now = until
    assert bans == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600]
    now += 3_601
    g.failed(ALICE, "root", now)
    assert g.banned_until(ALICE, "root", now) == now + 60


def test_a_ban_that_is_longer_than_an_hour_stays_as_long() -> None:
    g = guard(ban_after=1, ban_seconds=7_200.0)
    g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "root", 100.0) == 7_300.0
    g.failed(ALICE, "root", 7_300.0)
    assert g.banned_until(ALICE, "root", 7_300.0) == 14_500.0


def test_what_failed_while_a_ban_began_does_not_make_it_longer() -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for _ in range(100):
        g.failed(ALICE, "root", 100.0)
    assert g.banned_until(ALICE, "root", 100.0) == 160.0
    assert g.counts.bans == 1


def test_failures_are_forgiven_with_time() -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for number in range(100):
        g.failed(ALICE, "root", 100 + number * 61.0)
    assert g.counts.bans == 0
    g.failed(ALICE, "root", 100 + 99 * 61.0 + 1)
    assert g.counts.bans == 0
    g.failed(ALICE, "root", 100 + 99 * 61.0 + 2)
    assert g.counts.bans == 1  # three within three seconds, although a little of the first is forgiven already


def test_a_device_with_an_old_password_shuts_out_only_itself_however_long_it_tries() -> None:
    g = guard(ban_after=5, ban_seconds=60.0)
    now = 100.0
    for _ in range(10_000):
        if g.banned_until(ALICE, "sensor", now) == 0.0:
            g.failed(ALICE, "sensor", now)
        assert g.banned_until(ALICE, None, now) == 0.0
        now += 5.0


def test_who_gets_in_at_last_is_forgiven_and_has_not_earned_guesses_for_others() -> None:
    g = guard(ban_after=3, ban_seconds=60.0)
    for _ in range(20):
        g.failed(ALICE, "carol", 100.0)
        g.failed(ALICE, "carol", 100.0)
        g.succeeded(ALICE, "carol", 100.0)
    assert g.counts.bans == 0
    for number in range(15):
        g.failed(ALICE, f"user-{number}", 100.0)
        g.succeeded(ALICE, "carol", 100.0)  # it has an account of its own
    assert g.banned_until(ALICE, None, 100.0) > 0


def test_who_came_by_a_unix_socket_is_never_banned() -> None:
    g = guard(ban_after=1)
    g.failed("", "root", 100.0)
    g.succeeded("", "root", 100.0)
    assert g.banned_until("", "root", 100.0) == 0.0


# Clients that chase each other


def test_a_few_takeovers_are_nothing(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(takeovers=3, takeover_delay=5.0)
    for minute in range(10):
        for second in range(3):
            assert g.taken_over("lamp", f"{ALICE}:1", f"{BOB}:2", minute * 61.0 + second) == 0.0
    assert lines(caplog) == []


def test_two_clients_that_chase_each_other_are_told_of_once_and_slowed_down(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(takeovers=3, takeover_delay=5.0)
    now, delays = 100.0, []
    for number in range(100):
        delay = g.taken_over("lamp", f"{ALICE}:{number}", f"{BOB}:{number}", now)
        delays.append(delay)
        now += 1.0 + delay
    assert delays == [0.0] * 3 + [5.0] * 97
    (line,) = lines(caplog)
    assert line.startswith(f"takeover storm client=lamp address={BOB}:3 other={ALICE}:3 reason=")
    assert g.counts.takeover_storms == 1
    assert g.counts.delayed_takeovers == 97


def test_a_storm_is_over_after_a_quiet_minute(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(takeovers=1, takeover_delay=30.0)  # slowed down to less than would begin one
    assert [g.taken_over("lamp", "a:1", "b:2", now) for now in (0.0, 1.0, 40.0, 99.0)] == [0.0, 30.0, 30.0, 30.0]
    assert g.taken_over("lamp", "a:1", "b:2", 159.0) == 0.0
    assert len(lines(caplog)) == 1
    assert g.taken_over("lamp", "a:1", "b:2", 160.0) == 30.0
    assert len(lines(caplog)) == 2


def test_takeovers_of_different_ids_have_nothing_to_do_with_each_other() -> None:
    g = guard(takeovers=1)
    assert {g.taken_over(f"c{number}", "a:1", "b:2", 1.0) for number in range(20_000)} == {0.0}


def test_zero_takeovers_is_no_limit() -> None:
    g = guard(takeovers=0)
    assert {g.taken_over("lamp", "a:1", "b:2", 1.0) for _ in range(100)} == {0.0}


def test_warnings_are_warnings(caplog: pytest.LogCaptureFixture) -> None:
    g = guard(takeovers=1, ban_after=1, max_connections=1)
    for _ in range(2):
        g.taken_over("lamp", "a:1", "b:2", 1.0)
        g.comes(ALICE, HERE, 1.0)
    g.failed(ALICE, "root", 1.0)
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert len(caplog.records) == 3
