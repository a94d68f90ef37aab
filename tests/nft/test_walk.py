# SPDX-License-Identifier: GPL-2.0-or-later
"""Which rules stop a packet, on listings as nft writes them in JSON."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.model.observation import Certainty
from qubesforward.nft.packet import (
    FORWARD,
    INPUT,
    PREROUTING,
    judge_equal,
    judge_match,
    packet_of,
)
from qubesforward.nft.walk import Found, find_blocks, read_tables
from tests.nft.entries import entry

ID = "0000000a"
MARK = 0xB000000A
HOP = packet_of(
    ID,
    entry("in=uplink ports=443 src=192.168.1.0/24 to=10.137.0.20 toports=8443"),
    FORWARD,
)
RANGE = packet_of(
    ID, entry("in=external ports=7000-7009 to=10.137.0.6 toports=7000-7009"), FORWARD
)
DOOR = packet_of(ID, entry("in=self ports=8443"), INPUT)

DROP: dict[str, Any] = {"drop": None}
ACCEPT: dict[str, Any] = {"accept": None}


def payload(protocol: str, field: str) -> dict[str, Any]:
    return {"payload": {"protocol": protocol, "field": field}}


def meta(key: str) -> dict[str, Any]:
    return {"meta": {"key": key}}


def ct(key: str) -> dict[str, Any]:
    return {"ct": {"key": key}}


def match(left: Any, right: Any, op: str = "==") -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


DPORT = payload("tcp", "dport")
SADDR = payload("ip", "saddr")
PREFIX = {"prefix": {"addr": "192.168.0.0", "len": 16}}

CONDITIONS: list[tuple[Any, Any, str, bool | None]] = [
    (DPORT, 8443, "==", True),
    (DPORT, 443, "==", False),
    (DPORT, 22, "!=", True),
    (DPORT, {"set": [22, {"range": [8000, 9000]}]}, "==", True),
    (DPORT, {"set": [{"elem": {"val": 8443, "timeout": 3}}]}, "==", True),
    (DPORT, "@ports", "==", None),
    (DPORT, 1024, ">", None),
    (payload("th", "dport"), 8443, "==", True),
    (payload("udp", "dport"), 8443, "==", False),
    # Every condition on another protocol asks for that protocol first.
    (payload("udp", "dport"), 22, "!=", False),
    (payload("ip6", "saddr"), "fd09::1", "!=", False),
    (payload("tcp", "sport"), 8443, "==", None),
    (payload("tcp", "flags"), "syn", "in", None),
    (SADDR, PREFIX, "==", True),
    (SADDR, "192.168.1.20", "==", None),
    (SADDR, "192.168.2.20", "==", False),
    (SADDR, {"range": ["192.168.0.0", "192.168.3.0"]}, "==", True),
    (payload("ip", "daddr"), "10.137.0.20", "==", True),
    (payload("ip", "protocol"), "tcp", "==", True),
    (payload("ip", "version"), 4, "==", True),
    (payload("ether", "saddr"), "00:16:3e:5e:6c:00", "==", None),
    (meta("l4proto"), {"set": ["tcp", "udp"]}, "==", True),
    (meta("l4proto"), "icmp", "==", False),
    (meta("nfproto"), "ipv6", "==", False),
    (meta("protocol"), "ip", "==", True),
    (meta("iifgroup"), 1, "==", True),
    (meta("oifgroup"), 2, "!=", False),
    (meta("iifname"), "vif*", "==", False),
    (meta("oifname"), "vif*", "==", True),
    (meta("iifname"), "eth0", "==", None),
    (meta("iif"), "lo", "==", False),
    (meta("mark"), 1, "==", None),
    (ct("state"), {"set": ["established", "related"]}, "==", False),
    (ct("state"), ["new", "invalid"], "in", True),
    (ct("state"), "invalid", "in", False),
    (ct("status"), "dnat", "in", True),
    (ct("direction"), "reply", "==", False),
    (ct("mark"), {"prefix": {"addr": 0xB0000000, "len": 4}}, "==", True),
    (ct("mark"), MARK, "==", True),
    ({"&": [ct("mark"), 0xF0000000]}, 0xB0000000, "==", True),
    ({"&": [meta("mark"), 0xF0000000]}, 0, "==", None),
    ({"fib": {"result": "type", "flags": "daddr"}}, "local", "==", None),
]


@pytest.mark.parametrize(("left", "right", "op", "fits"), CONDITIONS)
def test_conditions(left: Any, right: Any, op: str, fits: bool | None) -> None:
    assert judge_match(HOP, match(left, right, op)["match"]) is fits


def test_a_range_of_ports_may_be_met_in_part() -> None:
    assert judge_equal(RANGE, DPORT, {"range": [1, 7999]}) is True
    assert judge_equal(RANGE, DPORT, 7003) is None
    assert judge_equal(RANGE, DPORT, {"range": [7010, 7999]}) is False


def test_a_target_did_not_translate_what_it_lets_in() -> None:
    assert judge_equal(DOOR, ct("status"), "dnat") is False
    assert judge_equal(DOOR, ct("mark"), 0xB0000000) is True


def test_a_hop_lets_in_from_below_and_answers_come_to_any_port() -> None:
    serve = packet_of(ID, entry("in=serve ports=443 src=10.137.0.20/32"), INPUT)
    assert judge_equal(serve, meta("iifgroup"), 2) is True
    assert judge_equal(serve, meta("iifname"), "vif*") is True
    assert judge_equal(serve, ct("mark"), {"set": [0xB0000000, 0xBFFFFFFF]}) is True
    assert judge_equal(serve, DPORT, 443) is True
    text = "in=answer proto=udp ports=1900 src=10.137.0.1/32"
    told = packet_of(ID, entry(text), INPUT)
    assert judge_equal(told, meta("iifgroup"), 1) is True
    assert judge_equal(told, payload("udp", "dport"), 1900) is None


def test_before_routing_the_outer_port_counts_and_the_target_is_not_known() -> None:
    before = packet_of(
        ID, entry("in=uplink ports=443 to=10.137.0.20 toports=8443"), PREROUTING
    )
    assert judge_equal(before, DPORT, 443) is True
    assert judge_equal(before, payload("ip", "daddr"), "10.137.0.20") is None


json_values = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.just("tcp"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["set", "range", "prefix", "addr", "len", "ct", "key", "&"]),
        inner,
        max_size=3,
    ),
    max_leaves=8,
)


@given(json_values, json_values)
def test_no_condition_is_too_odd(left: object, right: object) -> None:
    assert judge_equal(HOP, left, right) in (True, False, None)


def found(
    chains: dict[str, list[list[Any]]], policy: str = "accept"
) -> list[tuple[str, str, int | None]]:
    """Walk from the chain `base`; rules are numbered over all chains from 1."""
    listed: list[dict[str, Any]] = [{"metainfo": {"version": "1.0.6"}}]
    handle = 0
    for name, rules in chains.items():
        chain = {"family": "ip", "table": "t", "name": name}
        if name == "base":
            chain |= {"type": "filter", "hook": "forward", "policy": policy}
        listed.append({"chain": chain})
        for statements in rules:
            handle += 1
            rule = {"family": "ip", "table": "t", "chain": name, "handle": handle}
            listed.append({"rule": {**rule, "expr": statements}})
    (table,) = read_tables(listed)
    assert list(find_blocks(table, INPUT, HOP)) == []
    blocks = find_blocks(table, FORWARD, HOP)
    return [(one.certainty, one.chain, one.handle) for one in blocks]


SURELY, MAYBE = Certainty.SURELY, Certainty.MAYBE
MET = match(DPORT, 8443)
NOT_MET = match(DPORT, 22)
UNKNOWN = match(SADDR, "@some")
COUNTER = {"counter": {"packets": 0, "bytes": 0}}
LIMIT = {"limit": {"rate": 1, "per": "second"}}


def jump(target: str, word: str = "jump") -> dict[str, Any]:
    return {word: {"target": target}}


WALKS: list[tuple[dict[str, list[list[Any]]], str, list[Any]]] = [
    ({"base": []}, "accept", []),
    ({"base": []}, "drop", [(SURELY, "base", None)]),
    ({"base": [[ACCEPT]]}, "drop", []),
    ({"base": [[MET, COUNTER, DROP]]}, "accept", [(SURELY, "base", 1)]),
    ({"base": [[MET, {"reject": None}]]}, "accept", [(SURELY, "base", 1)]),
    ({"base": [[NOT_MET, DROP]]}, "accept", []),
    ({"base": [[UNKNOWN, DROP]]}, "accept", [(MAYBE, "base", 1)]),
    ({"base": [[MET, LIMIT, DROP]]}, "accept", [(MAYBE, "base", 1)]),
    ({"base": [[ACCEPT], [DROP]]}, "accept", []),
    ({"base": [[DROP], [DROP]]}, "drop", [(SURELY, "base", 1)]),
    ({"base": [[UNKNOWN, ACCEPT], [DROP]]}, "accept", [(MAYBE, "base", 2)]),
    ({"base": [[UNKNOWN, ACCEPT]]}, "drop", [(MAYBE, "base", None)]),
    ({"base": [[NOT_MET, ACCEPT]]}, "drop", [(SURELY, "base", None)]),
    ({"base": [[jump("x")]], "x": [[DROP]]}, "accept", [(SURELY, "x", 2)]),
    ({"base": [[jump("x")], [DROP]], "x": [[ACCEPT]]}, "drop", []),
    (
        {"base": [[jump("x")], [DROP]], "x": [[{"return": None}], [ACCEPT]]},
        "accept",
        [(SURELY, "base", 2)],
    ),
    (
        {"base": [[UNKNOWN, jump("x")], [DROP]], "x": [[ACCEPT]]},
        "accept",
        [(MAYBE, "base", 2)],
    ),
    (
        {"base": [[UNKNOWN, jump("x")], [DROP]], "x": [[NOT_MET, ACCEPT]]},
        "accept",
        [(SURELY, "base", 2)],
    ),
    # After goto, what is left of the chain is not walked; its policy holds.
    (
        {"base": [[jump("x", "goto")], [ACCEPT]], "x": []},
        "drop",
        [(SURELY, "base", None)],
    ),
    (
        {"base": [[UNKNOWN, jump("x", "goto")], [ACCEPT]], "x": []},
        "drop",
        [(MAYBE, "base", None)],
    ),
    # A circle cannot be loaded; it must not hang either.
    ({"base": [[jump("base")]]}, "accept", []),
    (
        {"base": [[{"vmap": {"key": DPORT, "data": {"set": [[8443, DROP]]}}}]]},
        "accept",
        [(SURELY, "base", 1)],
    ),
    (
        {"base": [[{"vmap": {"key": DPORT, "data": {"set": [[22, DROP]]}}}]]},
        "accept",
        [],
    ),
    (
        {
            "base": [
                [
                    {
                        "vmap": {
                            "key": ct("state"),
                            "data": {"set": [["invalid", DROP], ["new", ACCEPT]]},
                        }
                    }
                ]
            ]
        },
        "drop",
        [],
    ),
    (
        {"base": [[{"vmap": {"key": SADDR, "data": "@senders"}}]]},
        "drop",
        [(MAYBE, "base", None)],
    ),
    (
        {"base": [[{"xt": {"type": "target", "name": "REJECT"}}]]},
        "accept",
        [(SURELY, "base", 1)],
    ),
    ({"base": [[{"never heard of": None}, DROP]]}, "accept", [(MAYBE, "base", 1)]),
]


@pytest.mark.parametrize(("chains", "policy", "expected"), WALKS)
def test_walks(
    chains: dict[str, list[list[Any]]], policy: str, expected: list[Any]
) -> None:
    assert found(chains, policy) == expected


def test_chains_that_double_are_given_up() -> None:
    chains: dict[str, list[list[Any]]] = {"base": [[jump("c0")]]}
    for depth in range(30):
        chains[f"c{depth}"] = [[jump(f"c{depth + 1}")], [jump(f"c{depth + 1}")]]
    assert found(chains, "drop") == [(MAYBE, "base", None)]


def test_our_own_rule_lets_the_packet_through_the_chains_of_qubes() -> None:
    ours = [
        match(ct("mark"), {"prefix": {"addr": 0xB0000000, "len": 4}}),
        match(ct("status"), "dnat", "in"),
        ACCEPT,
    ]
    base = [
        [jump("custom-forward")],
        [match(ct("state"), "invalid", "in"), COUNTER, DROP],
        [match(ct("state"), {"set": ["established", "related"]}), ACCEPT],
        [match(meta("oifgroup"), 2), COUNTER, DROP],
    ]
    assert found({"base": base, "custom-forward": [ours]}) == []
    assert found({"base": base, "custom-forward": []}) == [(SURELY, "base", 4)]
    assert found({"base": base, "custom-forward": [[MET, DROP], ours]}) == [
        (SURELY, "custom-forward", 5)
    ]


def test_found_says_which_rule() -> None:
    (table,) = read_tables(
        [
            {"chain": {"family": "ip", "table": "t", "name": "c", "hook": "forward"}},
            {
                "rule": {
                    "family": "ip",
                    "table": "t",
                    "chain": "c",
                    "handle": 9,
                    "expr": [DROP],
                }
            },
        ]
    )
    assert list(find_blocks(table, FORWARD, HOP)) == [Found(SURELY, "c", 9)]
