"""Topic names and topic filters (section 4.7): what is valid, and what matches what.

Knows one name and one filter at a time. Matching a name against many filters is
the work of ``engine/subscriptions.py``.
"""

from typing import Final

MAX_TOPIC_BYTES: Final = 65_535  # [MQTT-4.7.3-3]


def check_name(topic: str) -> None:
    """Refuse what cannot be a topic name.

    Raises:
        ValueError: empty, too long, or with a wildcard or null character in it.
    """
    if "+" in topic or "#" in topic:  # [MQTT-3.3.2-2] [MQTT-4.7.0-1]
        raise ValueError(f"topic name {shown(topic)}: '+' and '#' are for filters only [MQTT-3.3.2-2]")
    _check_text(topic, "topic name")


def check_filter(topic_filter: str) -> None:
    """Refuse what cannot be a topic filter, shared or not.

    Raises:
        ValueError: empty, too long, a wildcard out of its place, or ``$share``
            without a group and a filter behind it.
    """
    _check_text(topic_filter, "topic filter")
    if is_shared(topic_filter):
        group, sep, rest = topic_filter[len("$share/") :].partition("/")
        if not group or not sep or not rest:  # [MQTT-4.8.2-1]
            raise ValueError(f"topic filter {shown(topic_filter)}: expected $share/GROUP/FILTER [MQTT-4.8.2-1]")
        if "+" in group or "#" in group:  # [MQTT-4.8.2-2]
            raise ValueError(f"topic filter {shown(topic_filter)}: no wildcard in a share name [MQTT-4.8.2-2]")
        _check_wildcards(rest, topic_filter)
    elif "+" in topic_filter or "#" in topic_filter:
        _check_wildcards(topic_filter, topic_filter)


def _check_text(topic: str, what: str) -> None:
    if not topic:  # [MQTT-4.7.3-1]
        raise ValueError(f"{what} is empty; it needs at least one character [MQTT-4.7.3-1]")
    if "\0" in topic:  # [MQTT-4.7.3-2]
        raise ValueError(f"{what} {shown(topic)}: a null character is not allowed [MQTT-4.7.3-2]")
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} {shown(topic)}: a surrogate is not a character [MQTT-1.5.4-1]") from None
    if size > MAX_TOPIC_BYTES:
        raise ValueError(f"{what} {shown(topic)}: {size:,} bytes, at most 65,535 are allowed [MQTT-4.7.3-3]")


def _check_wildcards(levels: str, topic_filter: str) -> None:
    parts = levels.split("/")
    last = len(parts) - 1
    for index, level in enumerate(parts):
        if "#" in level and (level != "#" or index != last):  # [MQTT-4.7.1-1]
            raise ValueError(f"topic filter {shown(topic_filter)}: '#' must be the last level [MQTT-4.7.1-1]")
        if "+" in level and level != "+":  # [MQTT-4.7.1-2]
            raise ValueError(f"topic filter {shown(topic_filter)}: '+' must stand alone in its level [MQTT-4.7.1-2]")


def shown(topic: str) -> str:
    """A topic as an error message quotes it: escaped, and short."""
    return repr(topic) if len(topic) <= 80 else repr(topic[:80]) + "..."


def is_shared(topic_filter: str) -> bool:
    """Whether a filter makes a Shared Subscription (section 4.8.2)."""
    return topic_filter.startswith("$share/") or topic_filter == "$share"


def split_shared(topic_filter: str) -> tuple[str, str]:
    """``$share/GROUP/FILTER`` as (group, filter); any other as ("", filter)."""
    if not is_shared(topic_filter):
        return "", topic_filter
    group, _, rest = topic_filter[len("$share/") :].partition("/")
    return group, rest


def has_wildcard(topic_filter: str) -> bool:
    """Whether a filter can match more than one name."""
    return "+" in topic_filter or "#" in topic_filter


def matches(topic_filter: str, topic: str) -> bool:
    """Whether one valid filter (not ``$share``) matches one valid name.

    ``a/#`` matches ``a`` too. A wildcard in front never matches a name that
    begins with ``$`` [MQTT-4.7.2-1]. Compared character by character, nothing
    is normalised [MQTT-4.7.3-4].
    """
    if topic[0] == "$" and topic_filter[0] in "+#":
        return False
    filter_levels = topic_filter.split("/")
    levels = topic.split("/")
    for index, wanted in enumerate(filter_levels):
        if wanted == "#":
            return True
        if index == len(levels):
            return False
        if wanted not in ("+", levels[index]):
            return False
    return len(filter_levels) == len(levels)
