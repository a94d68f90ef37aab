# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules as a caller of the Admin API writes them, and rule lists as files hold them."""

from __future__ import annotations

from dataclasses import replace

from fuzz.target import Target
from qubesforward.errors import InvalidRule
from qubesforward.model.rule import ForwardRule, OutboundRule, RuleList
from qubesforward.model.text import format_rule, parse_rules
from qubesforward.model.xml import decode_rule_list, encode_rule_list

_BOOT = "3d7e9c0a-0000-4000-8000-000000000001"
_NOW = 1_790_000_000.0

_LINES = (
    b"action=forward forwardtype=external proto=tcp src4=192.168.1.0/24"
    b" srcports=443-443 dstports=8443-8443 expire=1990000000 reach=internet"
    b" bypass=yes disposables=yes comment=example https server\n"
    b"action=forward forwardtype=internal src6=fd09::/64 srcports=53-53 expire=reboot\n"
    b"action=accept dsthost=example.com proto=tcp dstports=80-443\n"
    b"action=drop dst4=10.0.0.0/8\naction=accept specialtarget=dns\n"
    b"action=accept proto=icmp icmptype=8 comment=ping\n"
)


def _encoded() -> bytes:
    rules = parse_rules(_LINES.decode())
    forwards = [rule for rule in rules if isinstance(rule, ForwardRule)]
    outbound = [rule for rule in rules if isinstance(rule, OutboundRule)]
    return encode_rule_list(
        RuleList(
            tuple(outbound),
            tuple(replace(r, created=17, boot_id=_BOOT) for r in forwards),
            owner=_BOOT,
        ),
        0,
    )


def _parse_rules(data: bytes) -> str:
    rules = parse_rules(data.decode("latin-1"))
    text = "\n".join(map(format_rule, rules))
    assert text.isascii()
    assert parse_rules(text) == rules or not rules
    return f"{[type(rule).__name__ for rule in rules[:4]]}"


def _decode_xml(data: bytes) -> str:
    rules = decode_rule_list(data, _NOW, _BOOT)
    again = decode_rule_list(encode_rule_list(rules, -1), _NOW, _BOOT)
    assert replace(again, unreadable=()) == replace(rules, unreadable=())
    assert len(again.unreadable) == len(rules.unreadable)
    counts = (rules.outbound, rules.forwards, rules.unreadable)
    return f"{[min(len(count), 5) for count in counts]} {bool(rules.owner)}"


_V1 = (
    b'<QubesFirewallRules policy="deny" icmp="allow" dns="allow" yumProxy="deny">'
    b'<rule address="192.168.0.1" proto="tcp" port="80" toport="443"/>'
    b'<rule address="example.com" netmask="24" port="22"/></QubesFirewallRules>'
)

TARGETS = (
    Target(
        "rule-lines",
        _parse_rules,
        (InvalidRule,),
        (_LINES, *_LINES.splitlines()),
        (
            b" comment=",
            b" expire=+60",
            b"action=forward ",
            b" srchost=::/0",
            b"=",
            b"-",
        ),
    ),
    Target(
        "rule-xml",
        _decode_xml,
        (InvalidRule,),
        (_encoded(), _V1, b'<firewall version="2"><rules/></firewall>'),
        (
            b"<!DOCTYPE x [<!ENTITY a 'b'>]>",
            b"<rule>",
            b"</rule>",
            b"<rules>",
            b"<properties>",
            b'<property name="created">',
            b"</property>",
            b"<!-- -->",
            b"<?x y?>",
            b"<![CDATA[",
            b"]]>",
            b"&amp;",
            b"&#0;",
            b"&a;",
            b' xmlns:a="b"',
            b'<?xml version="1.0" encoding="utf-16"?>',
            b'<?xml version="1.0" encoding="utf-7"?>',
            b"\xff\xfe",
            b"<a>",
        ),
    ),
)
