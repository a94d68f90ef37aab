# SPDX-License-Identifier: GPL-2.0-or-later
"""Words of iptables: the parts that rules are put together from.

A rule is text as it stands after ``-A CHAIN``. Only what iptables 1.8 and the kernels
of its time have is used: xt_addrtype, comment, connmark, conntrack, time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_address

from qubesforward.model.hosts import Address, Network
from qubesforward.model.ports import PortRange

COMMENT = "qubes-forward"
"""The comment by which our jumps in chains of others are known; with a colon and an
entry's ID, the one by which rules are known that count for it."""

PREFIX = "QBS-FWD-"
"""With what the names of all our chains begin."""

SOURCE_PREFIX = "QBS-S"
"""With what the names of chains for sources begin; IP version and number follow."""

REJECT = {
    4: "-j REJECT --reject-with icmp-admin-prohibited",
    6: "-j REJECT --reject-with icmp6-adm-prohibited",
}
"""Tell who sent a packet that it is not permitted, by IP version."""

VIFS = "vif+"
"""The links of qubes below, by their names: older qubes put them into no group."""

IS_NEW = "-m conntrack --ctstate NEW"
IS_LOCAL = "-m addrtype --dst-type LOCAL"

_ALL_BITS = 0xFFFFFFFF
_LAST_MOMENT = 2**31 - 1
"""xt_time knows no later one, and neither does iptables."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, and the ID of the entry for which its counter counts, if any."""

    text: str
    counts_for: str = ""


def has_mark(mark: int, mask: int = _ALL_BITS) -> str:
    """Match connections with this mark."""
    return f"-m connmark --mark 0x{mark:x}/0x{mask:x}"


def set_mark(mark: int) -> str:
    """Give the connection this mark, and go on with the next rule."""
    return f"-j CONNMARK --set-xmark 0x{mark:x}/0x{_ALL_BITS:x}"


def ports_at(end: str, proto: str, ports: PortRange) -> str:
    """Match a protocol and ports; `end` is ``sport`` or ``dport``."""
    words = f"{ports.first}" if len(ports) == 1 else f"{ports.first}:{ports.last}"
    return f"-p {proto} -m {proto} --{end} {words}"


def hosts_at(end: str, network: Network) -> str:
    """Match a network; `end` is ``s`` or ``d``. Empty where it is everybody."""
    return f"-{end} {network}" if network.prefixlen else ""


def before(until: int | None) -> str:
    """Match until the second `until` (since 1970) begins.

    The kernel compares with its clock (UTC) as each packet comes, so a rule closes
    with every program dead. What ends after January 2038 is ended by the agent alone.
    """
    # The date that is given is the last second that still matches.
    if until is None or until - 1 > _LAST_MOMENT:
        return ""
    last = datetime.fromtimestamp(max(0, until - 1), UTC)
    return f"-m time --datestop {last:%Y-%m-%dT%H:%M:%S}"


def to_socket(address: Address, ports: PortRange, outer: PortRange) -> str:
    """Say where DNAT leads: to one port for all, or by the offset in the range."""
    if ports == outer and len(ports) > 1:
        return f"-j DNAT --to-destination {address}"
    host = f"[{address}]" if address.version == 6 else f"{address}"
    if len(ports) == 1:
        return f"-j DNAT --to-destination {host}:{ports.first}"
    # The port after the slash is the one that the first of the range stands for
    # (Linux 4.18, iptables 1.8): without it any port of the range would be taken.
    span = f"{ports.first}-{ports.last}/{outer.first}"
    return f"-j DNAT --to-destination {host}:{span}"


def counting(entry_id: str) -> str:
    """Mark a rule as one that counts for an entry."""
    return f'-m comment --comment "{COMMENT}:{entry_id}"'


def is_our_chain(name: str) -> bool:
    """Whether a chain of this name is one of ours."""
    return name.startswith(PREFIX) or name[:6] in (
        f"{SOURCE_PREFIX}4",
        f"{SOURCE_PREFIX}6",
    )


def join(*parts: str) -> str:
    """Put the parts of a rule together, leaving out empty ones."""
    return " ".join(part for part in parts if part)


def each_proto(*parts: str) -> Iterable[str]:
    """Give a rule for TCP and one for UDP."""
    return (join(f"-p {proto}", *parts) for proto in ("tcp", "udp"))


def group_address(text: str) -> str:
    """Match what is sent to one address."""
    return f"-d {ip_address(text)}"
