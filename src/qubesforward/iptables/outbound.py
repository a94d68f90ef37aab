# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as chains of ours (see `qubesforward.nft.outbound` for what they do).

A source that may send something returns from its chain, and what Qubes has besides
is asked too; all others are rejected, or dropped where nothing is known of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from string import ascii_letters, digits

from qubesforward.iptables.layout import OUTBOUND, Chains
from qubesforward.iptables.rules import (
    PREFIX,
    REJECT,
    SOURCE_PREFIX,
    VIFS,
    Rule,
    join,
)
from qubesforward.model.hosts import Address
from qubesforward.nft.outbound_match import ICMP, ICMPV6, TCP, UDP, Match

BELOW, ABOVE = f"{PREFIX}BELOW", f"{PREFIX}ABOVE"

OUTBOUND_HOOKS: Mapping[str, Mapping[str, str]] = {
    "filter": {"FORWARD": OUTBOUND},
    "mangle": {"PREROUTING": BELOW, "POSTROUTING": ABOVE},
}
"""As `FORWARDS_HOOKS`."""

_PROTOS = {ICMP: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "ipv6-icmp"}
_ICMP_MATCH = {
    ICMP: "-m icmp --icmp-type",
    ICMPV6: "-m icmp6 --icmpv6-type",
}
_DIGITS = f"{digits}{ascii_letters}"


@dataclass(frozen=True, slots=True)
class Outbound:
    """What the qubes below may send out: matches by source, the last takes all.

    `connected` are the addresses, by IP version, that belong behind vifs.
    """

    sources: Mapping[Address, Sequence[Match]] = field(default_factory=dict)
    connected: Mapping[int, Sequence[Address]] = field(default_factory=dict)


def plan_outbound(family: int, outbound: Outbound) -> Chains:
    """Return the chains of a family that outbound rules need."""
    below = [
        f"-s {one} ! -i {VIFS} -j DROP" for one in outbound.connected.get(family, ())
    ]
    above = [
        f"-d {one} ! -o {VIFS} -j DROP" for one in outbound.connected.get(family, ())
    ]
    sources = {
        source: matches
        for source, matches in outbound.sources.items()
        if source.version == family
    }
    main = [
        f"! -i {VIFS} -j RETURN",
        "-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        *(f"-s {source} -g {chain_of(source)}" for source in sources),
        "-j DROP",
    ]
    chains = {OUTBOUND: main}
    for source, matches in sources.items():
        chains[chain_of(source)] = [
            rule for match in matches for rule in _render_match(match, family)
        ]
    return {
        "filter": {name: [*map(Rule, rules)] for name, rules in chains.items()},
        "mangle": {BELOW: [*map(Rule, below)], ABOVE: [*map(Rule, above)]},
    }


def chain_of(source: Address) -> str:
    """Return the name of a source's chain: at most 28 characters, so in few digits."""
    number, name = int(source), ""
    while number:
        number, digit = divmod(number, len(_DIGITS))
        name = _DIGITS[digit] + name
    return f"{SOURCE_PREFIX}{source.version}{name}"


def _render_match(match: Match, family: int) -> Iterator[str]:
    to: Iterable[object] = (None,) if match.to is None else match.to
    asked: Iterable[object] = (None,) if match.asked is None else match.asked
    protos: Iterable[int | None] = match.protos or (None,)
    verdict = "-j RETURN" if match.accept else REJECT[family]
    for network, server, proto in product(to, asked, protos):
        yield join(
            "" if network is None else f"-d {network}",
            "" if proto is None else _render_proto(proto, match),
            "" if server is None else f"-m conntrack --ctorigdst {server}",
            verdict,
        )


def _render_proto(proto: int, match: Match) -> str:
    words = f"-p {_PROTOS.get(proto, proto)}"
    if match.ports is not None and proto in (TCP, UDP):
        first, last = match.ports
        ports = f"{first}" if first == last else f"{first}:{last}"
        words += f" -m {_PROTOS[proto]} --dport {ports}"
    if match.icmptype is not None and proto in _ICMP_MATCH:
        words += f" {_ICMP_MATCH[proto]} {match.icmptype}"
    return words
