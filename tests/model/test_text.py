# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import ANY4, ANY6
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import (
    REBOOT,
    Action,
    ForwardRule,
    ForwardType,
    OutboundRule,
    Proto,
    Rule,
)
from qubesforward.model.text import (
    LONGEST_LINE,
    LONGEST_TEXT,
    format_enforced,
    format_rule,
    parse_rule,
    parse_rules,
)
from tests.model import rule_strategies as some

RULES = some.forwards() | some.outbound_rules()


@given(RULES)
@some.quick
def test_rule_comes_back_from_its_line(rule: Rule) -> None:
    line = format_rule(rule)
    assert parse_rule(line) == rule
    assert len(line) <= LONGEST_LINE
    assert format_rule(parse_rule(line)) == line


@given(st.lists(RULES, max_size=5))
@some.quick
def test_rules_come_back_from_their_lines(rules: list[Rule]) -> None:
    text = "".join(f"{format_rule(rule)}\n" for rule in rules)
    assert parse_rules(text) == rules
    assert parse_rules(text.removesuffix("\n")) == rules


@given(st.text(max_size=200) | some.near(RULES.map(format_rule)))
@some.fuzz
def test_any_text_is_a_rule_or_invalid(text: str) -> None:
    try:
        rule = parse_rule(text)
    except InvalidRule:
        return
    assert parse_rule(format_rule(rule)) == rule


@given(st.binary(max_size=200))
@some.fuzz
def test_any_bytes_are_rules_or_invalid(data: bytes) -> None:
    try:
        rules = parse_rules(data.decode("latin-1"))
    except InvalidRule:
        return
    assert rules == []


# Lines as stock Qubes answers them to admin.vm.firewall.Get.
@pytest.mark.parametrize(
    "line",
    [
        "action=accept",
        "action=drop proto=icmp",
        "action=drop proto=icmp icmptype=8",
        "action=accept dsthost=qubes-os.org",
        "action=accept dst4=192.168.0.0/24 comment=Allow LAN",
        "action=accept dst6=fd00::1/128 proto=tcp dstports=443-443",
        "action=accept dsthost=www.example.com proto=udp dstports=1-65536",
        "action=accept specialtarget=dns comment=Allow DNS",
        "action=accept expire=2063292452 proto=tcp comment=Some comment, with spaces",
        "action=drop expire=1 dst4=1.2.3.4/32 proto=tcp specialtarget=dns"
        " dstports=0-53 comment= all of: them ",
    ],
)
def test_stock_line_comes_back_byte_for_byte(line: str) -> None:
    assert format_rule(parse_rule(line)) == line


@pytest.mark.parametrize(
    ("line", "normal"),
    [
        (
            "action=accept dsthost=10.0.0.1 proto=tcp dstports=80",
            "action=accept dst4=10.0.0.1/32 proto=tcp dstports=80-80",
        ),
        ("action=accept dst4=fd00:0::1", "action=accept dst6=fd00::1/128"),
        ("action=accept dstname=a.b", "action=accept dsthost=a.b"),
        ("proto=icmp  action=drop icmptype=08 ", "action=drop proto=icmp icmptype=8"),
        ("action=accept comment=", "action=accept"),
    ],
)
def test_other_input_is_brought_to_the_stock_form(line: str, normal: str) -> None:
    assert format_rule(parse_rule(line)) == normal


def test_enforced_form_has_neither_end_nor_comment() -> None:
    rule = parse_rule(
        "action=accept expire=5 dst4=1.2.3.0/24 proto=tcp dstports=80 comment=secret"
    )
    assert isinstance(rule, OutboundRule)
    text = "action=accept dst4=1.2.3.0/24 proto=tcp dstports=80-80"
    assert format_enforced(rule) == text


def test_forward_line_of_the_design() -> None:
    line = (
        "action=forward forwardtype=external proto=tcp src4=192.168.1.0/24"
        " srcports=443-443 dstports=8443-8443 expire=1790000000"
        " comment=example https server rule"
    )
    assert format_rule(parse_rule(line)) == line


def test_every_element_of_a_forward_has_its_place() -> None:
    line = (
        "action=forward forwardtype=internal proto=udp src6=fd00::/8"
        " srcports=1-9 dstports=11-19 expire=reboot reach=internet bypass=yes"
        " disposables=yes comment=all"
    )
    rule = parse_rule(line)
    assert isinstance(rule, ForwardRule)
    assert rule.expire == REBOOT
    assert format_rule(rule) == line


def test_input_of_forwards_is_lenient() -> None:
    rule = parse_rule(
        "srchost=10.0.0.1 srcports=443 forwardtype=external action=forward"
    )
    assert rule == ForwardRule(
        ForwardType.EXTERNAL,
        PortRange(443, 443),
        srchost=rule.srchost if isinstance(rule, ForwardRule) else None,
    )
    assert "src4=10.0.0.1/32" in format_rule(rule)


def test_everybody_of_a_family_is_not_everybody() -> None:
    forward = "action=forward forwardtype=external srcports=443 srchost="
    for text, network in (("0.0.0.0/0", ANY4), ("::/0", ANY6)):
        rule = parse_rule(forward + text)
        assert isinstance(rule, ForwardRule)
        assert rule.srchost == network
        assert f"src{network.version}={text}" in format_rule(rule)


