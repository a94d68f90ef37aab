# SPDX-License-Identifier: GPL-2.0-or-later
"""What is declared, as rules; and what differs from it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from qubesforward.errors import InvalidRule
from qubesforward.fleet.declaration import (
    parse_closings,
    parse_rules,
    plan_absent,
    plan_present,
)
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import format_rule, parse_rule

NOW = 1_790_000_000


def forward(words: str) -> ForwardRule:
    rule = parse_rule(f"action=forward {words}")
    assert isinstance(rule, ForwardRule)
    return rule


WEB = forward("forwardtype=external proto=tcp srcports=443-443 dstports=8443-8443")
DNS = forward("forwardtype=internal proto=udp srcports=53-53")
RANGE = forward("forwardtype=external proto=tcp srcports=440-450")


@pytest.mark.parametrize(
    ("declared", "line"),
    [
        ({"port": 443}, "forwardtype=external proto=tcp srcports=443-443"),
        (
            {"port": "8000-8010", "to": "9000-9010", "proto": "udp", "comment": "a b"},
            "forwardtype=external proto=udp srcports=8000-8010 dstports=9000-9010"
            " comment=a b",
        ),
        (
            {"port": 53, "proto": "both", "internal": True, "from": "10.137.0.0/16"},
            "forwardtype=internal src4=10.137.0.0/16 srcports=53-53",
        ),
        (
            {
                "port": 80,
                "until": "reboot",
                "reach": "internet",
                "bypass_tunnel": True,
                "disposables": True,
                "to": None,
            },
            "forwardtype=external proto=tcp srcports=80-80 expire=reboot reach=internet"
            " bypass=yes disposables=yes",
        ),
    ],
)
def test_what_is_declared_as_a_rule(declared: dict[str, Any], line: str) -> None:
    (rule,) = parse_rules([declared], NOW)
    assert format_rule(rule) == f"action=forward {line}"


def test_a_rule_for_each_source_and_none_twice() -> None:
    one = {"port": 22, "from": ["192.168.1.0/24", "2001:db8::/32"]}
    assert len(parse_rules([one, one], NOW)) == 2


def test_what_is_over_is_not_wanted_any_more() -> None:
    assert parse_rules([{"port": 22, "until": NOW}], NOW) == []
    assert len(parse_rules([{"port": 22, "until": NOW + 1}], NOW)) == 1


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ([{}], "forward 1: port: missing"),
        ([{"port": 443}, {"port": 80443}], "forward 2: port=80443: ports are 1-65535"),
        # YAML takes 80:22 for the number 4822; as a text it is refused at least.
        ([{"port": "80:22"}], "forward 1: port='80:22': give a port"),
        ([{"port": True}], "forward 1: port: give a text or a number"),
        ([{"port": 443, "confirmed": True}], "forward 1: 'confirmed': is not known"),
        ([{"port": 443, "proto": "icmp"}], "forward 1: proto='icmp'"),
        ([{"port": 443, "from": 5}], "forward 1: from: give"),
        ([{"port": 443, "from": "192.168.1.5/24"}], "did you mean 192.168.1.0/24"),
        ([{"port": 443, "until": "18:30"}], "forward 1: until='18:30': give a day"),
        ([{"port": 443, "internal": "yes"}], "forward 1: internal='yes': give true"),
        ([{"port": 443, "internal": True, "reach": "internet"}], "never reaches"),
        ([{"port": 443, "comment": "a\nb"}], "forward 1: comment"),
        (
            [{"port": 443}, {"port": 443, "comment": "x"}],
            "forward 2: is declared twice",
        ),
        (["443"], "forwards: give a list"),
        ("443", "forwards: give a list"),
        ([{"port": 443}] * 1001, "at most 1000"),
    ],
)
def test_bad_declarations_say_which_and_what(declared: Any, said: str) -> None:
    with pytest.raises(InvalidRule, match=re.escape(said)):
        parse_rules(declared, NOW)


def test_present_adds_what_differs_and_keeps_the_others() -> None:
    assert not plan_present([WEB, DNS], (), [WEB])
    change = plan_present([DNS], (), [WEB])
    assert (change.added, change.removed) == ((WEB,), ())
    noted = forward(f"{format_rule(WEB).partition(' ')[2]} comment=new")
    change = plan_present([WEB], (), [noted])
    assert change.added == (noted,)
    assert change.after == f"{format_rule(noted)}\n"


def test_what_waits_for_confirmation_is_confirmed_by_being_declared() -> None:
    change = plan_present([WEB], {WEB.place}, [WEB])
    assert change.added == (WEB,)
    assert change.before.startswith("not confirmed: ")
    assert change.after == f"{format_rule(WEB)}\n"


def test_exact_removes_the_others() -> None:
    change = plan_present([WEB, DNS], (), [WEB], only=True)
    assert (change.added, change.removed) == ((), (DNS,))
    assert plan_present([WEB, DNS], (), [], only=True).after == ""


@pytest.mark.parametrize(
    ("declared", "removed"),
    [
        ({"port": 443}, (WEB,)),
        ({"port": 443, "proto": "tcp", "to": 8443}, (WEB,)),
        ({"port": 443, "proto": "udp"}, ()),
        ({"port": 443, "to": 443}, ()),
        ({"port": 443, "internal": True}, ()),
        ({"port": 53}, (DNS,)),
        ({"port": 80}, ()),
    ],
)
def test_absent_is_all_that_fits(
    declared: dict[str, Any], removed: tuple[ForwardRule, ...]
) -> None:
    change = plan_absent([WEB, DNS], (), parse_closings([declared]))
    assert change.removed == removed


def test_half_a_forward_cannot_be_absent() -> None:
    with pytest.raises(InvalidRule, match="there is 440-450"):
        plan_absent([RANGE], (), parse_closings([{"port": 443}]))
    assert not plan_absent([RANGE], (), parse_closings([{"port": 443, "proto": "udp"}]))


def test_a_comment_says_nothing_about_what_is_to_be_absent() -> None:
    with pytest.raises(InvalidRule, match="comment"):
        parse_closings([{"port": 443, "comment": "x"}])
