# SPDX-License-Identifier: GPL-2.0-or-later
"""What is declared for a qube, and how its forwards differ from that.

A declared forward is a mapping with the words of ``qvm-forward``'s options: `port`,
and perhaps `to`, `proto`, `from`, `internal`, `until`, `comment`, `reach`,
`bypass_tunnel` and `disposables`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from qubesforward.cli.closing import Closing
from qubesforward.cli.spec import PortSpec
from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Network, parse_network
from qubesforward.model.ports import PortRange, parse_ports
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Proto, Reach
from qubesforward.model.text import format_rule
from qubesforward.model.values import parse_choice, parse_moment

Untrusted = Mapping[str, object]


class Wanted(StrEnum):
    """What is to be true of the declared forwards."""

    PRESENT = "present"
    ABSENT = "absent"
    EXACT = "exact"
    """They are there, and the qube has no others of its own."""


class _Proto(StrEnum):
    TCP = "tcp"
    UDP = "udp"
    BOTH = "both"


_MOST_FORWARDS = 1000
_DATE = "%Y-%m-%d %H:%M"
_ALWAYS = ("port", "to", "proto", "from", "internal")
_NOT_OF_ABSENT = ("until", "comment", "reach", "bypass_tunnel", "disposables")


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be done for a qube: `removed` go as `added` come.

    `before` and `after` are all of the qube's own forwards, one a line.
    """

    added: tuple[ForwardRule, ...]
    removed: tuple[ForwardRule, ...]
    before: str
    after: str

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.added or self.removed)


def parse_rules(untrusted: Sequence[Untrusted], now: float) -> list[ForwardRule]:
    """Return the rules that are declared, one for each source, without ended ones.

    `now` is in seconds since 1970. Raises `InvalidRule`, which says of which one.
    """
    rules: dict[ForwardRule, ForwardRule] = {}
    for number, untrusted_one in _number(untrusted):
        try:
            found = _parse_forward(untrusted_one)
        except InvalidRule as error:
            raise InvalidRule(f"forward {number}: {error}") from None
        for rule in found:
            if rules.setdefault(rule.place, rule) != rule:
                raise InvalidRule(
                    f"forward {number}: is declared twice, with different ends or"
                    " comments; leave one out"
                )
    return [rule for rule in rules.values() if not rule.has_ended(now, rule.boot_id)]


def parse_closings(untrusted: Sequence[Untrusted]) -> list[Closing]:
    """Return what is to be absent: of each forward what is said, and all that fits.

    Raises `InvalidRule`, which says of which one.
    """
    closings = []
    for number, untrusted_one in _number(untrusted):
        try:
            closings.append(_parse_closing(untrusted_one))
        except InvalidRule as error:
            raise InvalidRule(f"forward {number}: {error}") from None
    return closings


def _number(untrusted: object) -> list[tuple[int, Untrusted]]:
    if not isinstance(untrusted, list | tuple) or not all(
        isinstance(one, Mapping) for one in untrusted
    ):
        raise InvalidRule("forwards: give a list, each with a port and what goes on")
    if len(untrusted) > _MOST_FORWARDS:
        raise InvalidRule(f"forwards: at most {_MOST_FORWARDS} of one qube")
    return list(enumerate(untrusted, 1))


def plan_present(
    own: Sequence[ForwardRule],
    waiting: Collection[ForwardRule],
    wanted: Sequence[ForwardRule],
    *,
    only: bool = False,
) -> Change:
    """Compare a qube's own forwards with those that it shall have.

    `waiting`: the places (`ForwardRule.place`) of those that are not confirmed.
    `only`: it shall have no others.
    """
    there = {rule for rule in own if rule.place not in waiting}
    added = [rule for rule in wanted if rule not in there]
    places = {rule.place for rule in wanted}
    removed = [rule for rule in own if only and rule.place not in places]
    return _describe(own, waiting, added, removed)


def plan_absent(
    own: Sequence[ForwardRule],
    waiting: Collection[ForwardRule],
    closings: Sequence[Closing],
) -> Change:
    """Find what has to go; raise `InvalidRule` where that would be half a forward."""
    removed: dict[ForwardRule, None] = {}
    for closing in closings:
        (spec,) = closing.specs
        found = [rule for rule in own if closing.matches(rule, spec)]
        removed.update(dict.fromkeys(found))
        for rule in own:
            is_part = rule.srcports != spec.outer and rule.srcports.overlaps(spec.outer)
            shares = spec.any_proto or None in (spec.proto, rule.proto)
            if is_part and (shares or spec.proto == rule.proto):
                raise InvalidRule(
                    f"port {spec.outer.short}: there is {rule.srcports.short}, to be"
                    " closed as a whole; declare that to be absent"
                )
    return _describe(own, waiting, [], list(removed))


