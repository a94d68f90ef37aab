# SPDX-License-Identifier: GPL-2.0-or-later
import socket
from ipaddress import IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.dsthost import parse_dsthost
from qubesforward.model.rule import DstHost
from tests.model import rule_strategies as some


@pytest.mark.parametrize(
    ("text", "kind", "normal"),
    [
        ("10.5.3.2", "dst4", "10.5.3.2/32"),
        ("192.168.0.0/16", "dst4", "192.168.0.0/16"),
        ("192.168.0.1/16", "dst4", "192.168.0.1/16"),
        ("0.0.0.0/0", "dst4", "0.0.0.0/0"),
        ("FD00:0:0::8", "dst6", "fd00::8/128"),
        ("fd00::/08", "dst6", "fd00::/8"),
        ("www.example.com", "dsthost", "www.example.com"),
        ("1.2.3", "dsthost", "1.2.3"),
        ("300.1.1.1", "dsthost", "300.1.1.1"),
    ],
)
def test_address_network_or_name(text: str, kind: str, normal: str) -> None:
    assert parse_dsthost(text) == DstHost(kind, normal)


@pytest.mark.parametrize(
    "text",
    ["", "/24", "WWW.example.com", "a b", "www.example.com/24", "::1%lo", "a/b/c"],
)
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(InvalidRule, match="an address, a CIDR, or a name"):
        parse_dsthost(text)


@pytest.mark.parametrize("text", ["1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1"])
def test_prefix_length_is_bounded(text: str) -> None:
    with pytest.raises(InvalidRule, match="prefix lengths are 0-"):
        parse_dsthost(text)


def test_name_is_bounded() -> None:
    parse_dsthost("a" * 255)
    with pytest.raises(InvalidRule, match="at most 255"):
        parse_dsthost("a" * 256)


# IPv4-mapped and -compatible addresses, which are written with dots.
_TAILS = st.integers(0, 2**32 - 1)
_IPV6 = st.integers(0, 2**128 - 1) | _TAILS | _TAILS.map(lambda n: n + (0xFFFF << 32))


@given(_IPV6)
@some.quick
def test_ipv6_is_written_as_the_c_library_does(address: int) -> None:
    written = socket.inet_ntop(socket.AF_INET6, address.to_bytes(16, "big"))
    assert parse_dsthost(written).text == f"{written}/128"
    assert parse_dsthost(str(IPv6Address(address))).text == f"{written}/128"


@given(st.text(max_size=40) | some.near(some.networks().map(str)))
@some.fuzz
def test_any_text_is_a_destination_or_invalid(text: str) -> None:
    try:
        dsthost = parse_dsthost(text)
    except InvalidRule:
        return
    assert parse_dsthost(dsthost.text) == dsthost
