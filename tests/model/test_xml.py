# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import replace

import pytest

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import (
    REBOOT,
    Action,
    ForwardRule,
    OutboundRule,
    RuleList,
    UnreadableRule,
)
from qubesforward.model.text import format_rule, parse_rule
from qubesforward.model.xml import (
    LARGEST_DOCUMENT,
    MOST_RULES,
    MOST_TAGS,
    decode_rule_list,
    encode_rule_list,
)

NOW = 1_000_000
BOOT = "6f1c0a52-3a2e-4b7e-9d0c-0d4d3a1f2b11"
OWNER = "0b5d9f0e-57f9-4c4e-8a53-6a4d0c3e9f77"

HTTPS = "action=forward forwardtype=external proto=tcp srcports=443-443"


def forward(line: str) -> ForwardRule:
    rule = parse_rule(line)
    assert isinstance(rule, ForwardRule)
    return rule


def decode(text: str) -> RuleList:
    return decode_rule_list(text.encode(), NOW, BOOT)


def document(*rules: str) -> str:
    return f'<firewall version="2"><rules>{"".join(rules)}</rules></firewall>'


def rule_xml(**properties: str) -> str:
    written = "".join(
        f'<property name="{name.replace("_", "-")}">{value}</property>'
        for name, value in properties.items()
    )
    return f"<rule><properties>{written}</properties></rule>"


ACCEPT = rule_xml(action="accept")


def test_written_in_the_shape_of_qubes() -> None:
    rule = parse_rule(
        "action=accept expire=2000000 dst4=10.0.0.0/8 proto=tcp specialtarget=dns"
        " dstports=80-80 comment=web"
    )
    assert isinstance(rule, OutboundRule)
    rules = RuleList((rule, OutboundRule(Action.DROP)))
    assert encode_rule_list(rules, NOW).decode() == (
        '<firewall version="2">\n'
        "  <rules>\n"
        "    <rule>\n"
        "      <properties>\n"
        '        <property name="action">accept</property>\n'
        '        <property name="comment">web</property>\n'
        '        <property name="expire">2000000</property>\n'
        '        <property name="dsthost">10.0.0.0/8</property>\n'
        '        <property name="proto">tcp</property>\n'
        '        <property name="specialtarget">dns</property>\n'
        '        <property name="dstports">80</property>\n'
        "      </properties>\n"
        "    </rule>\n"
        "    <rule>\n"
        "      <properties>\n"
        '        <property name="action">drop</property>\n'
        "      </properties>\n"
        "    </rule>\n"
        "  </rules>\n"
        "</firewall>\n"
    )
    empty = b'<firewall version="2">\n  <rules/>\n</firewall>\n'
    assert encode_rule_list(RuleList(()), NOW) == empty


def test_written_as_lxml_would() -> None:
    from lxml import etree

    data = encode_rule_list(RuleList(forwards=(forward(HTTPS),), owner=OWNER), NOW)
    parser = etree.XMLParser(remove_blank_text=True)
    tree = etree.fromstring(data, parser)
    assert etree.tostring(tree, encoding="UTF-8", pretty_print=True) == data


def test_forward_is_stored_with_its_own_properties() -> None:
    rule = replace(
        forward(
            "action=forward forwardtype=internal proto=udp src6=fd00::/8"
            " srcports=1-9 dstports=11-19 expire=reboot reach=internet bypass=yes"
            " disposables=yes comment=all"
        ),
        created=123456789,
        boot_id=BOOT,
    )
    data = encode_rule_list(RuleList((), (rule,)), NOW).decode()
    for name, value in {
        "action": "forward",
        "comment": "all",
        "expire": "reboot",
        "forwardtype": "internal",
        "proto": "udp",
        "srchost": "fd00::/8",
        "srcports": "1-9",
        "dstports": "11-19",
        "reach": "internet",
        "bypass": "yes",
        "disposables": "yes",
        "boot-id": BOOT,
        "created": "123456789",
    }.items():
        assert f'<property name="{name}">{value}</property>' in data


def test_both_kinds_may_mix_in_any_order() -> None:
    https = rule_xml(action="forward", forwardtype="external", srcports="443")
    rules = decode(document(https, ACCEPT, https, rule_xml(action="drop")))
    assert [rule.action for rule in rules.outbound] == ["accept", "drop"]
    assert len(rules.forwards) == 2


def test_early_version_two_with_a_policy_is_read_as_qubes_reads_it() -> None:
    rules = decode(document(ACCEPT).replace("<rules>", "<policy>drop</policy><rules>"))
    assert rules == RuleList((OutboundRule(Action.ACCEPT),))


def test_default_is_not_invented_for_an_empty_list() -> None:
    assert decode(document()).outbound == ()


