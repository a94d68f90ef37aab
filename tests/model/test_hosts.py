# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import (
    ANY4,
    ANY6,
    Network,
    any_of,
    networks_overlap,
    parse_address,
    parse_network,
)
from tests.model import rule_strategies as some


@given(some.networks())
@some.quick
def test_network_comes_back(network: Network) -> None:
    assert parse_network(str(network)) == network


@given(st.text(max_size=60) | some.near(some.networks().map(str)))
@some.fuzz
def test_any_text_is_a_host_or_invalid(text: str) -> None:
    for parse in (parse_network, parse_address):
        try:
            parse(text)
        except InvalidRule:
            continue
        assert text.isascii()


def test_bare_address_is_a_network_of_one() -> None:
    assert str(parse_network("192.168.1.5")) == "192.168.1.5/32"
    assert str(parse_network("FD00:0::1")) == "fd00::1/128"


def test_host_bits_are_refused_with_what_was_meant() -> None:
    with pytest.raises(InvalidRule, match=r"did you mean 192\.168\.1\.0/24\?"):
        parse_network("192.168.1.5/24")


@pytest.mark.parametrize(
    "text",
    ["", "example.org", "1.2.3", "fe80::1%eth0", "1.2.3.4/33", "::/129", "1.2.3.4/-1"],
)
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidRule, match="give an IPv4 or IPv6 address or CIDR"):
        parse_network(text)


def test_words_of_an_error_are_no_network() -> None:
    with pytest.raises(InvalidRule):
        parse_network("host bits")


@pytest.mark.parametrize("mask", ["0.0.0.0", "255.255.255.0", "0.0.0.255"])
def test_dotted_mask_does_not_open_to_everybody(mask: str) -> None:
    with pytest.raises(InvalidRule):
        parse_network(f"0.0.0.0/{mask}")


def test_families_never_overlap() -> None:
    assert networks_overlap(ANY4, parse_network("10.0.0.0/8"))
    assert not networks_overlap(ANY4, ANY6)
    assert any_of(4) == ANY4
    assert any_of(6) == ANY6