def _describe(
    own: Sequence[ForwardRule],
    waiting: Collection[ForwardRule],
    added: Sequence[ForwardRule],
    removed: Sequence[ForwardRule],
) -> Change:
    def write(rule: ForwardRule) -> str:
        mark = "not confirmed: " if rule.place in waiting else ""
        return f"{mark}{format_rule(rule)}"

    before = {rule.place: write(rule) for rule in own}
    after = before | {rule.place: format_rule(rule) for rule in added}
    for rule in removed:
        del after[rule.place]
    texts = ["".join(f"{line}\n" for line in each.values()) for each in (before, after)]
    return Change(tuple(added), tuple(removed), *texts)


class _Fields:
    """Reads one declared forward; raises `InvalidRule`."""

    def __init__(self, untrusted: Untrusted, names: Sequence[str]) -> None:
        # Engines give what was left out as None.
        self._untrusted = {n: v for n, v in untrusted.items() if v is not None}
        for name in self._untrusted:
            if name not in names:
                raise InvalidRule(
                    f"{str(name)[:40]!a}: is not known here; there are"
                    f" {', '.join(names)}"
                )

    def text(self, name: str) -> str | None:
        value = self._untrusted.get(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise InvalidRule(f"{name}: give a text or a number, in quotes if in doubt")

    def flag(self, name: str) -> bool:
        value = self._untrusted.get(name, False)
        if not isinstance(value, bool):
            raise InvalidRule(f"{name}={str(value)[:40]!a}: give true or false")
        return value

    def ports(self, name: str) -> PortRange | None:
        text = self.text(name)
        return None if text is None else parse_ports(text, name)

    def outer(self) -> PortRange:
        ports = self.ports("port")
        if ports is None:
            raise InvalidRule("port: missing; give the port that is dialled")
        return ports

    def proto(self) -> _Proto | None:
        text = self.text("proto")
        return None if text is None else parse_choice(_Proto, text, "proto")

    def sources(self) -> list[Network]:
        value = self._untrusted.get("from", [])
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list | tuple) or not all(
            isinstance(text, str) for text in texts
        ):
            raise InvalidRule("from: give an address or network, or a list of them")
        return [parse_network(text, "from") for text in dict.fromkeys(texts)]

    def until(self) -> int | str | None:
        text = self.text("until")
        if text is None or text == REBOOT:
            return text
        if text.isdecimal():
            return parse_moment(text, "until")
        try:
            # A clock time of this computer, as with the tools.
            return int(datetime.strptime(text, _DATE).timestamp())
        except (ValueError, OverflowError):
            raise InvalidRule(
                f"until={text[:40]!a}: give a day and time as in '2026-12-24 18:30',"
                " seconds since 1970, or reboot"
            ) from None


def _rule_proto(proto: _Proto | None) -> Proto | None:
    return None if proto is _Proto.BOTH else Proto(proto or _Proto.TCP)


def _parse_forward(untrusted: Untrusted) -> list[ForwardRule]:
    fields = _Fields(untrusted, (*_ALWAYS, *_NOT_OF_ABSENT))
    sources: list[Network | None] = [*fields.sources()]
    internal = fields.flag("internal")
    reach = parse_choice(Reach, fields.text("reach") or Reach.LAN, "reach")
    if internal and reach is not Reach.LAN:
        raise InvalidRule(f"reach={reach}: what is internal never reaches the outside")
    return [
        ForwardRule(
            ForwardType.INTERNAL if internal else ForwardType.EXTERNAL,
            srcports=fields.outer(),
            dstports=fields.ports("to"),
            proto=_rule_proto(fields.proto()),
            srchost=source,
            expire=fields.until(),
            reach=reach,
            bypass=fields.flag("bypass_tunnel"),
            disposables=fields.flag("disposables"),
            comment=fields.text("comment") or "",
        )
        for source in sources or [None]
    ]


def _parse_closing(untrusted: Untrusted) -> Closing:
    fields = _Fields(untrusted, _ALWAYS)
    proto = fields.proto()
    spec = PortSpec(
        fields.outer(), fields.ports("to"), _rule_proto(proto), any_proto=proto is None
    )
    return Closing([spec], fields.flag("internal"), fields.sources())
