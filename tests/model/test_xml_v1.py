# SPDX-License-Identifier: GPL-2.0-or-later
import pytest

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import RuleList
from qubesforward.model.text import format_rule
from qubesforward.model.xml import decode_rule_list, encode_rule_list


def decode(root: str, *rules: str) -> RuleList:
    text = f"<QubesFirewallRules {root}>\n{''.join(rules)}\n</QubesFirewallRules>"
    return decode_rule_list(text.encode(), 0, "boot")


def lines(rules: RuleList) -> list[str]:
    return [format_rule(rule) for rule in rules.outbound]


DENY = 'policy="deny" dns="allow" icmp="allow" yumProxy="allow"'


def test_deny_policy_has_exceptions_that_accept() -> None:
    rules = decode(
        DENY,
        '<rule address="192.168.0.0" proto="tcp" netmask="24" port="80"/>',
        '<rule address="qubes-os.org" proto="tcp" port="443"/>',
    )
    assert lines(rules) == [
        "action=accept specialtarget=dns",
        "action=accept proto=icmp",
        "action=accept dst4=192.168.0.0/24 proto=tcp dstports=80-80",
        "action=accept dsthost=qubes-os.org proto=tcp dstports=443-443",
    ]
    assert rules.forwards == ()
    assert rules.owner == ""


def test_allow_policy_has_exceptions_that_drop_and_ends_in_accept() -> None:
    rules = decode('policy="allow" dns="deny"', '<rule address="10.0.0.1"/>')
    assert lines(rules) == [
        "action=drop specialtarget=dns",
        "action=accept proto=icmp",
        "action=drop dst4=10.0.0.1/32",
        "action=accept",
    ]


def test_dns_and_icmp_follow_the_policy_where_they_are_not_given() -> None:
    assert lines(decode('policy="deny"')) == [
        "action=drop specialtarget=dns",
        "action=drop proto=icmp",
    ]


@pytest.mark.parametrize(
    ("attributes", "line"),
    [
        ('address="a.b" port="1" toport="9"', "dsthost=a.b proto=tcp dstports=1-9"),
        ('address="a.b" netmask="32"', "dsthost=a.b"),
        ('address="10.0.0.0/8" netmask="32"', "dst4=10.0.0.0/8"),
        ('address="0.0.0.0" netmask="0"', "dst4=0.0.0.0/0"),
        ('address="fd00::1"', "dst6=fd00::1/128"),
        ('address="10.0.0.1" proto="any"', "dst4=10.0.0.1/32"),
        ('address="10.0.0.1" proto="" port=""', "dst4=10.0.0.1/32"),
        ('proto="udp" port="53"', "proto=udp dstports=53-53"),
        ('address="a.b" expire="1463292452"', "expire=1463292452 dsthost=a.b"),
    ],
)
def test_rule_by_its_attributes(attributes: str, line: str) -> None:
    assert lines(decode(DENY, f"<rule {attributes}/>"))[2] == f"action=accept {line}"


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ('<rule address="10.0.0.0" netmask="33"/>', "prefix lengths are 0-32"),
        ('<rule address="A.B"/>', "a name in lower case"),
        ('<rule port="http"/>', "give a port or FIRST-LAST"),
        ('<rule proto="any" port="80"/>', "needs proto=tcp or proto=udp"),
        ('<rule colour="red"/>', "not an attribute of a version 1 rule"),
        ("<rule><properties/></rule>", "not a rule of version 1"),
        ("<gate/>", "not a rule of version 1"),
    ],
)
def test_unreadable_rule_is_kept_and_costs_no_other(rule: str, reason: str) -> None:
    rules = decode(DENY, rule, "<!-- fine -->", '<rule address="a.b"/>')
    assert lines(rules)[2:] == ["action=accept dsthost=a.b"]
    assert reason in rules.unreadable[0].reason
    assert rules.unreadable[0].xml == rule


@pytest.mark.parametrize("root", ["", 'policy="maybe"', 'version="1"'])
def test_file_without_a_policy_is_refused(root: str) -> None:
    with pytest.raises(InvalidRule, match="not one of allow, deny"):
        decode(root)


def test_is_saved_as_version_two() -> None:
    rules = decode(DENY, '<rule address="a.b"/>')
    saved = encode_rule_list(rules, 0)
    assert saved.startswith(b'<firewall version="2">')
    assert decode_rule_list(saved, 0, "boot") == rules
