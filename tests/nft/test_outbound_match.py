# SPDX-License-Identifier: GPL-2.0-or-later
"""Which packets the outbound rules of a source take, before any kernel is asked."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

import pytest

from qubesforward.model.hosts import Address
from qubesforward.model.rule import Action, DstHost, OutboundRule, Proto
from qubesforward.nft.outbound_match import (
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Flow,
    Match,
    permits,
    plan_matches,
)

ONE, TWO = ip_address("192.0.2.1"), ip_address("192.0.2.2")
ONE6 = ip_address("2001:db8::1")
DNS = [ip_address("10.139.1.2"), ip_address("10.139.1.1"), ip_address("fd00::53")]


def accept(kind: str = "", text: str = "", **elements: object) -> OutboundRule:
    host = DstHost(kind, text) if kind else None
    return OutboundRule(Action.ACCEPT, host, **elements)  # type: ignore[arg-type]


def plan(
    *rules: OutboundRule, family: int = 4, names: dict[str, list[Address]] | None = None
) -> list[Match]:
    return plan_matches(rules, family, names or {}, DNS)


def test_neighbours_that_differ_in_the_destination_become_one_match() -> None:
    hosts = [accept("dst4", f"10.0.0.{number}/32") for number in range(256)]
    assert plan(*hosts) == [Match(True, (ip_network("10.0.0.0/24"),))]


def test_overlapping_destinations_are_made_disjoint() -> None:
    matches = plan(accept("dst4", "10.0.0.0/8"), accept("dst4", "10.1.0.0/16"))
    assert matches == [Match(True, (ip_network("10.0.0.0/8"),))]


def test_other_verdicts_between_keep_their_place() -> None:
    rules = [
        accept("dst4", "192.0.2.1/32"),
        OutboundRule(Action.DROP, DstHost("dst4", "192.0.2.0/24")),
        accept("dst4", "192.0.2.2/32"),
    ]
    matches = plan(*rules)
    assert [match.accept for match in matches] == [True, False, True]
    assert permits(matches, Flow(TCP, ONE, ONE, 80))
    assert not permits(matches, Flow(TCP, TWO, TWO, 80))


def test_any_destination_takes_in_the_narrower_ones_of_its_shape() -> None:
    tcp = {"proto": Proto.TCP}
    rules = [
        accept("dst4", "192.0.2.1/32", **tcp),
        accept(**tcp),
        accept("dst4", "0.0.0.0/0"),
    ]
    assert plan(*rules) == [Match(True, protos=(TCP,)), Match(True)]


@pytest.mark.parametrize(
    ("rule", "family"),
    [
        (accept("dst6", "2001:db8::/32"), 4),
        (accept("dst4", "192.0.2.0/24"), 6),
        (accept("dsthost", "unknown.example"), 4),
        (accept("dsthost", "six.example"), 4),
        (accept(proto=Proto.TCP, dstports=(65536, 65536)), 4),
        (accept(proto=Proto.ICMP, specialtarget="dns"), 4),
        (accept(proto=Proto.TCP, dstports=(80, 90), specialtarget="dns"), 4),
    ],
)
def test_what_can_match_nothing_is_left_out(rule: OutboundRule, family: int) -> None:
    assert plan(rule, family=family, names={"six.example": [ONE6]}) == []


def test_a_name_stands_for_its_addresses_of_the_family() -> None:
    names: dict[str, list[Address]] = {"a.example": [ONE6, ONE, TWO]}
    (four,) = plan(accept("dsthost", "a.example"), names=names)
    (six,) = plan(accept("dsthost", "a.example"), family=6, names=names)
    assert four.to == (ip_network("192.0.2.1/32"), ip_network("192.0.2.2/32"))
    assert six.to == (ip_network("2001:db8::1/128"),)


def test_dns_is_told_by_the_address_that_was_dialled() -> None:
    matches = plan(accept(specialtarget="dns"))
    asked = ip_address("10.139.1.1")
    assert matches == [
        Match(True, None, (asked, ip_address("10.139.1.2")), (TCP, UDP), (53, 53))
    ]
    assert permits(matches, Flow(UDP, asked, ONE, 53))
    assert not permits(matches, Flow(UDP, ONE, asked, 53))
    assert not permits(matches, Flow(UDP, asked, ONE, 80))


def test_dns_within_given_ports_is_still_only_dns() -> None:
    (match,) = plan(accept(proto=Proto.UDP, dstports=(50, 60), specialtarget="dns"))
    assert (match.protos, match.ports) == ((UDP,), (53, 53))


def test_icmp_has_the_number_of_the_family() -> None:
    rule = accept(proto=Proto.ICMP, icmptype=8)
    assert plan(rule) == [Match(True, protos=(ICMP,), icmptype=8)]
    assert plan(rule, family=6) == [Match(True, protos=(ICMPV6,), icmptype=8)]
    assert permits(plan(rule), Flow(ICMP, ONE, ONE, icmptype=8))
    assert not permits(plan(rule), Flow(ICMP, ONE, ONE, icmptype=0))


def test_ports_are_numbers() -> None:
    matches = plan(accept(proto=Proto.TCP, dstports=(80, 1000)))
    assert permits(matches, Flow(TCP, ONE, ONE, 443))
    assert not permits(matches, Flow(TCP, ONE, ONE, 9))
    assert not permits(matches, Flow(UDP, ONE, ONE, 443))


def test_without_any_match_nothing_is_permitted() -> None:
    assert not permits([], Flow(TCP, ONE, ONE, 80))
