# SPDX-License-Identifier: GPL-2.0-or-later
"""OUTER[:INNER][/PROTO]."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli import spec as spec_module
from qubesforward.cli.spec import PortSpec, parse_spec
from qubesforward.errors import InvalidRule
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import ForwardRule, ForwardType, Proto


def ports(first: int, last: int | None = None) -> PortRange:
    return PortRange(first, last or first)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("443", PortSpec(ports(443), None, Proto.TCP, any_proto=True)),
        ("443/udp", PortSpec(ports(443), None, Proto.UDP, any_proto=False)),
        ("53/both", PortSpec(ports(53), None, None, any_proto=False)),
        ("53/tcp+udp", PortSpec(ports(53), None, None, any_proto=False)),
        (
            "443:8443/tcp",
            PortSpec(ports(443), ports(8443), Proto.TCP, any_proto=False),
        ),
        (
            "8000-8010:9000-9010",
            PortSpec(ports(8000, 8010), ports(9000, 9010), Proto.TCP, any_proto=True),
        ),
        (
            "8000-8010:80",
            PortSpec(ports(8000, 8010), ports(80), Proto.TCP, any_proto=True),
        ),
    ],
)
def test_reads_short_forms(text: str, spec: PortSpec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("443/tpc", "the protocol is tcp, udp or both"),
        ("443/", "the protocol is tcp, udp or both"),
        ("80443", "outer port 80443: ports are 1-65535"),
        ("443:80443", "inner port 80443: ports are 1-65535"),
        ("443:", "inner port '': give a port"),
        ("", "outer port '': give a port"),
        ("0", "ports are 1-65535"),
        ("90-80", "first port is above the last"),
        ("1:2:3", "inner port '2:3'"),
        ("no-such-service", "no such port or service"),
        ("\u0664\u0664\u0663", "give a port"),
    ],
)
def test_refuses_and_says_which_side(text: str, why: str) -> None:
    with pytest.raises(InvalidRule, match=why):
        parse_spec(text)


def test_names_of_services_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    table = {("https", "tcp"): 443, ("alt", "udp"): 8443}
    monkeypatch.setattr(
        spec_module, "getservbyname", lambda name, proto: table[name, proto]
    )
    assert parse_spec("https").outer == ports(443)
    assert parse_spec("1:alt/udp").inner == ports(8443)


def forward(proto: Proto | None, inner: PortRange | None = None) -> ForwardRule:
    return ForwardRule(ForwardType.EXTERNAL, ports(443), inner, proto)


def test_what_is_not_said_is_not_compared() -> None:
    assert parse_spec("443").matches(forward(Proto.UDP, ports(8443)))
    assert parse_spec("443").matches(forward(None))
    assert not parse_spec("443/tcp").matches(forward(Proto.UDP))
    assert not parse_spec("443/tcp").matches(forward(None))
    assert parse_spec("443/both").matches(forward(None))
    assert parse_spec("443:443").matches(forward(Proto.TCP))
    assert not parse_spec("443:8443").matches(forward(Proto.TCP))
    assert not parse_spec("442-443").matches(forward(Proto.TCP))


@pytest.mark.parametrize("text", ["443", "443/both", "443:8443/udp", "1-5:7/tcp"])
def test_is_written_as_it_was_typed(text: str) -> None:
    assert str(parse_spec(text)) == text


@given(st.text("0123456789:-/tcpud+", max_size=20) | st.text(max_size=12))
def test_any_text_is_a_short_form_or_the_one_error(text: str) -> None:
    try:
        spec = parse_spec(text)
    except InvalidRule:
        return
    assert parse_spec(str(spec)) == spec
