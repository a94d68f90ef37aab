# SPDX-License-Identifier: GPL-2.0-or-later
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.nft.layout import RULES_PER_CHAIN
from qubesforward.nft.netlink_wire import encode_attribute, encode_text
from qubesforward.nft.readback import (
    PresentRule,
    decode_generation,
    decode_rule,
    decode_table_flags,
    decode_table_name,
    fingerprint,
    handles_of_ours,
    has_all_rules,
)

HEADER = b"\x01\0\0\0"


def rule_payload(userdata: bytes) -> bytes:
    return (
        HEADER
        + encode_text(1, "qubes")
        + encode_text(2, "custom-forward")
        + encode_attribute(3, (7).to_bytes(8, "big"))
        + encode_attribute(7, userdata)
    )


@pytest.mark.parametrize(
    ("userdata", "comment"),
    [
        (b"", ""),
        (b"\0\x0equbes-forward\0", "qubes-forward"),
        (b"\x05\x02xx\0\x0equbes-forward\0", "qubes-forward"),
        (b"\0\x0fqubes-forwarder\0", "qubes-forwarder"),
        (b"\0\xff", ""),
    ],
)
def test_a_rules_comment_is_found_in_its_user_data(
    userdata: bytes, comment: str
) -> None:
    rule = decode_rule(rule_payload(userdata))
    assert (rule.chain, rule.handle) == ("custom-forward", 7)
    assert rule.comment == comment


def test_only_our_comment_makes_a_rule_ours() -> None:
    rules = [
        PresentRule("custom-forward", handle, b"", comment)
        for handle, comment in enumerate(["", "qubes-forward", "qubes-forward x"])
    ]
    assert handles_of_ours(rules) == (1,)


def all_rules() -> list[PresentRule]:
    return [
        PresentRule(chain, number, b"%d" % number, "")
        for chain, count in RULES_PER_CHAIN.items()
        for number in range(count)
    ]


def test_a_lost_or_added_rule_is_missed() -> None:
    rules = all_rules()
    assert has_all_rules(rules)
    assert not has_all_rules(rules[1:])
    assert not has_all_rules([*rules, rules[0]])
    assert not has_all_rules([*rules, PresentRule("another", 1, b"", "")])


def test_the_fingerprint_tells_a_changed_rule_but_not_a_new_handle() -> None:
    rules = all_rules()
    moved = [PresentRule(r.chain, 99, r.expressions, "") for r in rules]
    assert fingerprint(moved) == fingerprint(rules)
    changed = [PresentRule(rules[0].chain, 0, b"other", ""), *rules[1:]]
    assert fingerprint(changed) != fingerprint(rules)


def test_a_notice_tells_its_table_and_generation() -> None:
    assert decode_table_name(HEADER + encode_text(1, "qubes")) == "qubes"
    assert decode_table_name(HEADER) == ""
    assert decode_generation(HEADER + encode_attribute(1, b"\0\0\x01\0")) == 256
    assert decode_table_flags(HEADER + encode_attribute(2, b"\0\0\0\x01")) == 1
    with pytest.raises(MalformedMessage):
        decode_generation(HEADER)


@given(st.binary(max_size=150))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for decode in (decode_rule, decode_generation, decode_table_name):
        try:
            decode(data)
        except MalformedMessage:
            continue
