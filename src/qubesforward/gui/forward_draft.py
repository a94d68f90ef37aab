# SPDX-License-Identifier: GPL-2.0-or-later
"""What the fields of the dialog for a forward stand for. No windows.

The time now is an argument, in seconds since 1970.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from qubesforward.cli.durations import parse_duration, parse_moment
from qubesforward.cli.spec import PortSpec, parse_spec
from qubesforward.cli.status import ForwardStatus, State
from qubesforward.errors import InvalidRule
from qubesforward.gui.words import say_error, say_told
from qubesforward.model.hosts import Network, parse_network
from qubesforward.model.rule import REBOOT, ForwardRule, ForwardType, Reach
from qubesforward.model.values import LONGEST_COMMENT, check_line

BOTH = "both"

FOR_GOOD = ""
"""The duration of what has no end; `REBOOT` is another, the rest are texts."""

_ELEMENT = re.compile(r"^[a-z][a-z0-9-]*(?:=|: )")

_FIXED = "@"
"""Before an end in seconds since 1970, which is kept as it is."""


class Case(StrEnum):
    """Why people forward ports."""

    LAN = "lan"
    QUBES = "qubes"
    VPN = "vpn"


class Field(StrEnum):
    """A field that a problem can stand beside."""

    CASE = "case"
    PORT = "port"
    INNER = "inner"
    SOURCE = "source"
    DURATION = "duration"
    COMMENT = "comment"


@dataclass(frozen=True, slots=True)
class Draft:
    """What is in the fields. `proto` is ``tcp``, ``udp`` or `BOTH`."""

    case: Case = Case.LAN
    port: str = ""
    inner: str = ""
    proto: str = "tcp"
    source: str = ""
    duration: str = FOR_GOOD
    internet: bool = False
    bypass: bool = False
    disposables: bool = False
    comment: str = ""


Problems = dict[Field, str]


def draft_of(forward: ForwardStatus) -> Draft:
    """Return the fields for a forward that there is."""
    rule = forward.rule
    case = Case.LAN
    if rule.forwardtype is ForwardType.INTERNAL:
        case = Case.VPN if forward.tunnels else Case.QUBES
    return Draft(
        case=case,
        port=rule.srcports.short,
        inner="" if rule.dstports is None else rule.dstports.short,
        proto=rule.proto or BOTH,
        source="" if rule.srchost is None else _show_network(rule.srchost),
        duration=_duration_of(rule),
        internet=rule.reach is Reach.INTERNET,
        bypass=rule.bypass,
        disposables=rule.disposables,
        comment=rule.comment,
    )


def _duration_of(rule: ForwardRule) -> str:
    if isinstance(rule.expire, int):
        return f"{_FIXED}{rule.expire}"
    return rule.expire or FOR_GOOD


def _show_network(network: Network) -> str:
    is_one = network.num_addresses == 1
    return str(network.network_address) if is_one else str(network)


def fixed_end(duration: str) -> int | None:
    """Return the moment that a duration of `draft_of` stands for, if it is one."""
    return int(duration[1:]) if duration.startswith(_FIXED) else None


def read_end(duration: str, now: int) -> int | str | None:
    """Return the `expire` of a duration; raise `InvalidRule` if it is none.

    Takes ``2h``, ``18:30``, ``2026-12-24 18:30`` and what `draft_of` gives.
    """
    text = duration.strip()
    if text in (FOR_GOOD, REBOOT):
        return text or None
    if (end := fixed_end(text)) is not None:
        return end
    if any(sign in text for sign in ":-"):
        return parse_moment(text, now)
    return now + parse_duration(text)


def show_problem(error: InvalidRule) -> str:
    """Return the text of an error without the name of the element that it is about.

    It stands beside the field.
    """
    return _ELEMENT.sub("", say_error(error))


class _Fields:
    """Reads fields, and collects the problem of each that cannot be read."""

    def __init__(self) -> None:
        self.problems: Problems = {}

    def note(self, field: Field, error: InvalidRule) -> None:
        self.problems.setdefault(field, show_problem(error))

    def ports(self, field: Field, text: str, proto: str) -> PortSpec | None:
        try:
            if ":" in text or "/" in text:
                raise InvalidRule(f"{text[:40]!a}: give a service, a port or a range")
            # Lower case: a phone's keyboard, or a user, begins with a capital.
            return parse_spec(f"{text.strip().lower()}/{proto}")
        except InvalidRule as error:
            self.note(field, error)
            return None

    def source(self, text: str) -> Network | None:
        try:
            return parse_network(text.strip(), "address") if text.strip() else None
        except InvalidRule as error:
            self.note(Field.SOURCE, error)
            return None

    def end(self, text: str, now: int) -> int | str | None:
        try:
            return read_end(text, now)
        except InvalidRule as error:
            self.note(Field.DURATION, error)
            return None

    def comment(self, text: str) -> str:
        try:
            return check_line(text.strip(), "comment", LONGEST_COMMENT)
        except InvalidRule as error:
            self.note(Field.COMMENT, error)
            return ""


def read_draft(draft: Draft, now: int) -> tuple[ForwardRule | None, Problems]:
    """Return the rule that the fields stand for, or the problem of each field.

    Without a port there is neither: nothing has been said yet.
    """
    fields = _Fields()
    if not draft.port.strip():
        return None, {}
    outer = fields.ports(Field.PORT, draft.port, draft.proto)
    inner = None
    if draft.inner.strip():
        inner = fields.ports(Field.INNER, draft.inner, draft.proto)
    source = fields.source(draft.source)
    end = fields.end(draft.duration, now)
    comment = fields.comment(draft.comment)
    if outer is None or fields.problems:
        return None, fields.problems
    is_external = draft.case is Case.LAN
    try:
        rule = ForwardRule(
            ForwardType.EXTERNAL if is_external else ForwardType.INTERNAL,
            srcports=outer.outer,
            dstports=inner.outer if inner else None,
            proto=outer.proto,
            srchost=source,
            expire=end,
            reach=_reach_of(draft),
            bypass=draft.bypass and is_external,
            disposables=draft.disposables,
            comment=comment,
        )
    except InvalidRule as error:
        fields.note(Field.INNER, error)
        return None, fields.problems
    return rule, {}


def _reach_of(draft: Draft) -> Reach:
    is_out = draft.internet and draft.case is Case.LAN
    return Reach.INTERNET if is_out else Reach.LAN


def place_problem(forward: ForwardStatus) -> Problems:
    """Say beside which field the daemon's objection to a forward belongs."""
    field = {
        State.CONFLICT: Field.PORT,
        State.EXPIRED: Field.DURATION,
        State.REFUSED: Field.CASE,
        State.UNREACHABLE: Field.CASE,
        State.UNCONFIRMED: Field.CASE,
    }.get(forward.state)
    return {field: say_told(forward.reason)} if field else {}
