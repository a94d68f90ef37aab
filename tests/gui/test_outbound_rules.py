# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules in the simple form: what fits in, and that it means the same."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.gui.outbound_rules import (
    RuleField,
    SimpleRules,
    is_editable,
    read_exception,
    read_simple,
    show_host,
    show_port,
    write_simple,
)
from qubesforward.model.rule import Action, OutboundRule, Proto
from qubesforward.model.text import format_rule, parse_rules


def parse(text: str) -> list[OutboundRule]:
    rules = parse_rules(text)
    return [rule for rule in rules if isinstance(rule, OutboundRule)]


@pytest.mark.parametrize(
    ("text", "policy", "exceptions", "dns", "ping", "full"),
    [
        ("action=accept", Action.ACCEPT, 0, True, True, None),
        ("action=drop", Action.DROP, 0, False, False, None),
        ("", Action.DROP, 0, False, False, None),
        (
            "action=accept dsthost=a.org\naction=accept specialtarget=dns\n"
            "action=accept proto=icmp\naction=accept expire=2000000000\naction=drop",
            Action.DROP,
            1,
            True,
            True,
            2000000000,
        ),
        (
            "action=accept expire=2000000000\naction=drop dst4=10.0.0.0/8\n"
            "action=drop specialtarget=dns\naction=accept",
            Action.ACCEPT,
            1,
            False,
            True,
            2000000000,
        ),
    ],
)
def test_a_list_of_the_simple_form_is_read(
    text: str, policy: Action, exceptions: int, dns: bool, ping: bool, full: int | None
) -> None:
    simple = read_simple(parse(text))
    assert simple is not None
    assert (simple.policy, len(simple.exceptions)) == (policy, exceptions)
    assert (simple.dns, simple.ping, simple.full_until) == (dns, ping, full)


@pytest.mark.parametrize(
    "text",
    [
        # The order of these two decides.
        "action=drop dst4=10.0.0.1\naction=accept dst4=10.0.0.0/8\naction=drop",
        "action=accept\naction=drop",
        "action=accept comment=x\naction=drop",
        # Behind what is dropped, full access would not be full.
        "action=drop dst4=10.0.0.1\naction=accept expire=2000000000\naction=accept",
        "action=accept expire=2000000000\naction=accept expire=2000000001\naction=drop",
        "action=drop expire=2000000000\naction=accept",
    ],
)
def test_a_list_that_says_more_is_not_put_into_the_form(text: str) -> None:
    assert read_simple(parse(text)) is None


_POOL = parse(
    "action=accept\naction=drop\naction=accept expire=2000000000\n"
    "action=drop expire=2000000000\n"
    "action=accept dsthost=a.org\naction=drop dsthost=a.org\n"
    "action=accept specialtarget=dns\naction=drop specialtarget=dns\n"
    "action=accept proto=icmp\naction=drop proto=icmp\n"
    "action=accept dst4=10.0.0.1 expire=2000000000\n"
)


def _matched(rule: OutboundRule) -> OutboundRule:
    return replace(rule, action=Action.ACCEPT, expire=None)


def _decide(rules: list[OutboundRule], asked: OutboundRule, is_later: bool) -> Action:
    """What the first rule says that is about just this, or about everything."""
    everything = OutboundRule(Action.ACCEPT)
    for rule in rules:
        if is_later and rule.expire is not None:
            continue
        if _matched(rule) in (everything, asked):
            return rule.action
    return Action.DROP


@given(st.lists(st.sampled_from(_POOL), max_size=6), st.booleans())
def test_what_the_form_writes_means_what_was_read(
    rules: list[OutboundRule], is_later: bool
) -> None:
    simple = read_simple(rules)
    if simple is None:
        return
    written = write_simple(simple)
    assert read_simple(written) == simple
    for asked in {_matched(rule) for rule in _POOL}:
        assert _decide(written, asked, is_later) == _decide(rules, asked, is_later)


def test_a_list_of_qubes_own_window_comes_back_as_it_was() -> None:
    text = (
        "action=accept dsthost=a.org proto=tcp dstports=443-443 comment=x y\n"
        "action=accept specialtarget=dns\naction=accept proto=icmp\naction=drop"
    )
    simple = read_simple(parse(text))
    assert simple is not None
    assert "\n".join(map(format_rule, write_simple(simple))) == text


def test_exceptions_change_sides_with_the_policy() -> None:
    (rule,) = parse("action=accept dst4=10.0.0.0/8")
    lines = map(format_rule, write_simple(SimpleRules(Action.ACCEPT, (rule,))))
    assert list(lines) == ["action=drop dst4=10.0.0.0/8", "action=accept"]


@pytest.mark.parametrize(
    ("host", "port", "proto", "text"),
    [
        ("Example.org", "https", Proto.TCP, "dsthost=example.org proto=tcp"),
        ("10.0.0.0/8", "", None, "dst4=10.0.0.0/8"),
        ("", "53", Proto.UDP, "proto=udp dstports=53-53"),
        ("2001:db8::1", "", Proto.ICMP, "dst6=2001:db8::1/128 proto=icmp"),
    ],
)
def test_fields_of_a_rule_are_read(
    host: str, port: str, proto: Proto | None, text: str
) -> None:
    rule, problems = read_exception(host, port, proto, "")
    assert problems == {}
    assert rule is not None
    assert text in format_rule(rule)
    shown = "" if rule.dsthost is None else show_host(rule)
    shown_port = "" if rule.dstports is None else show_port(rule)
    assert read_exception(shown, shown_port, proto, "") == (rule, {})


def test_every_field_of_a_rule_has_its_own_problem() -> None:
    rule, problems = read_exception("a b", "80443", Proto.TCP, "käse")
    assert rule is None
    assert list(problems) == [RuleField.HOST, RuleField.PORT, RuleField.COMMENT]
    assert "1-65535" in problems[RuleField.PORT]


@pytest.mark.parametrize(
    ("port", "proto"), [("443", None), ("443:8443", Proto.TCP), ("443/udp", Proto.TCP)]
)
def test_ports_that_cannot_be_are_refused(port: str, proto: Proto | None) -> None:
    assert list(read_exception("a.org", port, proto, "")[1]) == [RuleField.PORT]


def test_a_rule_for_everything_is_no_exception() -> None:
    assert list(read_exception("", "", None, "x")[1]) == [RuleField.HOST]


def test_a_rule_with_more_than_the_fields_is_not_edited() -> None:
    whole, timed, dns = parse(
        "action=accept dst4=10.0.0.1\naction=accept dst4=10.0.0.1 expire=2000000000\n"
        "action=accept specialtarget=dns dst4=10.0.0.1"
    )
    assert [is_editable(rule) for rule in (whole, timed, dns)] == [True, False, False]
