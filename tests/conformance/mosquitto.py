"""Where Debian's Mosquitto 2.0.11 answers otherwise than this suite wants, and why it is wrong.

Each was looked into. Where the specification leaves the broker a choice, the
test allows both or asks the engine only; so what is here is against the text, or
against a SHOULD of it. ``tests/interop/test_conformance.py`` runs the suite
against Mosquitto and finds no other difference.
"""

from typing import Final

DIFFERENCES: Final = {
    # Chapters 1, 2 and sections 3.1 and 3.2
    #
    # Mosquitto takes a remaining length of more bytes than needed; MQTT-1.5.5-1 (through section 2.1.4) makes
    # it malformed. Its property lengths are checked.
    "test_a_remaining_length_of_more_bytes_than_it_needs_is_malformed",
    # A remaining length that is too long is taken in CONNECT too: MQTT-1.5.5-1.
    "test_a_connect_with_a_longer_remaining_length_than_needed_is_turned_away",
    # Mosquitto 2.0.11 does not look at the flags of PUBACK, PUBREC, PUBCOMP and PINGREQ; MQTT-2.1.3-1, v3
    # MQTT-2.2.2-2 (those of PUBREL, SUBSCRIBE, UNSUBSCRIBE, DISCONNECT and CONNECT it checks)
    "test_wrong_flags_end_the_connection",
    # Mosquitto takes SUBACK, UNSUBACK and PINGRESP from any client, as it needs them of its own bridges; table
    # 2-1 gives them one direction.
    "test_a_packet_type_that_only_a_server_sends_ends_the_connection",
    # Mosquitto 2.0.11 forgets the will of a client that sends a second CONNECT; MQTT-3.1.2-8: only DISCONNECT
    # 0x00 withdraws it, and section 3.1.2.5 names a protocol error among its occasions.
    "test_a_second_connect_does_not_withdraw_the_will",
    # Mosquitto 2.0.11 publishes the will after DISCONNECT 0x04 only; by MQTT-3.1.2-8 and MQTT-3.14.4-3 nothing
    # but 0x00 withdraws it.
    "test_a_disconnect_with_an_error_publishes_the_will",
    # Mosquitto 2.0.11 waits for the whole Will Delay Interval though the session has ended (mosquitto#3505);
    # MQTT-3.1.2-8: or the session ends.
    "test_without_a_session_to_go_on_with_a_will_waits_for_nothing",
    # A DISCONNECT 0x04 with a Session Expiry Interval of 0 does not end the wait either: MQTT-3.1.2-8.
    "test_a_disconnect_that_ends_the_session_ends_the_wait",
    # Mosquitto 2.0.11 drops a delayed will when Clean Start 1 ends its session; MQTT-3.1.2-8, and the note to
    # MQTT-3.1.4-3.
    "test_a_clean_start_ends_the_wait",
    # Mosquitto 2.0.11 sends a packet of one byte more than Maximum Packet Size: it does not count the whole
    # fixed header (mosquitto#3515); MQTT-3.1.2-24.
    "test_a_message_too_large_for_its_client_is_left_out",
    # Mosquitto 2.0.11 takes Authentication Data without a method; section 3.1.2.11.10 calls it a Protocol
    # Error, MQTT-3.1.4-1.
    "test_authentication_data_without_a_method_is_turned_away",
    # Mosquitto 2.0.11 closes the old connection without DISCONNECT 0x8E; MQTT-3.1.4-3.
    "test_who_is_taken_over_from_is_told",
    # Mosquitto 2.0.11 does not measure its CONNACK by the Maximum Packet Size of the CONNECT; MQTT-3.1.2-24.
    "test_no_connack_is_larger_than_its_client_takes",
    # Sections 3.3 to 3.7
    #
    # DUP at QoS 0 is let pass, although DUP MUST be 0 there [MQTT-3.3.1-2] and a violation closes the
    # connection (v3 [MQTT-4.8.0-1], [MQTT-4.13.1-1]).
    "test_dup_at_qos_0_closes_the_connection",
    # To a v3.1.1 client one copy is sent, at the QoS of the first subscription found and not at the highest (v3
    # [MQTT-3.3.5-1]); v5 clients get copies, the highest QoS among them [MQTT-3.3.4-2].
    "test_overlapping_subscriptions_bring_the_highest_qos",
    # The identifier is ignored, where [MQTT-3.3.4-6] makes it data that the protocol does not allow, that is a
    # Protocol Error (sections 1.2 and 4.13.1).
    "test_a_client_that_sends_a_subscription_identifier_is_disconnected",
    # After an acknowledgement of the first two messages go out in place of one, which is one more than Receive
    # Maximum [MQTT-3.3.4-9].
    "test_no_more_messages_are_in_flight_than_the_client_takes",
    # On resume everything in flight is sent again at once, also where the new CONNECT has a smaller Receive
    # Maximum [MQTT-3.3.4-9].
    "test_each_connection_has_a_receive_maximum_of_its_own",
    # CONNACK says Receive Maximum 20, but a 21st unfinished QoS 2 message gets PUBREC and not DISCONNECT 0x93
    # (section 3.3.4 after [MQTT-3.3.4-7]).
    "test_one_message_above_the_brokers_receive_maximum_is_one_too_many",
    # Maximum Packet Size is compared without the fixed header, so that packets a few bytes too large are sent
    # [MQTT-3.1.2-24] (mosquitto#3515).
    "test_who_takes_smaller_packets_only_misses_larger_messages",
    # A Response Topic with wildcards is accepted and forwarded [MQTT-3.3.2-14].
    "test_a_response_topic_with_wildcards_closes_the_connection",
    # A new Shared Subscription gets retained messages, which section 4.8.2 excludes (v5 only, without a
    # number).
    "test_shared_subscriptions_get_none",
    # Sections 3.8 to 3.15, 4.12 and 4.13
    #
    # V5: it says 0x81 (malformed) where section 3.8.3 names a Protocol Error, 0x82 [MQTT-3.8.3-2].
    "test_a_subscribe_without_a_filter_is_a_protocol_error",
    # It says 0x81 to QoS 3 and Retain Handling 3, which section 3.8.3.1 calls Protocol Errors, 0x82.
    "test_options_with_a_value_that_does_not_exist_are_a_protocol_error",
    # It says 0x81 to an identifier of 0, which section 3.8.2.1.2 calls a Protocol Error, 0x82.
    "test_a_subscription_identifier_is_one_and_not_zero",
    # It grants it [MQTT-3.8.3-4].
    "test_no_local_on_a_shared_subscription_is_a_protocol_error",
    # A repeated filter changes QoS and identifier only: No Local and Retain As Published stay as they were
    # first [MQTT-3.8.4-3].
    "test_replacing_replaces_every_option",
    # It sends them (section 4.8.2: no retained messages are sent to a Shared Subscription when it is made)
    "test_a_shared_subscription_gets_no_retained_messages",
    # A Shared Subscription to a filter that begins with $, such as $share/g/$tele/#, gets nothing (section
    # 4.8.2: the filter means the same as in a subscription that is not shared)
    "test_so_does_a_shared_filter",
    # It grants $share/, $share/g, $share/g/, $share//a, $share/+/a and $share/# [MQTT-4.8.2-1] [MQTT-4.8.2-2].
    "test_a_shared_filter_needs_a_group_and_a_filter",
    # V5: it says 0x81 (malformed) where section 3.10.3 names a Protocol Error, 0x82 [MQTT-3.10.3-2].
    "test_an_unsubscribe_without_a_filter_is_a_protocol_error",
    # It answers a PINGREQ with reserved flags or with a body (section 3.12.1) [MQTT-2.1.3-1] v3 [MQTT-2.2.2-2].
    "test_a_pingreq_is_two_bytes_and_no_others",
    # Only 0x04 publishes the will there; the text lets 0x00 alone drop it [MQTT-3.1.2-8] [MQTT-3.14.4-3].
    "test_a_client_that_leaves_for_an_error_has_its_will_published",
    # It takes any reason code as a normal disconnection, and drops the will [MQTT-3.1.2-8] (section 3.14.2.1)
    "test_a_reason_code_that_disconnect_may_not_carry_is_an_error",
    # It closes the old connection without a DISCONNECT 0x8E [MQTT-3.1.4-3].
    "test_nor_has_that_of_a_client_that_is_taken_over",
    # It accepts the CONNECT (section 3.1.2.11.10: it is a Protocol Error)
    "test_authentication_data_without_a_method_is_a_protocol_error",
    # It ignores SUBACK, UNSUBACK and PINGRESP from a client (table 2-1: server to client only) [MQTT-4.13.1-1]
    # v3 [MQTT-4.8.0-1].
    "test_a_client_may_not_send_what_only_servers_send",
    # It ignores the flags of PUBACK, PUBREC and PUBCOMP [MQTT-2.1.3-1] v3 [MQTT-2.2.2-2].
    "test_acknowledgements_too_must_have_their_flags",
    # Sections 4.1 to 4.9
    #
    # MQTT-3.1.4-3: to the connection that is taken over 2.0.11 closes the socket without the DISCONNECT 0x8E
    # (it marks the client as a duplicate first, and sends nothing to such).
    "test_a_connection_that_is_taken_over_is_told_and_closed",
    # V3 MQTT-3.1.2-8: the will of a kept session (CleanSession 0) is cleared by a take-over, and never
    # published, although the old connection was closed without DISCONNECT (mosquitto#1946).
    "test_an_old_v3_will_is_published",
    # MQTT-3.1.2-8: by a take-over a will without delay is cleared if the session goes on; one with a delay is
    # cleared although the session ends (Clean Start, or expiry 0), which section 3.1.3.2.2 makes the moment to
    # publish it (mosquitto#1946).
    "test_an_old_v5_will_is_published_unless_it_waits_and_the_session_goes_on",
    # MQTT-4.3.3-10, v3 MQTT-4.3.3-2 ("any subsequent PUBLISH"): Mosquitto answers the first repeat within a
    # connection and calls the second a protocol error.
    "test_each_repeat_is_answered_however_many_come",
    # MQTT-4.3.3-8 and 4.5.0-1: with PUBREC the ownership passes to the broker (section 4.3.3); Mosquitto hands
    # the message on at PUBREL only, and throws it away if the publisher's session ends before.
    "test_pubrec_says_that_the_broker_owns_the_message_whatever_becomes_of_the_publisher",
    # MQTT-4.9.0-2, 3.3.4-9: with a Receive Maximum of 3 and messages that wait, the second PUBACK brings two
    # more PUBLISH packets: four are in flight then. (The order is right.)
    "test_acknowledgements_in_another_order_change_no_order",
    # MQTT-4.9.0-2, 3.3.4-9: with a Receive Maximum of 2 and messages that wait, one PUBACK brings two more
    # PUBLISH packets: three are in flight then. (The order is right.)
    "test_the_order_holds_however_often_and_wherever_the_connection_is_cut",
    # MQTT-4.8.2-1 and -2: Mosquitto takes $share//a, $share/g and $share/g/ for ordinary filters and grants
    # them.
    "test_a_share_name_has_a_character_and_a_filter_behind_it",
    # MQTT-4.8.2-2: Mosquitto grants $share/+/a and $share/#.
    "test_a_share_name_has_no_wildcard",
    # Section 4.8.2, a SHOULD: Mosquitto drops what a member had not acknowledged when its session ends
    # (mosquitto#2662).
    "test_unacknowledged_messages_of_a_member_that_is_gone_go_to_another",
    # MQTT-4.9.0-2, 3.3.4-9: with a Receive Maximum of 3 and messages that wait, one PUBACK or PUBCOMP brings
    # two more PUBLISH packets: four are in flight then.
    "test_never_more_than_the_quota_leaves_while_messages_wait",
    # MQTT-4.9.0-2, 3.3.4-9: on resume Mosquitto repeats all that was in flight at once, whatever Receive
    # Maximum the new connection brings.
    "test_a_new_connection_may_bring_a_smaller_receive_maximum",
    # Section 3.3.4 wants DISCONNECT 0x93 of a server whose Receive Maximum is exceeded; Mosquitto answers
    # PUBREC 0x97 and goes on.
    "test_a_client_that_exceeds_the_brokers_receive_maximum_is_disconnected",
}
