"""The one tree of exceptions: who is whose parent, and what each carries."""

import pytest

from telex.codes import ReasonCode
from telex.errors import MqttError, NotConnected, OutboxFull, ProtocolError, Refused, Timeout, Untrusted


@pytest.mark.parametrize("error", [ProtocolError, Refused, NotConnected, Untrusted, OutboxFull, Timeout])
def test_every_error_between_two_ends_is_an_mqtt_error(error: type[Exception]) -> None:  # section 4.13
    assert error.__bases__ == (MqttError,)


@pytest.mark.parametrize("slip", [ValueError, TypeError, OSError, TimeoutError])
def test_a_callers_slip_is_none_of_them(slip: type[Exception]) -> None:  # section 4.13
    assert not issubclass(slip, MqttError)
    assert not issubclass(MqttError, slip)


def test_a_protocol_error_carries_its_code_and_says_it() -> None:  # section 4.13.1
    error = ProtocolError(ReasonCode.MALFORMED_PACKET, "PUBLISH ends inside its topic name")
    assert error.reason_code is ReasonCode.MALFORMED_PACKET
    assert str(error) == "PUBLISH ends inside its topic name (0x81 malformed packet)"


@pytest.mark.parametrize("reason_code", [0x87, ReasonCode.NOT_AUTHORIZED, 5])
def test_a_refusal_carries_the_code_of_the_version_spoken(reason_code: int) -> None:  # section 2.4
    error = Refused(reason_code, "user 'u' may not publish to 'a'")
    assert error.reason_code == reason_code
    assert str(error) == "user 'u' may not publish to 'a'"


@pytest.mark.parametrize("error", [NotConnected, Untrusted, OutboxFull, Timeout, MqttError])
def test_the_others_say_what_they_were_given(error: type[MqttError]) -> None:  # section 4.13
    with pytest.raises(MqttError, match="no answer to PINGREQ in 5 s"):
        raise error("no answer to PINGREQ in 5 s")