FORWARD = "action=forward forwardtype=external srcports=443"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "action: missing; give one of accept, drop, forward"),
        ("proto=tcp", "action: missing; give one of accept, drop, forward"),
        ("action=allow", "action='allow': not one of accept, drop, forward"),
        ("accept", "'accept': give elements as NAME=VALUE, comment last"),
        ("action=accept colour=red", "'colour': not an element of a rule"),
        ("action=accept action=drop", "action: given twice; give it once"),
        ("action=accept dst4=1.2.3.4 dst6=::1", "dsthost: given twice; give it once"),
        ("action=accept dstports=80", "dstports=80-80: needs proto=tcp or proto=udp"),
        ("action=accept icmptype=8", "icmptype=8: needs proto=icmp"),
        (
            "action=accept proto=icmp icmptype=256",
            "icmptype='256': ICMP types are 0-255",
        ),
        (
            "action=accept proto=tcp dstports=65537",
            "dstports='65537': give a port or FIRST-LAST; ports are 1-65535",
        ),
        (
            "action=accept proto=tcp dstports=2-1",
            "dstports=2-1: the first port is above the last",
        ),
        ("action=accept expire=+5", "expire='+5': give seconds since 1970"),
        ("action=accept expire=reboot", "expire=reboot: only a forward can"),
        ("action=accept comment=a=b", "comment: '=' cannot be used; use letters"),
        ("action=accept\tproto=tcp", r"action='accept\tproto=tcp': not one of"),
        ("action=accept proto=tcp\r", r"proto='tcp\r': not one of tcp, udp, icmp"),
        (
            f"action=accept comment={'a' * 1025}",
            "comment: 1025 characters; at most 1024",
        ),
        (f"action=accept dsthost={'a' * 256}", "dsthost: 256 characters; at most 255"),
        ("x" * 4097, "rule of 4097 characters; at most 4096 fit"),
        ("action=forward srcports=443", "forwardtype: missing; give one of external"),
        ("action=forward forwardtype=internal", "srcports: missing; give the port"),
        (f"{FORWARD} dsthost=1.2.3.4", "dsthost: a forward does not take it"),
        (f"{FORWARD} dst4=1.2.3.4", "dsthost: a forward does not take it"),
        (f"{FORWARD} icmptype=8", "icmptype: a forward does not take it"),
        (f"{FORWARD} specialtarget=dns", "specialtarget: a forward does not take it"),
        (f"{FORWARD} proto=icmp", "proto=icmp: a forward takes tcp or udp"),
        (f"{FORWARD} dstports=1-2", "dstports=1-2: 2 inner ports do not fit 1 outer"),
        (f"{FORWARD} dstports=80443", "dstports=80443: ports are 1-65535"),
        (f"{FORWARD} dstports=80443-80443", "dstports=80443-80443: ports are 1-65535"),
        (f"{FORWARD} srchost=example.org", "srchost='example.org': give an IPv4 or"),
        (
            f"{FORWARD} src4=fd00::/8",
            "src4=fd00::/8: that is IPv6; write src6=fd00::/8",
        ),
        (f"{FORWARD} src6=1.2.3.4", "src6=1.2.3.4/32: that is IPv4; write src4="),
        (f"{FORWARD} src4=1.2.3.4 src6=::1", "srchost: given twice; give it once"),
        (f"{FORWARD} reach=world", "reach='world': not one of lan, internet"),
        (f"{FORWARD} bypass=no", "bypass='no': only yes can be given"),
        (f"{FORWARD} disposables=1", "disposables='1': only yes can be given"),
        (f"{FORWARD} expire=tomorrow", "expire='tomorrow': give seconds since 1970"),
        (f"{FORWARD} created=1", "'created': not an element of a rule"),
        (
            "action=forward forwardtype=outside srcports=443",
            "forwardtype='outside': not one of external, internal",
        ),
        (
            "action=forward forwardtype=external srcports=80443",
            "srcports=80443: ports are 1-65535",
        ),
    ],
)
def test_error_says_what_where_and_what_to_do(line: str, message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_rule(line)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "element",
    [
        "forwardtype=external",
        "srcports=443",
        "srchost=1.2.3.4",
        "src4=1.2.3.4",
        "reach=lan",
        "bypass=yes",
        "disposables=yes",
    ],
)
@pytest.mark.parametrize("action", ["accept", "drop"])
def test_outbound_rule_takes_nothing_of_a_forward(action: str, element: str) -> None:
    with pytest.raises(InvalidRule, match="only a forward takes it"):
        parse_rule(f"action={action} proto=tcp {element}")


def test_error_in_a_list_names_its_line() -> None:
    with pytest.raises(InvalidRule, match=r"^line 2: action='allow': not one of"):
        parse_rules("action=accept\naction=allow\n")
    with pytest.raises(InvalidRule, match=r"^line 2: action: missing"):
        parse_rules("action=accept\n\naction=drop\n")


@pytest.mark.parametrize("separator", ["\r", "\v", "\f", "\x1c", "\x85", "\u2028"])
def test_only_line_ends_separate_rules(separator: str) -> None:
    with pytest.raises(InvalidRule):
        parse_rules(f"action=accept comment=a{separator}action=drop")


def test_list_is_bounded() -> None:
    assert parse_rules("") == []
    with pytest.raises(InvalidRule, match="at most"):
        parse_rules("a" * (LONGEST_TEXT + 1))


def test_comment_is_last_and_takes_all_that_is_left() -> None:
    rule = parse_rule("action=drop proto=tcp comment=not proto: udp, that is  tcp")
    assert rule == OutboundRule(
        Action.DROP, proto=Proto.TCP, comment="not proto: udp, that is  tcp"
    )
