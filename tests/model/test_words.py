# SPDX-License-Identifier: GPL-2.0-or-later
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import ForwardRule, OutboundRule, Rule
from qubesforward.model.text import format_rule
from qubesforward.model.words import parse_words
from tests.model import rule_strategies as some

NOW = 1_000_000


def read(*words: str) -> str:
    return format_rule(parse_words(words, NOW))


# What the stock tool takes, and the line that it then sends.
@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("accept", "action=accept"),
        ("drop proto=icmp", "action=drop proto=icmp"),
        ("accept 127.0.0.1", "action=accept dst4=127.0.0.1/32"),
        ("dsthost=127.0.0.1 action=accept", "action=accept dst4=127.0.0.1/32"),
        ("dst4=127.0.0.1 accept", "action=accept dst4=127.0.0.1/32"),
        ("dst6=127.0.0.1 accept", "action=accept dst4=127.0.0.1/32"),
        ("accept fd00::/8", "action=accept dst6=fd00::/8"),
        (
            "accept 127.0.0.1 tcp 80",
            "action=accept dst4=127.0.0.1/32 proto=tcp dstports=80-80",
        ),
        (
            "accept www.example.com udp 1200-1400",
            "action=accept dsthost=www.example.com proto=udp dstports=1200-1400",
        ),
        (
            "accept 127.0.0.1 icmp 8",
            "action=accept dst4=127.0.0.1/32 proto=icmp icmptype=8",
        ),
        (
            "dsthost=127.0.0.1 accept dstports=443 tcp",
            "action=accept dst4=127.0.0.1/32 proto=tcp dstports=443-443",
        ),
        (
            "proto=icmp dsthost=10.0.0.1 accept 8",
            "action=accept dst4=10.0.0.1/32 proto=icmp icmptype=8",
        ),
        (
            "action=drop specialtarget=dns proto=udp",
            "action=drop proto=udp specialtarget=dns",
        ),
        ("accept expire=1525054180", "action=accept expire=1525054180"),
        ("accept expire=+300", f"action=accept expire={NOW + 300}"),
        ("accept 10.0.0.1 tcp", "action=accept dst4=10.0.0.1/32 proto=tcp"),
    ],
)
def test_stock_forms(words: str, line: str) -> None:
    assert read(*words.split()) == line


def test_comment_is_one_word_with_spaces() -> None:
    assert (
        read("accept", "192.168.0.0/24", "comment=Allow LAN")
        == "action=accept dst4=192.168.0.0/24 comment=Allow LAN"
    )


@pytest.mark.parametrize("anywhere", ["0.0.0.0/0", "::/0"])
def test_anywhere_is_left_out_as_by_the_stock_tool(anywhere: str) -> None:
    assert read("drop", anywhere, "tcp") == "action=drop proto=tcp"


@pytest.mark.parametrize(
    "words",
    [
        "forward external tcp 443",
        "forward external tcp srcports=443",
        "action=forward external tcp 443",
        "srcports=443 forward external tcp",
        "forward proto=tcp external 443",
        "external 443 proto=tcp action=forward",
        "proto=tcp srcports=443 forwardtype=external action=forward",
    ],
)
def test_forward_by_place_by_name_and_mixed(words: str) -> None:
    line = "action=forward forwardtype=external proto=tcp srcports=443-443"
    assert read(*words.split()) == line


def test_forward_with_all_its_places() -> None:
    line = (
        "action=forward forwardtype=internal proto=udp src4=10.137.0.0/16"
        " srcports=80-89 dstports=8000-8009"
    )
    assert (
        read("forward", "internal", "udp", "80-89", "8000-8009", "10.137.0.0/16")
        == line
    )


def test_forward_with_all_its_names() -> None:
    words = (
        "action=forward forwardtype=external srcports=443 dstports=8443 proto=tcp"
        " src6=fd00::/8 reach=internet bypass=yes disposables=yes expire=reboot"
    )
    assert read(*words.split(), "comment=by name") == (
        "action=forward forwardtype=external proto=tcp src6=fd00::/8 srcports=443-443"
        " dstports=8443-8443 expire=reboot reach=internet bypass=yes disposables=yes"
        " comment=by name"
    )


