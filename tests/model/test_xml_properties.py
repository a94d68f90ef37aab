# SPDX-License-Identifier: GPL-2.0-or-later
"""Properties of every rule list and of every file, next to `test_xml`."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import RuleList
from qubesforward.model.xml import decode_rule_list, encode_rule_list
from tests.model import rule_strategies as some
from tests.model.test_xml import BOOT, NOW, OWNER, decode, document


def rule_lists() -> st.SearchStrategy[RuleList]:
    raw = st.sampled_from(
        [
            "<rule/>",
            "<other a='1'>text</other>",
            '<rule>\n<properties><property name="x">é</property></properties></rule>',
        ]
    ).map(lambda xml: decode(document(xml)).unreadable[0])
    return st.builds(
        RuleList,
        outbound=st.lists(some.outbound_rules(), max_size=4).map(tuple),
        forwards=st.lists(some.stored_forwards(BOOT), max_size=4).map(tuple),
        unreadable=st.lists(raw, max_size=2).map(tuple),
        owner=st.sampled_from(["", OWNER]),
    )


@given(rule_lists())
@some.quick
def test_rule_list_comes_back_from_its_xml(rules: RuleList) -> None:
    data = encode_rule_list(rules, now=-1)
    back = decode_rule_list(data, NOW, BOOT)
    assert back.outbound == rules.outbound
    waiting = [rule.is_waiting for rule in rules.forwards]
    assert [rule.is_waiting for rule in back.forwards] == waiting
    assert back.forwards == rules.forwards
    assert [rule.created for rule in back.forwards] == [
        rule.created for rule in rules.forwards
    ]
    assert [rule.boot_id for rule in back.forwards] == [
        rule.boot_id for rule in rules.forwards
    ]
    assert [rule.xml for rule in back.unreadable] == [
        rule.xml for rule in rules.unreadable
    ]
    assert back.owner == rules.owner
    assert encode_rule_list(back, now=-1) == data


def _xml_texts() -> st.SearchStrategy[str]:
    return some.near(
        rule_lists().map(lambda rules: encode_rule_list(rules, -1).decode())
    )


@given(st.binary(max_size=200) | _xml_texts().map(str.encode))
@some.fuzz
def test_any_bytes_are_a_rule_list_or_invalid(data: bytes) -> None:
    try:
        rules = decode_rule_list(data, NOW, BOOT)
    except InvalidRule:
        return
    again = decode_rule_list(encode_rule_list(rules, -1), NOW, BOOT)
    assert replace(again, unreadable=()) == replace(rules, unreadable=())
    assert len(again.unreadable) == len(rules.unreadable)


_NODES = st.recursive(
    st.text("ab <é", max_size=4).map(lambda text: text.replace("<", "<!-- c -->")),
    lambda inner: st.tuples(
        st.sampled_from(["rules", "rule", "properties", "property", "policy", "x"]),
        st.sampled_from(
            ["", " name='action'", " name='comment'", " address='1.2.3.4'"]
        ),
        st.lists(inner, max_size=3).map("".join),
    ).map(lambda node: f"<{node[0]}{node[1]}>{node[2]}</{node[0]}>"),
    max_leaves=12,
)


@given(
    st.sampled_from(
        ["firewall version='2'", "firewall policy='deny'", "x version='2'"]
    ),
    _NODES,
)
@some.fuzz
def test_any_tree_is_a_rule_list_or_invalid(root: str, inside: str) -> None:
    try:
        rules = decode(f"<{root}><rules>{inside}</rules></{root.split()[0]}>")
    except InvalidRule:
        return
    again = decode_rule_list(encode_rule_list(rules, -1), NOW, BOOT)
    assert again.outbound == rules.outbound
    assert [rule.xml for rule in again.unreadable] == [
        rule.xml for rule in rules.unreadable
    ]