def test_forward_without_age_is_not_the_oldest() -> None:
    https = rule_xml(action="forward", forwardtype="external", srcports="443")
    assert decode(document(https)).forwards[0].created == NOW * 1_000_000


def test_ended_rules_are_read_and_dropped_on_save() -> None:
    ended, running = forward(f"{HTTPS} expire=1"), forward(f"{HTTPS} expire=3")
    outbound = tuple(OutboundRule(Action.DROP, expire=end) for end in (1, 2, 3))
    data = encode_rule_list(RuleList(outbound, (ended, running)), now=0)
    assert decode_rule_list(data, 2, BOOT).forwards == (ended, running)
    saved = decode_rule_list(
        encode_rule_list(decode_rule_list(data, 2, BOOT), now=2), 2, BOOT
    )
    assert saved.forwards == (running,)
    assert saved.outbound == outbound[2:]


def test_forward_does_not_outlive_its_boot() -> None:
    rule = replace(forward(f"{HTTPS} expire=reboot"), boot_id=BOOT)
    data = encode_rule_list(RuleList(forwards=(rule,)), NOW)
    assert decode_rule_list(data, NOW, BOOT).forwards == (rule,)
    assert decode_rule_list(data, NOW, "another-boot").forwards == ()
    stray = encode_rule_list(RuleList(forwards=(replace(rule, boot_id=""),)), NOW)
    assert decode_rule_list(stray, NOW, BOOT).forwards == ()


_CREATED = '<property name="created">1</property>'


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        (rule_xml(action="allow"), "action='allow': not one of accept, drop, forward"),
        (rule_xml(action="accept", colour="red"), "'colour': not an element"),
        (rule_xml(action="accept", comment="&lt;b>"), "comment: '<' cannot be used"),
        (rule_xml(action="accept", srcports="443"), "srcports: only a forward"),
        (rule_xml(action="accept", created="1"), "only a forward has them"),
        (rule_xml(action="forward", srcports="443"), "forwardtype: missing"),
        (
            rule_xml(
                action="forward", forwardtype="external", srcports="1", created="x"
            ),
            "created='x': give microseconds since 1970",
        ),
        (
            rule_xml(
                action="forward", forwardtype="external", srcports="1", boot_id="=" * 9
            ),
            "boot-id: '=' cannot be used",
        ),
        (
            ACCEPT.replace("</properties>", f"{2 * _CREATED}</properties>"),
            "created: given twice",
        ),
        ("<rule/>", "action: missing"),
        ("<rule><properties/></rule>", "action: missing"),
        ("<gate/>", "not a rule"),
        (ACCEPT.replace("<rule>", "<rule weight='1'>"), "rule: takes no attributes"),
        (ACCEPT.replace("<properties>", "<properties>x"), "properties: takes no text"),
        (ACCEPT.replace("</rule>", "<more/></rule>"), "rule: holds more than"),
        (ACCEPT.replace("<property ", "<property ref='a' "), "property: takes a name"),
        (ACCEPT.replace("accept", "acc<b/>ept"), "property: takes a name"),
        (ACCEPT.replace("accept", "accept<!-- not -->"), "property: takes a name"),
        (rule_xml(action="accept", comment="a" * 1025), "comment: 1025 characters"),
        (
            ACCEPT.replace(
                "</properties>",
                '<property name="action">drop</property>' "</properties>",
            ),
            "action: given twice",
        ),
    ],
)
def test_unreadable_rule_is_kept_and_costs_no_other(xml: str, reason: str) -> None:
    rules = decode(document(ACCEPT, xml, rule_xml(action="drop")))
    assert [rule.action for rule in rules.outbound] == ["accept", "drop"]
    assert rules.forwards == ()
    (unreadable,) = rules.unreadable
    assert unreadable.reason.startswith("rule 2: ")
    assert reason in unreadable.reason
    saved = encode_rule_list(rules, NOW)
    assert decode_rule_list(saved, NOW, BOOT).unreadable[0].xml == unreadable.xml
    assert encode_rule_list(decode_rule_list(saved, NOW, BOOT), NOW) == saved


def test_unreadable_rule_is_kept_to_the_letter() -> None:
    kept = '<rule n="1"><properties>\n\n <x>a &amp; é</x><!-- y --></properties></rule>'
    rules = decode(document(f"{kept}\n\n", ACCEPT))
    assert rules.unreadable[0].xml == kept


def test_comments_beside_rules_are_no_rules() -> None:
    text = ACCEPT.replace("<properties>", "<!-- web --><properties><?pi?>")
    rules = decode(f"<?xml version='1.0'?><!-- x -->{document('<!-- y -->', text)}")
    assert rules == RuleList((OutboundRule(Action.ACCEPT),))


