# SPDX-License-Identifier: GPL-2.0-or-later
"""Every rule, rule list and entry that can be, for hypothesis."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from hypothesis import settings
from hypothesis import strategies as st

from qubesforward.model.dsthost import parse_dsthost
from qubesforward.model.entry import SSDP_PORT, Entrance, Entry
from qubesforward.model.hosts import Network, parse_network
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import (
    FORWARD_PROTOS,
    REBOOT,
    Action,
    ForwardRule,
    ForwardType,
    OutboundRule,
    Proto,
    Reach,
)

quick = settings(max_examples=60, deadline=None)
"""For properties whose inputs are built with care."""

fuzz = settings(max_examples=200, deadline=None)
"""For properties of arbitrary input."""

_LETTERS = string.ascii_letters + string.digits
comments = st.text(_LETTERS + ":;,./-_[] ", max_size=60)
moments = st.integers(0, 253402300799)
names = st.text(string.ascii_lowercase + string.digits + "-._", min_size=1, max_size=40)
addresses = st.ip_addresses()
qube_addresses = addresses.filter(
    lambda one: not (one.version == 6 and one.is_link_local)
).map(lambda one: parse_network(f"{one}/{one.max_prefixlen}"))


@st.composite
def networks(draw: st.DrawFn, version: Literal[4, 6] | None = None) -> Network:
    address = draw(st.ip_addresses(v=version))
    length = draw(st.integers(0, address.max_prefixlen))
    host_bits = address.max_prefixlen - length
    first = type(address)(int(address) >> host_bits << host_bits)
    return parse_network(f"{first}/{length}")


@st.composite
def ports(draw: st.DrawFn, longest: int = 65535) -> PortRange:
    first = draw(st.integers(1, 65535))
    last = draw(st.integers(first, min(65535, first + longest - 1)))
    return PortRange(first, last)


@st.composite
def inner_ports(draw: st.DrawFn, outer: PortRange) -> PortRange:
    length = draw(st.sampled_from([1, len(outer)]))
    first = draw(st.integers(1, 65536 - length))
    return PortRange(first, first + length - 1)


@st.composite
def forwards(draw: st.DrawFn) -> ForwardRule:
    outer = draw(ports())
    return ForwardRule(
        draw(st.sampled_from(ForwardType)),
        outer,
        dstports=draw(st.none() | inner_ports(outer)),
        proto=draw(st.none() | st.sampled_from(FORWARD_PROTOS)),
        srchost=draw(st.none() | networks()),
        expire=draw(st.none() | st.just(REBOOT) | moments),
        reach=draw(st.sampled_from(Reach)),
        bypass=draw(st.booleans()),
        disposables=draw(st.booleans()),
        comment=draw(comments),
    )


@st.composite
def stored_forwards(draw: st.DrawFn, boot_id: str) -> ForwardRule:
    rule = draw(forwards())
    return replace(
        rule,
        created=draw(st.integers(1, 2**60)),
        is_waiting=draw(st.booleans()),
        boot_id=boot_id if rule.expire == REBOOT else "",
    )


@st.composite
def outbound_rules(draw: st.DrawFn) -> OutboundRule:
    hosts = names | addresses.map(str) | networks().map(str)
    proto = draw(st.none() | st.sampled_from(Proto))
    more: Mapping[str, Any] = {}
    if proto is Proto.ICMP:
        more = {"icmptype": draw(st.none() | st.integers(0, 255))}
    elif proto is not None:
        numbers = st.integers(0, 65536)
        pairs = st.tuples(numbers, numbers).map(lambda pair: (min(pair), max(pair)))
        more = {"dstports": draw(st.none() | pairs)}
    return OutboundRule(
        draw(st.sampled_from([Action.ACCEPT, Action.DROP])),
        dsthost=draw(st.none() | hosts.map(parse_dsthost)),
        proto=proto,
        specialtarget=draw(st.none() | st.just("dns")),
        expire=draw(st.none() | moments),
        comment=draw(comments),
        **more,
    )


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    entrance = draw(st.sampled_from(Entrance))
    is_single = entrance in (Entrance.SERVE, Entrance.ANSWER)
    is_door = is_single or entrance is Entrance.SELF
    can_map = entrance in (Entrance.EXTERNAL, Entrance.UPLINK)
    mapped = draw(st.booleans()) if can_map else False
    src, outer = draw(networks()), draw(ports())
    proto = draw(st.sampled_from(FORWARD_PROTOS))
    if is_single:
        src = draw(qube_addresses)
    if mapped or is_single:
        outer = PortRange(outer.first, outer.first)
    if entrance is Entrance.ANSWER:
        proto, outer = Proto.UDP, PortRange(SSDP_PORT, SSDP_PORT)
    return Entry(
        entrance,
        proto,
        outer,
        src,
        to=None if is_door else draw(st.ip_addresses(v=src.version)),
        toports=None if is_door else draw(inner_ports(outer)),
        until=draw(st.none() | moments),
        bypass=False if is_single else draw(st.booleans()),
        mapped=mapped,
    )


def near(valid: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Text that is almost right: a valid one with a piece replaced by anything."""

    @st.composite
    def spoiled(draw: st.DrawFn) -> str:
        text = draw(valid)
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 8)))
        return text[:start] + draw(st.text(max_size=6)) + text[end:]

    return spoiled()
