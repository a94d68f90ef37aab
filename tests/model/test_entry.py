# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.entry import (
    LONGEST_ENTRY,
    Entrance,
    Entry,
    format_entry,
    parse_entry,
)
from qubesforward.model.hosts import ANY6, parse_address, parse_network
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import Proto
from tests.model import rule_strategies as some

EXAMPLE = (
    "in=uplink proto=tcp ports=443-443 src=192.168.1.0/24"
    " to=10.137.0.20 toports=8443-8443 until=1790000000"
)


def test_example_is_read_as_meant() -> None:
    entry = parse_entry(EXAMPLE)
    assert entry == Entry(
        Entrance.UPLINK,
        Proto.TCP,
        PortRange(443, 443),
        parse_network("192.168.1.0/24"),
        parse_address("10.137.0.20"),
        PortRange(8443, 8443),
        until=1790000000,
    )
    assert entry.family == 4
    assert format_entry(entry) == EXAMPLE


@given(some.entries())
@some.quick
def test_entry_comes_back_from_its_text(entry: Entry) -> None:
    text = format_entry(entry)
    assert parse_entry(text) == entry
    assert len(text) <= LONGEST_ENTRY


@given(some.entries(), some.moments)
@some.quick
def test_content_is_what_stays_when_the_end_moves(entry: Entry, until: int) -> None:
    other = Entry(
        entry.entrance,
        entry.proto,
        entry.ports,
        entry.src,
        entry.to,
        entry.toports,
        until,
        entry.bypass,
        entry.mapped,
    )
    assert other.content == entry.content
    assert other.content.until is None


@given(st.text(max_size=100) | some.near(some.entries().map(format_entry)))
@some.fuzz
def test_any_text_is_an_entry_or_invalid(text: str) -> None:
    try:
        entry = parse_entry(text)
    except InvalidRule:
        return
    assert parse_entry(format_entry(entry)) == entry


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("in=uplink", "in=downlink", "in='downlink': not one of external, uplink"),
        ("proto=tcp", "proto=icmp", "proto=icmp: an entry takes tcp or udp"),
        ("proto=tcp ", "", "proto: missing"),
        ("proto=tcp", "proto=tcp proto=udp", "proto: given twice"),
        ("proto=tcp", "proto=tcp  x", "'': not an element of an entry"),
        ("ports=443-443", "ports=0-1", "ports=0-1: ports are 1-65535"),
        ("192.168.1.0/24", "fd00::/8", "not of the family of src=fd00::/8"),
        (" to=10.137.0.20", "", "in=uplink: needs to and toports"),
        ("8443-8443", "8443-8444", "toports=8443-8444: do not fit ports=443-443"),
        ("1790000000", "soon", "until='soon': give seconds since 1970"),
        ("until=1790000000", "bypass=no", "bypass='no': only yes can be given"),
        ("in=uplink", "in=self", "in=self: takes neither to nor toports"),
        ("until=", f"until={'0' * LONGEST_ENTRY}", "too long"),
        ("in=uplink", "in=serve", "in=serve: takes neither to nor toports"),
        ("until=1790000000", "mapped=no", "mapped='no': only yes can be given"),
    ],
)
def test_error_says_what_is_wrong(old: str, new: str, message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_entry(EXAMPLE.replace(old, new))
    assert message in str(caught.value)


SERVE = "in=serve proto=udp ports=5351-5351 src=10.137.0.20/32"
ANSWER = "in=answer proto=udp ports=1900-1900 src=10.137.0.6/32"
MAPPED = EXAMPLE + " mapped=yes"


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        (SERVE, "5351-5351", "5350-5351", "in=serve takes a single port"),
        (SERVE, "20/32", "0/24", "in=serve takes the address of one qube"),
        (SERVE, "10.137.0.20/32", "fd09::/64", "takes the address of one qube"),
        (SERVE, "10.137.0.20/32", "fe80::5/128", "not an address that a qube is given"),
        (SERVE, "src", "bypass=yes src", "in=serve: does not take bypass"),
        (SERVE, "src", "mapped=yes src", "mapped=yes: not with in=serve"),
        (ANSWER, "1900-1900", "1900-1901", "in=answer takes a single port"),
        (ANSWER, "1900-1900", "1901-1901", "takes proto=udp ports=1900 only"),
        (ANSWER, "udp", "tcp", "takes proto=udp ports=1900 only"),
        (MAPPED, "in=uplink", "in=local", "mapped=yes: not with in=local"),
        (MAPPED, "443-443", "443-444", "mapped=yes: takes one port"),
        (MAPPED, " toports=8443-8443", "", "mapped=yes: takes one port"),
    ],
)
def test_error_of_what_serves_or_is_mapped(
    text: str, old: str, new: str, message: str
) -> None:
    assert format_entry(parse_entry(text)) == text
    with pytest.raises(InvalidRule) as caught:
        parse_entry(text.replace(old, new))
    assert message in str(caught.value)


def test_target_entry_has_no_destination() -> None:
    entry = Entry(Entrance.SELF, Proto.UDP, PortRange(53, 53), ANY6, bypass=True)
    text = "in=self proto=udp ports=53-53 src=::/0 bypass=yes"
    assert format_entry(entry) == text
    assert parse_entry(text) == entry