def test_unknown_part_of_a_newer_file_is_kept() -> None:
    text = (
        f'<firewall version="2"><rules>{ACCEPT}</rules><zones><z/></zones></firewall>'
    )
    assert decode(text).unreadable[0].xml == "<zones><z/></zones>"


@pytest.mark.parametrize("owner", ["a" * 65, "a=b", "&quot;&gt;"])
def test_strange_owner_is_nobody_and_not_everybody(owner: str) -> None:
    text = document(ACCEPT).replace("<firewall", f'<firewall owner="{owner}"')
    assert decode(text).owner == "unknown"


def test_owner_cannot_break_the_file() -> None:
    with pytest.raises(InvalidRule, match="owner"):
        encode_rule_list(RuleList(owner='"><rules/>'), NOW)


_BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    '<firewall version="2" owner="&b;"><rules>&b;</rules></firewall>'
)
# Minutes of work for libxml2, if it got them.
_MANY_ATTRIBUTES = " ".join(f"a{number}=''" for number in range(400_000))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"\0", "not XML"),
        (b"action=accept", "not XML"),
        (b"<firewall version='2'><rules>", "line 1: not XML"),
        (
            b"<firewall version='2'>\n<rules>&nbsp;</rules></firewall>",
            "line 2: not XML",
        ),
        (b"<firewall version='2'><rules/></firewall>x", "not XML"),
        (b"<firewall version='2'/>", "there is no <firewall> with <rules>"),
        (b"<qubes version='2'><rules/></qubes>", "there is no <firewall> with <rules>"),
        (b"<firewall version='3'><rules/></firewall>", "version='3': only versions"),
        (b"<firewall><rules/></firewall>", "policy='': not one of allow, deny"),
        (_BOMB.encode(), "DOCTYPE"),
        (b"<!DOCTYPE x SYSTEM 'file:///etc/passwd'>" + b"<x/>", "DOCTYPE"),
        (f"<?xml version='1.0' encoding='utf-16'?>{_BOMB}".encode("utf-16"), "not XML"),
        (
            f"<?xml version='1.0' encoding='utf-7'?>{_BOMB}".replace(
                "<!D", "+ADw-!D"
            ).encode(),
            "not XML",
        ),
        (b"<x>" * 300 + b"</x>" * 300, "not XML"),
        (b" " * (LARGEST_DOCUMENT + 1), "bytes; a firewall.xml has at most"),
        (b"<" * (MOST_TAGS + 1), "tags or attributes; a firewall.xml has fewer"),
        (b"=" * (MOST_TAGS + 1), "tags or attributes; a firewall.xml has fewer"),
        (document(f"<a {_MANY_ATTRIBUTES}/>").encode(), "a tag and text of over 4096"),
        (document('<a xmlns:b = "c"/>').encode(), "no namespaces"),
        (document("<a/>" * (MOST_RULES + 1)).encode(), "rules; a firewall.xml has"),
    ],
    ids=lambda value: value if isinstance(value, str) else "data",
)
def test_what_is_no_rule_list_is_refused(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        decode_rule_list(data, NOW, BOOT)
    assert reason in str(caught.value)


def test_byte_order_mark_is_no_obstacle() -> None:
    rules = decode_rule_list(document(ACCEPT).encode("utf-8-sig"), NOW, BOOT)
    assert rules.outbound == (OutboundRule(Action.ACCEPT),)


def test_no_list_is_written_that_could_not_be_read_again() -> None:
    many = (OutboundRule(Action.ACCEPT),) * (MOST_RULES + 1)
    with pytest.raises(InvalidRule, match="at most"):
        encode_rule_list(RuleList(many), NOW)
    long = UnreadableRule(f"<x>{'a' * LARGEST_DOCUMENT}</x>", "")
    with pytest.raises(InvalidRule, match="at most"):
        encode_rule_list(RuleList(unreadable=(long,)), NOW)


def test_ten_thousand_full_forwards_fit() -> None:
    rule = replace(
        forward(f"{HTTPS} src6=fd00::/8 expire=reboot comment={'a' * 1024}"),
        created=2**60,
        boot_id=BOOT,
    )
    data = encode_rule_list(RuleList(forwards=(rule,) * 10000), NOW)
    assert len(decode_rule_list(data, NOW, BOOT).forwards) == 10000


def test_reboot_marker_is_a_value_of_its_own() -> None:
    https = rule_xml(
        action="forward",
        forwardtype="external",
        srcports="443",
        expire=REBOOT,
        boot_id=BOOT,
    )
    (rule,) = decode(document(https)).forwards
    assert rule.expire == REBOOT
    assert format_rule(rule).endswith("expire=reboot")
