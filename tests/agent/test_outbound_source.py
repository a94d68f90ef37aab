# SPDX-License-Identifier: GPL-2.0-or-later
"""A source's QubesDB keys become rules, and what cannot be read drops all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.agent.outbound_source import DROP_ALL, parse_source
from qubesforward.model.rule import Action, DstHost, OutboundRule, Proto

ACCEPT_ALL = OutboundRule(Action.ACCEPT)


def test_rules_come_in_the_order_of_their_numbers_and_the_policy_last() -> None:
    keys = {
        "10000": b"action=drop proto=udp",
        "9999": b"action=accept dst4=1.2.3.0/24 proto=tcp dstports=80-80",
        "policy": b"accept",
    }
    assert parse_source(keys).rules == (
        OutboundRule(
            Action.ACCEPT, DstHost("dst4", "1.2.3.0/24"), Proto.TCP, dstports=(80, 80)
        ),
        OutboundRule(Action.DROP, proto=Proto.UDP),
        ACCEPT_ALL,
    )
    assert parse_source(keys).problems == ()


@pytest.mark.parametrize("policy", [{}, {"policy": b""}, {"policy": b"accept "}])
def test_without_a_policy_that_can_be_read_the_rest_is_dropped(
    policy: dict[str, bytes],
) -> None:
    source = parse_source({"0000": b"action=accept proto=tcp", **policy})
    assert source.rules == (OutboundRule(Action.ACCEPT, proto=Proto.TCP), DROP_ALL)
    assert len(source.problems) == 1


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"action=accept dst4=1.2.3.4/33",
        b"action=accept proto=tcp dstports=443-80",
        b"action=accept expire=1790000000",
        b"action=forward forwardtype=external srcports=443-443",
        b"action=accept " + b" " * 3072,
    ],
)
def test_an_unreadable_rule_drops_all_at_its_place(value: bytes) -> None:
    source = parse_source(
        {
            "0000": b"action=accept proto=tcp",
            "0001": value,
            "0002": b"action=accept",
            "policy": b"drop",
        }
    )
    assert source.rules[1] == DROP_ALL
    assert source.rules[0].proto is Proto.TCP
    assert source.rules[2:] == (ACCEPT_ALL, DROP_ALL)
    assert source.problems[0].startswith("rule '0001': ")


def test_a_key_that_is_no_number_shuts_the_policy_off() -> None:
    source = parse_source({"policy": b"accept", "extra/0000": b"action=accept"})
    assert source.rules == (DROP_ALL, ACCEPT_ALL)
    assert source.problems == ("rule 'extra/0000': not the number of a rule",)


def test_names_are_those_of_hosts_and_not_of_addresses() -> None:
    rules = [b"action=accept dsthost=a.example", b"action=drop dst6=fd00::/8"]
    keys = {f"{number:04}": rule for number, rule in enumerate(rules)}
    assert parse_source(keys).names == {"a.example"}


@given(st.dictionaries(st.text(max_size=8), st.binary(max_size=60), max_size=5))
def test_any_keys_give_a_list_that_ends_with_a_verdict_for_all(
    keys: dict[str, bytes],
) -> None:
    source = parse_source(keys)
    assert len(source.rules) == len(keys.keys() - {"policy"}) + 1
    assert source.rules[-1] in (DROP_ALL, ACCEPT_ALL)
