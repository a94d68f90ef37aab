# SPDX-License-Identifier: GPL-2.0-or-later
"""The two kinds of rules of a qube, as data (design, section 4)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Network
from qubesforward.model.ports import PortRange
from qubesforward.model.values import LONGEST_COMMENT, check_line


class Action(StrEnum):
    """What a rule does with what it matches."""

    ACCEPT = "accept"
    DROP = "drop"
    FORWARD = "forward"


class Proto(StrEnum):
    """Protocols that rules can name; a forward takes TCP or UDP only."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


class ForwardType(StrEnum):
    """Where a forward is entered: the chain's far end, or the qube's own netvm."""

    EXTERNAL = "external"
    INTERNAL = "internal"


class Reach(StrEnum):
    """How far out a forward is asked for: the outermost qube, or its router too."""

    LAN = "lan"
    INTERNET = "internet"


class Origin(StrEnum):
    """Who a forward comes from: the user, or a program that asked its router."""

    USER = "user"
    PORTMAP = "portmap"


REBOOT = "reboot"
"""The value of `ForwardRule.expire` for "until this boot of the computer ends"."""

FORWARD_PROTOS = (Proto.TCP, Proto.UDP)

SPECIAL_TARGETS = ("dns",)
LAST_ICMP_TYPE = 255

LAST_OUTBOUND_PORT = 65536
"""Qubes stores this one too much, so that it has to be kept."""

_LONGEST_BOOT_ID = 64


@dataclass(frozen=True, slots=True)
class DstHost:
    """The destination of an outbound rule: an address, a CIDR or a name.

    `kind` is the element's name in texts: ``dst4``, ``dst6`` or ``dsthost`` (a
    name). `text` is normal: with its prefix length for addresses, lower case for
    names. Host bits are kept, as Qubes keeps them.
    """

    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class OutboundRule:
    """One ``accept`` or ``drop`` rule, as stock Qubes has them.

    `dstports` is a pair of numbers and not a `PortRange`, because stock Qubes
    takes 0 and 65536 too, and what it takes must be kept. `expire` is absolute
    seconds since 1970; an empty `comment` is none. Raises `InvalidRule` for values
    that do not go together.
    """

    action: Action
    dsthost: DstHost | None = None
    proto: Proto | None = None
    specialtarget: str | None = None
    dstports: tuple[int, int] | None = None
    icmptype: int | None = None
    expire: int | None = None
    comment: str = ""

    def __post_init__(self) -> None:
        if self.action is Action.FORWARD:
            raise InvalidRule("action=forward: an outbound rule accepts or drops")
        if self.specialtarget is not None and self.specialtarget not in SPECIAL_TARGETS:
            raise InvalidRule(
                f"specialtarget={self.specialtarget[:40]!a}: not one of"
                f" {', '.join(SPECIAL_TARGETS)}"
            )
        if self.dstports is not None:
            self._check_dstports(*self.dstports)
        if self.icmptype is not None and self.proto is not Proto.ICMP:
            raise InvalidRule(f"icmptype={self.icmptype}: needs proto=icmp")
        check_line(self.comment, "comment", LONGEST_COMMENT)

    def _check_dstports(self, first: int, last: int) -> None:
        if self.proto not in FORWARD_PROTOS:
            raise InvalidRule(f"dstports={first}-{last}: needs proto=tcp or proto=udp")
        if first > last:
            raise InvalidRule(
                f"dstports={first}-{last}: the first port is above the last"
            )

    def has_ended(self, now: float) -> bool:
        """Whether its time is over; `now` is seconds since 1970."""
        return self.expire is not None and self.expire <= now


@dataclass(frozen=True, slots=True)
class ForwardRule:
    """One forward: from the outer ports, through the chain, to the inner ports.

    `proto` None is both TCP and UDP; `dstports` None is the outer ports; `srchost`
    None is anyone of both families; `expire` is absolute seconds, `REBOOT` or None.

    What the user did not write, and what therefore takes no part in comparing two
    rules: `created`, microseconds since 1970 at which the daemon took the rule in
    (0: not yet), which decides who is older; `boot_id`, the boot that a ``reboot``
    rule belongs to; `origin`; `is_mapped`: what the service itself sends from its
    inner port leaves with the outer port (of several rules for one pair of ports only
    one may be so); and `is_waiting`: it was imported, and opens nothing until it is
    confirmed.
    """

    forwardtype: ForwardType
    srcports: PortRange
    dstports: PortRange | None = None
    proto: Proto | None = None
    srchost: Network | None = None
    expire: int | str | None = None
    reach: Reach = Reach.LAN
    bypass: bool = False
    disposables: bool = False
    comment: str = ""
    created: int = field(default=0, compare=False)
    boot_id: str = field(default="", compare=False)
    origin: Origin = field(default=Origin.USER, compare=False)
    is_mapped: bool = field(default=False, compare=False)
    is_waiting: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        check_line(self.comment, "comment", LONGEST_COMMENT)
        check_line(self.boot_id, "boot-id", _LONGEST_BOOT_ID)
        if self.proto is not None and self.proto not in FORWARD_PROTOS:
            raise InvalidRule(
                f"proto={self.proto}: a forward takes tcp or udp, or neither for both"
            )
        inner = self.inner_ports
        if len(inner) not in (1, len(self.srcports)):
            raise InvalidRule(
                f"dstports={inner}: {len(inner)} inner ports do not fit"
                f" {len(self.srcports)} outer ports; give as many, or one"
            )
        if self.dstports == self.srcports:
            # One form for one meaning: rules are compared, and found again, by it.
            object.__setattr__(self, "dstports", None)

    @property
    def inner_ports(self) -> PortRange:
        """The ports where the service listens."""
        return self.srcports if self.dstports is None else self.dstports

    @property
    def protos(self) -> tuple[Proto, ...]:
        """The protocols that this forward covers: one, or both."""
        return FORWARD_PROTOS if self.proto is None else (self.proto,)

    @property
    def place(self) -> ForwardRule:
        """The rule without what may change under an open forward: end and comment.

        A qube has one forward at each place.
        """
        if self.expire is None and not self.comment:
            return self
        return replace(self, expire=None, comment="")

    def has_ended(self, now: float, boot_id: str) -> bool:
        """Whether its moment is over, or the boot that it was made in.

        `now` is seconds since 1970; `boot_id` names this boot of the computer.
        """
        if self.expire == REBOOT:
            return self.boot_id != boot_id
        return isinstance(self.expire, int) and self.expire <= now


Rule = OutboundRule | ForwardRule


@dataclass(frozen=True, slots=True)
class UnreadableRule:
    """A stored rule that this version cannot read: kept as it is, never applied."""

    xml: str
    reason: str


@dataclass(frozen=True, slots=True)
class RuleList:
    """Everything that one ``firewall.xml`` holds.

    `owner` is the uuid of the qube that the list was made for, empty where the
    file names none (stock files do not): forwards in a list whose owner is another
    qube are inactive until confirmed.
    """

    outbound: tuple[OutboundRule, ...] = (OutboundRule(Action.ACCEPT),)
    forwards: tuple[ForwardRule, ...] = ()
    unreadable: tuple[UnreadableRule, ...] = ()
    owner: str = ""