def test_the_two_examples_of_the_proposal() -> None:
    external = (
        "action=forward proto=tcp forwardtype=external srcports=443-443"
        " dstports=8443-8443 srchost=0.0.0.0/0 expire=+500000"
    )
    assert read(*external.split(), "comment=example https server rule") == (
        "action=forward forwardtype=external proto=tcp src4=0.0.0.0/0"
        f" srcports=443-443 dstports=8443-8443 expire={NOW + 500000}"
        " comment=example https server rule"
    )
    internal = (
        "action=forward proto=tcp forwardtype=internal srcports=80-80"
        " dstports=8000-8000 srchost=10.137.0.0/16 expire=+500000"
    )
    assert read(*internal.split(), "comment=example http server rule") == (
        "action=forward forwardtype=internal proto=tcp src4=10.137.0.0/16"
        f" srcports=80-80 dstports=8000-8000 expire={NOW + 500000}"
        " comment=example http server rule"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "no rule given; it starts with one of accept, drop, forward"),
        ("allow", "action='allow': not one of accept, drop, forward"),
        ("proto=tcp", "action: missing"),
        ("accept 1.2.3.4 tcp 80 8", "'8': no place is left for it"),
        ("accept 1.2.3.4 icmp 8 80", "'80': no place is left for it"),
        ("accept accept dsthost=1.2.3.4", "proto='accept': not one of tcp, udp, icmp"),
        ("accept proto=tcp proto=udp", "proto: given twice"),
        ("accept dst4=1.2.3.4 dst6=::1", "dsthost: given twice"),
        ("accept colour=red", "'colour': not an element of a rule"),
        ("accept expire=+soon", "expire='soon': give seconds from now, as +300"),
        ("accept expire=+-5", "expire='-5': give seconds from now, as +300"),
        ("accept expire=+253402300799", "give seconds from now, as +300"),
        ("accept expire=reboot", "expire=reboot: only a forward can end with the boot"),
        ("accept comment=a=b", "comment: '=' cannot be used"),
        ("accept created=1", "'created': not an element of a rule"),
        ("forward external tcp", "srcports: missing"),
        ("forward tcp 443", "srcports: missing"),
        ("forward external tcp 443 dsthost=1.2.3.4", "dsthost: a forward does not"),
        ("forward external tcp 443 443 ::/0 x", "'x': no place is left for it"),
        ("forward external tcp 443 80443-80443", "dstports=80443-80443: ports are"),
        ("accept srcports=443", "srcports: only a forward takes it"),
    ],
)
def test_error_says_what_to_do(words: str, message: str) -> None:
    with pytest.raises(InvalidRule) as caught:
        parse_words(words.split(), NOW)
    assert message in str(caught.value)


def test_words_are_bounded() -> None:
    with pytest.raises(InvalidRule, match="rule of 65 words; at most 64 fit"):
        parse_words(["accept"] * 65, NOW)


def _words_of(rule: Rule) -> list[str]:
    line, marker, comment = f" {format_rule(rule)}".partition(" comment=")
    return line.split() + ([f"comment={comment}"] if marker else [])


@given(st.data())
@some.quick
def test_rule_comes_back_from_its_words_in_any_order(data: st.DataObject) -> None:
    rule = data.draw(some.forwards() | some.outbound_rules())
    words = data.draw(st.permutations(_words_of(rule)))
    if isinstance(rule, OutboundRule) and rule.dsthost is not None:
        is_anywhere = rule.dsthost.text.endswith("/0")
        rule = replace(rule, dsthost=None if is_anywhere else rule.dsthost)
    assert parse_words(words, NOW) == rule


@given(
    st.lists(
        st.sampled_from(
            "accept drop forward external internal tcp icmp 443 ::/0".split()
        )
        | st.text(max_size=8)
        | some.near((some.forwards() | some.outbound_rules()).map(format_rule)),
        max_size=6,
    )
)
@some.fuzz
def test_any_words_are_a_rule_or_invalid(words: list[str]) -> None:
    try:
        rule = parse_words(words, NOW)
    except InvalidRule:
        return
    assert isinstance(rule, OutboundRule | ForwardRule)
