"""``-D COMMAND PROPERTY VALUE``: the properties of MQTT 5 on a command line, named as mosquitto_pub names them.

What there is, who may carry it and which values it may have is said by one table, ``wire.properties.RULES``.
"""

import os
from collections.abc import Sequence
from typing import Final

from telex import codes
from telex.wire.properties import RULES, WILL, Properties, Rule, encode_property_list

COMMANDS: Final = {
    "connect": codes.CONNECT,
    "publish": codes.PUBLISH,
    "subscribe": codes.SUBSCRIBE,
    "unsubscribe": codes.UNSUBSCRIBE,
    "disconnect": codes.DISCONNECT,
    "will": WILL,
}
_UNSUPPORTED: Final = ("auth", "puback", "pubrec", "pubrel", "pubcomp")
_NOT_FROM_CLIENTS: Final = (("publish", "subscription-identifier"), ("disconnect", "server-reference"))

_USER_PROPERTY: Final = "user-property"
_SUBSCRIPTION_IDENTIFIER: Final = "subscription-identifier"
_ATTRIBUTES: Final = {_USER_PROPERTY: "user_properties", _SUBSCRIPTION_IDENTIFIER: "subscription_identifiers"}
_NAMES: Final = {attribute: name for name, attribute in _ATTRIBUTES.items()}

# The data types of section 2.2.2, by what one property of each has.
_RULES: Final = {_NAMES.get(rule.name, rule.name.replace("_", "-")): rule for rule in RULES.values()}
_LARGEST: Final = {
    _RULES[name].kind: largest
    for name, largest in (
        ("request-problem-information", 0xFF),
        ("receive-maximum", 0xFFFF),
        ("message-expiry-interval", 0xFFFFFFFF),
        (_SUBSCRIPTION_IDENTIFIER, 268_435_455),
    )
}
_STRING: Final = _RULES["content-type"].kind
_BINARY: Final = _RULES["correlation-data"].kind


class CommandProperties:
    """What ``-D`` has said for each packet that may be given properties; None: nothing."""

    def __init__(self) -> None:
        self.connect: Properties | None = None
        self.publish: Properties | None = None
        self.subscribe: Properties | None = None
        self.unsubscribe: Properties | None = None
        self.disconnect: Properties | None = None
        self.will: Properties | None = None

    @property
    def commands(self) -> list[str]:
        """Those for which something was said."""
        return [command for command in COMMANDS if getattr(self, command) is not None]

    def add(self, words: Sequence[str]) -> None:
        """Take in one ``-D``: COMMAND PROPERTY VALUE, or COMMAND user-property NAME VALUE.

        Raises:
            ValueError: there is no such property, or it cannot have that value.
        """
        command, name, *values = words
        rule = _rule(command, name)
        properties = getattr(self, command) or Properties()
        attribute = rule.name
        if name == _USER_PROPERTY:
            key, value = values
            properties.user_properties += ((key, value),)
        elif getattr(properties, attribute) not in (None, ()):
            raise ValueError(f"-D {command} {name} is given twice")
        elif rule.kind == _STRING:
            setattr(properties, attribute, values[0])
        elif rule.kind == _BINARY:
            setattr(properties, attribute, os.fsencode(values[0]))
        else:
            number = _number(command, name, values[0], rule)
            setattr(properties, attribute, (number,) if name == _SUBSCRIPTION_IDENTIFIER else number)
        try:
            encode_property_list(properties, COMMANDS[command])
        except ValueError as error:  # not UTF-8, too long, a wildcard in a response topic
            raise ValueError(f"-D {command} {name}: {error}") from None
        setattr(self, command, properties)


def word_count(words: Sequence[str]) -> int:
    """How many words belong to a ``-D`` that these follow."""
    return 4 if words[1:2] == [_USER_PROPERTY] else 3


def names(command: str) -> list[str]:
    """The properties that may be given for a command."""
    kind = COMMANDS[command]
    return sorted(
        name for name, rule in _RULES.items() if kind in rule.packets and (command, name) not in _NOT_FROM_CLIENTS
    )


def _rule(command: str, name: str) -> Rule:
    if command in _UNSUPPORTED:
        raise ValueError(f"-D {command}: properties of {command.upper()} cannot be given; {_choice(COMMANDS)} can")
    if command not in COMMANDS:
        raise ValueError(f"-D {command}: there is no such command, expected {_choice(COMMANDS)}")
    rule = _RULES.get(name)
    if rule is None:
        raise ValueError(f"-D {command} {name}: there is no such property, expected {_choice(names(command))}")
    if name not in names(command):
        raise ValueError(f"-D {command} {name}: {command} has no such property, expected {_choice(names(command))}")
    return rule


def _choice(choices: Sequence[str] | dict[str, int]) -> str:
    *others, last = choices
    return f"{', '.join(others)} or {last}" if others else last


def _number(command: str, name: str, text: str, rule: Rule) -> int:
    highest = min(_LARGEST[rule.kind], rule.highest)
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not rule.lowest <= number <= highest:
        raise ValueError(f"-D {command} {name}: {text!r} is not a number from {rule.lowest} to {highest}")
    return number
