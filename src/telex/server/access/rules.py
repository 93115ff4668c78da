"""Telex's own rules: who may publish, subscribe to and receive what. The first rule that fits decides.

A rule is about clients (users, groups, client ids, addresses: all that it names
must fit) and about topics (filters, with ``{user}`` and ``{client}`` in them).
Three questions are asked of the rules, from the first to the last:

- *May it publish to this topic?* A rule about ``publish`` fits if one of its
  filters matches the topic.
- *May it subscribe to this filter?* A rule about ``subscribe``, to allow or to
  deny, fits if the filter asked for lies wholly within one of its own:
  ``home/#`` is about ``home/+/temp``, and not about ``#``.
- *Does it receive this topic?* asked with each message. A rule about
  ``subscribe`` or ``receive`` fits if one of its filters matches the topic.

So a rule about ``subscribe`` is about receiving too, and a subscription that is
wider than a rule which denies is granted, but without what that rule denies:

    deny subscribe secret/#     a client may subscribe to # and gets all but
    allow subscribe #           secret/..., and may not subscribe to secret/a

    allow subscribe home/#      a client may subscribe to home/+/temp, and not to #:
                                no rule allows that

    deny receive secret/#       a client may subscribe to secret/a, as to everything,
    allow subscribe #           and gets none of it

If no rule fits, the answer is no. ``max_qos`` and ``retain`` are part of an
answer yes. A rule that ``receive`` alone is about allows no subscription.

``{user}`` and ``{client}`` stand for the user name and the client id, as a whole
level or a part of one. A value that is empty, or has ``+``, ``#`` or ``/`` in it,
fits no filter that uses it; nor does a value that begins with ``$`` where it
would be the beginning of the topic. ``*`` in names stands for any characters; but
only ``""`` is about clients without a user name.

Filters know nothing of ``$share``: a shared subscription is asked for by its filter.
A filter that begins with a wildcard is not about topics that begin with ``$``
[MQTT-4.7.2-1]; a rule without filters is about them too.
"""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from telex import topics
from telex.engine.permissions import Grant, Permissions
from telex.server.config import Access, ConfigError, Rule

_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_]*)\}")
_NO_RULE: Final = Grant(-1, may_retain=False, rule="no rule allows it")
_MOST_SHOWN: Final = 3  # filters, when a rule is told to people

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Choice = tuple[tuple[str, ...] | None, Grant]
"""What one rule says to one client: the filters that it is about (None: all topics), and its answer."""


