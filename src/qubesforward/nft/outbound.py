# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as nft commands, in the tables that Qubes' own agent has.

Tables ``ip qubes-firewall`` and ``ip6 qubes-firewall``: a source whose rules are not
known falls through to the policy of the forward chain, drop; a known one has a chain
of its own. The sources stand in a verdict map, so that finding one does not take
longer with many, and adding or removing one needs no rule handles.

Forwards meet these rules after their destination is translated, so what counts is
the target's address and inner port; what comes in by the uplink is not asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from qubesforward.model.hosts import Address
from qubesforward.nft.outbound_match import Match

FAMILIES = (4, 6)
TABLE = "qubes-firewall"

DROP_ALL = (Match(accept=False),)
"""The matches of a source that may send nothing."""

_WORDS = {4: "ip", 6: "ip6"}
_ICMP_WORDS = {4: "icmp", 6: "icmpv6"}


def render_base() -> str:
    """Replace both tables by fresh ones that know no source and so drop everything."""
    return "".join(_render_table(family) for family in FAMILIES)


def render_source(source: Address, matches: Iterable[Match]) -> str:
    """Give a source these matches in place of those it had, if any.

    Needs the tables of `render_base`. The last match should take everything.
    """
    table = _table(source.version)
    chain = _chain(source)
    lines = [
        f"add chain {table} {chain}",
        f"flush chain {table} {chain}",
        f"table {table} {{",
        f"chain {chain} {{",
        *(_render_rule(match, source.version) for match in matches),
        "}",
        "}",
        f"add element {table} sources {{ {source} : jump {chain} }}",
    ]
    return "\n".join(lines) + "\n"


def render_removal(source: Address) -> str:
    """Forget a source that has a chain: from then on it is dropped by default."""
    table = _table(source.version)
    chain = _chain(source)
    return (
        f"delete element {table} sources {{ {source} }}\n"
        f"flush chain {table} {chain}\n"
        f"delete chain {table} {chain}\n"
    )


def render_connected(family: int, connected: Sequence[Address]) -> str:
    """Keep the addresses of the qubes below on their vifs.

    Packets from them that come in elsewhere are forged; packets to them that would
    leave elsewhere belong to a qube that is gone.
    """
    table = _table(family)
    lines = [f"flush chain {table} prerouting", f"flush chain {table} postrouting"]
    if connected:
        word = _WORDS[family]
        addresses = _list(connected)
        lines += [
            f'add rule {table} prerouting iifname != "vif*"'
            f" {word} saddr {addresses} drop",
            f'add rule {table} postrouting oifname != "vif*"'
            f" {word} daddr {addresses} drop",
        ]
    return "\n".join(lines) + "\n"


def _render_table(family: int) -> str:
    table = _table(family)
    # Adding first makes the deletion work whether or not there is such a table.
    return f"""\
add table {table}
delete table {table}
table {table} {{
    map sources {{
        type {"ipv4_addr" if family == 4 else "ipv6_addr"} : verdict
    }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        ct state established,related accept
        iifname != "vif*" accept
        {_WORDS[family]} saddr vmap @sources
    }}
    chain prerouting {{
        type filter hook prerouting priority raw; policy accept;
    }}
    chain postrouting {{
        type filter hook postrouting priority raw; policy accept;
    }}
}}
"""


def _render_rule(match: Match, family: int) -> str:
    word = _WORDS[family]
    icmp = _ICMP_WORDS[family]
    parts = []
    if match.to is not None:
        parts.append(f"{word} daddr {_list(match.to)}")
    if match.asked is not None:
        # A netvm may translate queries to its own servers before this hook.
        parts.append(f"ct original {word} daddr {_list(match.asked)}")
    if match.protos:
        parts.append(f"meta l4proto {_list(match.protos)}")
    if match.ports is not None:
        first, last = match.ports
        parts.append(f"th dport {first if first == last else f'{first}-{last}'}")
    if match.icmptype is not None:
        parts.append(f"{icmp} type {match.icmptype}")
    verdict = "accept" if match.accept else f"reject with {icmp} type admin-prohibited"
    return " ".join([*parts, verdict])


def _table(family: int) -> str:
    return f"{_WORDS[family]} {TABLE}"


def _chain(source: Address) -> str:
    return "qbs-" + str(source).replace(".", "-").replace(":", "-")


def _list(items: Sequence[object]) -> str:
    if len(items) == 1:
        return str(items[0])
    return f"{{ {', '.join(map(str, items))} }}"
