# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange, parse_ports
from tests.model import rule_strategies as some


@given(some.ports())
@some.quick
def test_both_forms_come_back(ports: PortRange) -> None:
    assert parse_ports(str(ports)) == ports
    assert parse_ports(ports.short) == ports


@given(st.text(max_size=30) | some.near(some.ports().map(str)))
@some.fuzz
def test_any_text_is_ports_or_invalid(text: str) -> None:
    try:
        ports = parse_ports(text)
    except InvalidRule:
        return
    assert 1 <= ports.first <= ports.last <= 65535


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("80443", "srcports=80443: ports are 1-65535"),
        ("80443-80443", "srcports=80443-80443: ports are 1-65535"),
        ("0", "srcports=0: ports are 1-65535"),
        ("443-442", "srcports=443-442: the first port is above the last"),
        ("http", "srcports='http': give a port or FIRST-LAST"),
        ("1-2-3", "srcports='1-2-3': give a port or FIRST-LAST"),
        ("", "srcports='': give a port or FIRST-LAST"),
    ],
)
def test_error_says_what_and_where(text: str, message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_ports(text, "srcports")
    assert str(caught.value) == message


def test_ranges_overlap_at_their_ends() -> None:
    assert PortRange(1, 5).overlaps(PortRange(5, 9))
    assert not PortRange(1, 5).overlaps(PortRange(6, 9))
    assert 5 in PortRange(1, 5)
    assert 6 not in PortRange(1, 5)