class Rules:
    """An ordered list of rules, read and checked.

    Args:
        rules: from the first to the last.
        groups: name -> users.
        groups_may_come: whether others may name groups of a client, as a token does; if not,
            a rule about a group that is not in ``groups`` is refused.
        title: what a rule of these is called before its number, for people.

    Raises:
        ConfigError: a rule that cannot be, with its number and field.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        groups: Mapping[str, Sequence[str]],
        *,
        groups_may_come: bool = False,
        title: str = "rule",
    ) -> None:
        self._groups = groups
        # A group may have many thousands of users; those with `*` in them are few.
        self._groups_of: dict[str, set[str]] = {}
        self._groups_like: list[tuple[str, str]] = []
        for group, users in groups.items():
            for user in users:
                if "*" in user:
                    self._groups_like.append((user, group))
                else:
                    self._groups_of.setdefault(user, set()).add(group)
        known_groups = None if groups_may_come else groups
        self._rules = [_Compiled(rule, f"{title} {number}", known_groups) for number, rule in enumerate(rules, 1)]

    @property
    def name_clients(self) -> bool:
        """Whether any rule asks for the client id."""
        return any(rule.rule.clients or "{client}" in "/".join(rule.rule.topics) for rule in self._rules)

    @property
    def name_addresses(self) -> bool:
        """Whether any rule asks for the address."""
        return any(rule.rule.addresses for rule in self._rules)

    @classmethod
    def of(cls, access: Access) -> "Rules":
        """The rules of a description of a broker.

        Raises:
            ConfigError: a rule that cannot be, with its number and field.
        """
        return cls(access.rules, access.groups, groups_may_come=bool(access.jwt or access.http or access.plugins))

    def permissions(self, user: str, client_id: str, host: str, groups: Sequence[str] = ()) -> Permissions:
        """What these rules allow a client.

        Args:
            user: empty: nobody in particular.
            client_id: as it is known to the broker.
            host: its IP address; empty: it came by a Unix socket.
            groups: that it is in beside those which the description puts it into.
        """
        all_groups = {*groups, *self._groups_of.get(user, ())}
        all_groups.update(group for pattern, group in self._groups_like if is_like(user, pattern))
        address = _parsed(host)
        mine = [rule for rule in self._rules if rule.concerns(user, client_id, host, address, all_groups)]
        return _ClientRules(mine, {"user": user, "client": client_id})

    def lint(self) -> list[str]:
        """What a reader of these rules should know: those that can never decide anything."""
        remarks = []
        for index, rule in enumerate(self._rules):
            covering = rule.covered_by(self._rules[:index])
            if covering:
                names = " and ".join(str(other) for other in covering)
                remarks.append(f"{rule}: never decides, since {names} decides before it")
        remarks += [
            f"group {name!r}: no rule is about it"
            for name in self._groups
            if not any(_is_among(name, rule.rule.groups) for rule in self._rules)
        ]
        return remarks


class _Compiled:
    """One rule, checked, with what is the same for all clients worked out."""

    def __init__(self, rule: Rule, title: str, groups: Mapping[str, Sequence[str]] | None) -> None:
        self.rule = rule
        self.title = title
        self.actions = frozenset(rule.allow or rule.deny)
        for place, said in problems(rule, groups):
            raise ConfigError(f"{title}: {place[0]}: {said}")
        networks = [_network(address) for address in rule.addresses]
        self.networks = [network for network in networks if network is not None]
        may_retain = rule.retain and bool(rule.allow)
        self.grant = Grant(rule.max_qos if rule.allow else -1, may_retain=may_retain, rule=str(self))

    def __str__(self) -> str:
        """The rule for people: its number, and what it is about."""
        verb, actions = ("allow", self.rule.allow) if self.rule.allow else ("deny", self.rule.deny)
        filters = self.rule.topics
        shown = ", ".join(filters[:_MOST_SHOWN]) if filters else "everything"
        if len(filters) > _MOST_SHOWN:
            shown += f" and {len(filters) - _MOST_SHOWN} more"
        return f"{self.title} ({verb} {' and '.join(dict.fromkeys(actions))} to {shown})"

    def concerns(
        self,
        user: str,
        client_id: str,
        host: str,
        address: ipaddress.IPv4Address | ipaddress.IPv6Address | None,
        groups: set[str],
    ) -> bool:
        """Whether the rule is about a client."""
        rule = self.rule
        if rule.users and not _is_among(user, rule.users):
            return False
        if rule.clients and not _is_among(client_id, rule.clients):
            return False
        if rule.groups and not any(_is_among(group, rule.groups) for group in groups):
            return False
        if not rule.addresses:
            return True
        if not host:
            return "unix" in rule.addresses
        return address is not None and any(address in network for network in self.networks)

    def choice(self, values: Mapping[str, str]) -> Choice:
        """What the rule says to a client with these values for ``{user}`` and ``{client}``."""
        if not self.rule.topics:
            return None, self.grant
        filters = (_filled(template, values) for template in self.rule.topics)
        return tuple(found for found in filters if found is not None), self.grant

    def covered_by(self, earlier: "Sequence[_Compiled]") -> "list[_Compiled]":
        """The earlier rules that leave this one nothing to decide; empty if there is something left."""
        broader = [other for other in earlier if _concerns_all_of(other, self)]
        found: dict[_Compiled, None] = {}
        # Rules about subscribing answer for receiving too.
        answered = self.actions | ({"receive"} if "subscribe" in self.actions else set())
        for action in sorted(answered):
            asked = {"subscribe", "receive"} if action == "receive" else {action}
            there = [other for other in broader if other.actions & asked]
            for template in self.rule.topics or [""]:
                covering = next((other for other in there if _covers_template(other, template)), None)
                if covering is None:
                    return []
                found[covering] = None
        return list(found)


class _ClientRules(Permissions):
    """The rules that concern one client, with its own names filled in."""

    def __init__(self, rules: Sequence[_Compiled], values: Mapping[str, str]) -> None:
        super().__init__()
        self._for_publish = _choices(rules, {"publish"}, values)
        self._for_subscribe = _choices(rules, {"subscribe"}, values)
        self._for_receive = _choices(rules, {"subscribe", "receive"}, values)
        self.limits_receiving = not _is_everything(self._for_receive)

    def grant_publish(self, topic: str) -> Grant:
        """The answer of the first rule about publishing to this topic."""
        return _first(self._for_publish, topic, topics.matches)

    def grant_subscribe(self, topic_filter: str) -> Grant:
        """The answer of the first rule about subscribing that this filter lies within."""
        return _first(self._for_subscribe, topic_filter, covers)

    def grant_receive(self, topic: str) -> Grant:
        """The answer of the first rule about subscribing to, or receiving, this topic."""
        return _first(self._for_receive, topic, topics.matches)


def _choices(rules: Sequence[_Compiled], actions: set[str], values: Mapping[str, str]) -> list[Choice]:
    """What rules about any of these actions say to one client, without those that can say nothing."""
    found = []
    for rule in rules:
        if rule.actions & actions:
            choice = rule.choice(values)
            if choice[0] != ():
                found.append(choice)
            if choice[0] is None:  # it is about everything: nobody asks those behind it
                break
    return found


def _first(choices: Sequence[Choice], topic: str, fits: Callable[[str, str], bool]) -> Grant:
    for filters, grant in choices:
        if filters is None or any(fits(topic_filter, topic) for topic_filter in filters):
            return grant
    return _NO_RULE


def _is_everything(choices: Sequence[Choice]) -> bool:
    """Whether these choices say yes to everything, without any limit.

    Subscriptions are not looked at: one may be older than the rules.
    """
    for filters, grant in choices:
        if grant.max_qos < 2 or not grant.may_retain:
            return False
        if filters is None:
            return True
    return False


# What a rule may be


def problems(rule: Rule, groups: Mapping[str, Sequence[str]] | None) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """What is wrong with a rule: the field, with the place in its list, and why.

    Args:
        rule: what somebody wrote.
        groups: those that there are; None: others may name groups as well.
    """
    if rule.allow and rule.deny:
        yield ("deny",), "the rule allows something, too: expected allow or deny; make two rules of it"
    if not rule.allow and not rule.deny:
        yield ("allow",), "expected publish, subscribe or receive in a list, here or in deny"
    if rule.deny and (rule.max_qos != 2 or not rule.retain):
        field = "retain" if not rule.retain else "max_qos"
        yield (field,), "a rule that denies leaves nothing to limit; take it out, or use allow"
    for index, template in enumerate(rule.topics):
        said = _template_problem(template)
        if said:
            yield ("topics", index), said
    for index, address in enumerate(rule.addresses):
        try:
            _network(address)
        except ValueError as error:
            yield ("addresses", index), str(error)
    for index, name in enumerate(rule.groups):
        if groups is not None and not any(is_like(group, name) for group in groups):
            known = f"there are {', '.join(map(repr, groups))}" if groups else "access.groups is empty"
            yield ("groups", index), f"there is no group {name!r}; {known}"


def _template_problem(template: str) -> str:
    """Why something is no filter once names are filled in; empty: it is one."""
    for name in _PLACEHOLDER.findall(template):
        if name not in ("user", "client"):
            return f"{template!r}: expected {{user}} or {{client}}, not {{{name}}}"
    if topics.is_shared(template):
        return f"{template!r}: expected the filter alone, without $share and group"
    try:
        topics.check_filter(_PLACEHOLDER.sub("x", template))
    except ValueError as error:
        return str(error)
    return ""


def _network(address: str) -> Network | None:
    """What a rule says of addresses; None: those who come by a Unix socket.

    Raises:
        ValueError: it is none of that.
    """
    if address == "unix":
        return None
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError:
        raise ValueError(f"{address!r}: expected an address, a network such as 192.0.2.0/24, or unix") from None
    if "/" in address and network.network_address != ipaddress.ip_interface(address).ip:
        raise ValueError(f"{address!r} is one address in a network; did you mean {network}?")
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped  # as ``_parsed`` has them
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


# Whom a rule is about


def _is_among(name: str, patterns: Sequence[str]) -> bool:
    return any(is_like(name, pattern) for pattern in patterns)


def is_like(name: str, pattern: str) -> bool:
    """Whether a name fits a pattern, in which ``*`` stands for any characters.

    Without regular expressions: those may take very long over a name that was made for it.
    """
    if "*" not in pattern or not name:
        return name == pattern
    start, *middle, end = pattern.split("*")
    if len(name) < len(start) + len(end) or not name.startswith(start) or not name.endswith(end):
        return False
    position = len(start)
    for part in middle:
        found = name.find(part, position, len(name) - len(end))
        if found < 0:
            return False
        position = found + len(part)
    return True


def _parsed(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An address to be looked for in networks; None: it is none."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # as a socket for both families shows IPv4
    return address


def _concerns_all_of(one: _Compiled, other: _Compiled) -> bool:
    """Whether one rule is about every client that the other is about, as far as it can be told without the clients."""
    for mine, others in (
        (one.rule.users, other.rule.users),
        (one.rule.groups, other.rule.groups),
        (one.rule.clients, other.rule.clients),
    ):
        # A `*` in the other's name counts as one of the characters that a `*` stands for.
        if mine and not (others and all(_is_among(name, mine) for name in others)):
            return False
    if not one.rule.addresses:
        return True
    if "unix" in other.rule.addresses and "unix" not in one.rule.addresses:
        return False
    return bool(other.rule.addresses) and all(
        any(_is_within(network, mine) for mine in one.networks) for network in other.networks
    )


def _is_within(network: Network, other: Network) -> bool:
    if isinstance(network, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and network.subnet_of(other)
    return isinstance(other, ipaddress.IPv6Network) and network.subnet_of(other)


# What a rule is about


def _filled(template: str, values: Mapping[str, str]) -> str | None:
    """A filter with a client's names in it; None: one of them cannot be there."""
    for name in _PLACEHOLDER.findall(template):
        value = values[name]
        if not value or "+" in value or "#" in value or "/" in value:
            return None
    filled = _PLACEHOLDER.sub(lambda found: values[found[1]], template)
    if filled[0] == "$" and template[0] != "$":
        return None  # no name of a client opens $SYS
    return filled


def _covers_template(rule: _Compiled, template: str) -> bool:
    """Whether a rule is about all that a template is about, or about everything (""), whatever the names are."""
    if not rule.rule.topics:
        return True
    return template != "" and any(covers(mine, template) for mine in rule.rule.topics)


def covers(wider: str, topic_filter: str) -> bool:
    """Whether one valid filter matches every topic that another matches. Neither is ``$share``."""
    if topic_filter[0] == "$" and wider[0] in "+#":  # [MQTT-4.7.2-1]
        return False
    if topic_filter in ("#", "/#"):  # the topic above it would be an empty one, and there is none
        topic_filter = topic_filter[:-1] + "+/#"
    wide = wider.split("/")
    levels = topic_filter.split("/")
    for index, level in enumerate(wide):
        if level == "#":
            return True
        if index == len(levels) or levels[index] == "#":
            return False
        if level not in ("+", levels[index]):
            return False
    return len(wide) == len(levels)
