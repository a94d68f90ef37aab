# SPDX-License-Identifier: GPL-2.0-or-later
"""Whatever the rules are: the kernel takes them, and merging changes no verdict."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address
from qubesforward.model.rule import Action, DstHost, OutboundRule, Proto
from qubesforward.model.text import format_enforced, parse_rule
from qubesforward.nft.outbound import render_base, render_source
from qubesforward.nft.outbound_match import TCP, UDP, Flow, permits, plan_matches
from tests.agent.outbound_world import Space

SOURCES = {4: ip_address("10.137.0.20"), 6: ip_address("fd09::14")}
NAMES: dict[str, list[Address]] = {
    "both.example": [ip_address("10.0.0.1"), ip_address("10.0.0.2")],
    "none.example": [],
    "many.example": [IPv4Address(0x0A000000 + n) for n in range(0, 40, 3)]
    + [IPv6Address((0xFD << 120) + n) for n in range(0, 40, 3)],
}
DNS = [ip_address("10.0.0.5"), ip_address("10.0.0.6"), ip_address("fd00::6")]

_hosts = st.one_of(
    st.none(),
    st.sampled_from(sorted(NAMES)).map(lambda name: DstHost("dsthost", name)),
    # A small world, so that rules meet: 10.0.0.0-15 and fd00::0-15.
    st.builds(
        lambda host, length: DstHost("dst4", f"10.0.0.{host}/{length}"),
        st.integers(0, 15),
        st.sampled_from([0, 8, 28, 30, 31, 32]),
    ),
    st.builds(
        lambda host, length: DstHost("dst6", f"fd00::{host:x}/{length}"),
        st.integers(1, 15),
        st.sampled_from([0, 8, 124, 126, 127, 128]),
    ),
)
_port = st.sampled_from([0, 22, 52, 53, 54, 80, 443, 65535, 65536])
_ports = st.none() | st.tuples(_port, _port).map(lambda ports: tuple(sorted(ports)))
_actions = st.sampled_from([Action.ACCEPT, Action.DROP])
_special = st.sampled_from([None, None, "dns"])
_rules = st.one_of(
    st.builds(OutboundRule, _actions, _hosts, st.none(), _special),
    st.builds(
        OutboundRule,
        _actions,
        _hosts,
        st.sampled_from([Proto.TCP, Proto.UDP]),
        _special,
        _ports,
    ),
    st.builds(
        OutboundRule,
        _actions,
        _hosts,
        st.just(Proto.ICMP),
        _special,
        st.none(),
        st.none() | st.integers(0, 255),
    ),
)


@pytest.fixture(scope="module")
def space() -> Iterator[Space]:
    with ExitStack() as stack:
        yield Space(stack)


@given(st.text())
@settings(max_examples=300)
def test_any_text_is_a_rule_or_invalid(text: str) -> None:
    with suppress(InvalidRule):
        parse_rule(text)


@given(_rules)
def test_a_rule_comes_back_from_its_enforced_text(rule: OutboundRule) -> None:
    assert parse_rule(format_enforced(rule)) == rule


@given(st.lists(_rules, max_size=12), st.sampled_from([4, 6]))
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_the_kernel_takes_what_is_rendered(
    space: Space, rules: list[OutboundRule], family: int
) -> None:
    matches = plan_matches(rules, family, NAMES, DNS)
    space.nft(render_base() + render_source(SOURCES[family], matches))
    chain = f"qbs-{SOURCES[family]}".replace(".", "-").replace(":", "-")
    word = {4: "ip", 6: "ip6"}[family]
    listed = space.run(f"nft list chain {word} qubes-firewall {chain}")
    assert listed.count("accept") + listed.count("reject") == len(matches)


@given(
    st.lists(_rules, max_size=8),
    st.builds(
        Flow,
        st.sampled_from([TCP, UDP]),
        st.integers(0, 15).map(lambda n: IPv4Address(0x0A000000 + n)),
        st.integers(0, 15).map(lambda n: IPv4Address(0x0A000000 + n)),
        st.sampled_from([22, 53, 80, 443, 65535]),
    ),
)
@settings(max_examples=500)
def test_merged_rules_permit_what_each_rule_in_turn_would(
    rules: list[OutboundRule], flow: Flow
) -> None:
    verdicts = [
        rule.action is Action.ACCEPT
        for rule in rules
        if permits(plan_matches([_as_accept(rule)], 4, NAMES, DNS), flow)
    ]
    merged = plan_matches(rules, 4, NAMES, DNS)
    assert permits(merged, flow) == (verdicts[0] if verdicts else False)


def _as_accept(rule: OutboundRule) -> OutboundRule:
    return OutboundRule(
        Action.ACCEPT,
        rule.dsthost,
        rule.proto,
        rule.specialtarget,
        rule.dstports,
        rule.icmptype,
    )
