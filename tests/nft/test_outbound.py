# SPDX-License-Identifier: GPL-2.0-or-later
"""The nft commands of outbound rules, and what a kernel has of them afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address

import pytest

from qubesforward.errors import ApplyError
from qubesforward.model.rule import Action, DstHost, OutboundRule, Proto
from qubesforward.nft.outbound import (
    DROP_ALL,
    render_base,
    render_connected,
    render_removal,
    render_source,
)
from qubesforward.nft.outbound_match import Match, plan_matches
from tests.agent.outbound_world import Space

QUBE, QUBE6 = ip_address("10.137.0.20"), ip_address("fd09::14")


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with ExitStack() as stack:
        yield Space(stack)


def rules_of(space: Space, family: str, chain: str) -> list[str]:
    """The kernel's rules of a chain, as nft lists them."""
    listed = space.run(f"nft -n list chain {family} qubes-firewall {chain}")
    return [line.strip() for line in listed.splitlines()[2:-2]]


def test_the_tables_drop_by_default_and_are_replaced_whole(space: Space) -> None:
    for _ in range(2):
        space.nft(render_base() + render_source(QUBE, DROP_ALL))
    space.nft(render_base())
    for family in ("ip", "ip6"):
        assert rules_of(space, family, "forward") == [
            "type filter hook forward priority 0; policy drop;",
            "ct state 0x2,0x4 accept",
            'iifname != "vif*" accept',
            f"{family} saddr vmap @sources",
        ]
    assert "qbs-" not in space.run("nft list ruleset")


def test_rules_stand_in_the_chain_of_their_source(space: Space) -> None:
    rules = [
        OutboundRule(
            Action.ACCEPT, DstHost("dst4", "1.2.3.0/24"), Proto.TCP, None, (80, 90)
        ),
        OutboundRule(Action.DROP, DstHost("dsthost", "a.example")),
        OutboundRule(Action.ACCEPT, specialtarget="dns"),
        OutboundRule(Action.ACCEPT, proto=Proto.ICMP, icmptype=8),
        OutboundRule(Action.DROP),
    ]
    names = {"a.example": [ip_address("192.0.2.1"), ip_address("192.0.2.9")]}
    dns = [ip_address("10.139.1.1"), ip_address("10.139.1.2")]
    space.nft(render_base() + render_source(QUBE, plan_matches(rules, 4, names, dns)))
    assert rules_of(space, "ip", "qbs-10-137-0-20") == [
        "ip daddr 1.2.3.0/24 tcp dport 80-90 accept",
        "ip daddr { 192.0.2.1, 192.0.2.9 } reject with icmp 13",
        "ct original ip daddr { 10.139.1.1, 10.139.1.2 } meta l4proto { 6, 17 }"
        " th dport 53 accept",
        "icmp type 8 accept",
        "reject with icmp 13",
    ]


def test_new_rules_replace_the_old_ones(space: Space) -> None:
    space.nft(render_base() + render_source(QUBE6, [Match(True)]))
    space.nft(render_source(QUBE6, DROP_ALL))
    assert rules_of(space, "ip6", "qbs-fd09--14") == ["reject with icmpv6 1"]


def test_a_removed_source_leaves_nothing_behind(space: Space) -> None:
    space.nft(render_base())
    empty = space.run("nft list ruleset")
    space.nft(render_source(QUBE, DROP_ALL) + render_source(QUBE6, DROP_ALL))
    space.nft(render_removal(QUBE) + render_removal(QUBE6))
    assert space.run("nft list ruleset") == empty


def test_a_removal_of_what_is_not_there_is_an_error(space: Space) -> None:
    space.nft(render_base())
    with pytest.raises(ApplyError):
        space.nft(render_removal(QUBE))


def test_connected_addresses_are_replaced(space: Space) -> None:
    space.nft(render_base() + render_connected(4, [QUBE]))
    space.nft(render_connected(4, [QUBE, ip_address("10.137.0.21")]))
    space.nft(render_connected(6, []))
    (_, rule) = rules_of(space, "ip", "prerouting")
    assert rule == 'iifname != "vif*" ip saddr { 10.137.0.20, 10.137.0.21 } drop'
    (_, rule) = rules_of(space, "ip", "postrouting")
    assert rule == 'oifname != "vif*" ip daddr { 10.137.0.20, 10.137.0.21 } drop'
    assert len(rules_of(space, "ip6", "prerouting")) == 1


def test_a_thousand_addresses_are_one_rule(space: Space) -> None:
    rules = [
        OutboundRule(
            Action.ACCEPT,
            DstHost("dst4", f"10.{number >> 8}.{number & 255}.1/32"),
            Proto.TCP,
            dstports=(443, 443),
        )
        for number in range(1000)
    ]
    space.nft(render_base() + render_source(QUBE, plan_matches(rules, 4, {}, [])))
    listed = space.run("nft list chain ip qubes-firewall qbs-10-137-0-20")
    assert listed.count("accept") == 1
    assert listed.count("10.3.231.1") == 1
