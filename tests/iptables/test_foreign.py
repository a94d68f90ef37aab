# SPDX-License-Identifier: GPL-2.0-or-later
"""Rules of others in the way of an entry, in what iptables-save prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.iptables.foreign import find_foreign, read_chains
from qubesforward.model.entry import Entry
from tests.nft.entries import entry

HOP = entry("in=uplink ports=443 to=10.137.0.20 toports=8443")
DOOR = entry("in=self ports=8443")
OURS = "-A FORWARD -m comment --comment qubes-forward -j QBS-FWD-FORWARD\n"


def look(rules: str, one: Entry = HOP, table: str = "filter") -> list[str]:
    heads = ":FORWARD DROP [0:0]\n:INPUT DROP [0:0]\n:PREROUTING ACCEPT [0:0]\n"
    chains = ":QBS-FWD-FORWARD - [0:0]\n:other - [0:0]\n"
    text = f"# saved\n*{table}\n{heads}{chains}{rules}COMMIT\n"
    return [
        f"{block.certainty} {block.where}: {block.rule}"
        for block in find_foreign(read_chains(text), one)
    ]


@pytest.mark.parametrize(
    ("rule", "found"),
    [
        ("-j DROP", "surely"),
        ("-p tcp -j REJECT --reject-with tcp-reset", "surely"),
        ("-p tcp -m tcp --dport 8443 -j DROP", "surely"),
        ("-p tcp -m multiport --dports 80,8000:9000 -j DROP", "surely"),
        ("-d 10.137.0.0/16 -m comment --comment 'a rule' -j DROP", "surely"),
        ("-s 192.168.1.7/32 -j DROP", "maybe"),
        ("-i eth0 -m limit --limit 1/s -j DROP", "maybe"),
        ("! -p udp -j DROP", "surely"),
        ("-p udp -j DROP", ""),
        ("! -p tcp -j DROP", ""),
        # The outer port is another one's here.
        ("-p tcp -m tcp --dport 443 -j DROP", ""),
        ("-d 10.137.0.21/32 -j DROP", ""),
        ("-j LOG", ""),
        ("-i vif3.0 ! -s 10.137.0.20/32 -j DROP", ""),
    ],
)
def test_a_rule_before_ours(rule: str, found: str) -> None:
    told = f"{found} ip filter FORWARD: {rule}"
    assert look(f"-A FORWARD {rule}\n{OURS}") == ([told] if found else [])
    assert look(f"{OURS}-A FORWARD {rule}\n") == []


def test_a_chain_of_others_is_followed() -> None:
    rules = "-A FORWARD -j other\n" + OURS
    assert look(f"{rules}-A other -j DROP\n") == ["surely ip filter other: -j DROP"]
    assert look(f"{rules}-A other -p tcp -j RETURN\n-A other -j DROP\n") == []
    assert look(f"{rules}-A other -i eth1 -j ACCEPT\n-A other -j DROP\n") == [
        "maybe ip filter other: -j DROP"
    ]
    assert look("-A FORWARD -j ACCEPT\n-A FORWARD -j DROP\n") == []


def test_a_door_is_passed_at_the_input_by_its_own_port() -> None:
    rules = "-A INPUT -p tcp -m tcp --dport 8443 -j DROP\n-A FORWARD -j DROP\n"
    assert look(rules, DOOR) == [
        "surely ip filter INPUT: -p tcp -m tcp --dport 8443 -j DROP"
    ]


def test_what_is_before_the_translation_sees_the_outer_port() -> None:
    rules = "-A PREROUTING -p tcp -m tcp --dport 443 -j DROP\n"
    (found,) = look(rules, HOP, "raw")
    assert found.startswith("surely ip raw PREROUTING: ")
    assert look(rules.replace("443", "8443"), HOP, "raw") == []


def test_loops_end_and_qubes_own_chains_are_no_news() -> None:
    assert look("-A FORWARD -j other\n-A other -j other\n" + OURS) == []
    rules = "-A PREROUTING -j QBS-PREROUTING\n-A QBS-PREROUTING -j DROP\n"
    assert look(rules, HOP, "raw") == []


@given(st.text(alphabet="-ApjmdsDROPfilter *:\n!'\"10.,", max_size=200))
def test_any_text_is_some_answer(text: str) -> None:
    list(find_foreign(read_chains(f"*filter\n-A FORWARD {text}\n"), HOP))
    list(find_foreign(read_chains(text), DOOR))
