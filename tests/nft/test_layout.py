# SPDX-License-Identifier: GPL-2.0-or-later
import re

import pytest

from qubesforward.nft.layout import (
    CHAINS,
    MARKER,
    render_custom_rule,
    render_table,
)
from qubesforward.nft.shapes import SHAPES


def test_the_table_takes_the_place_of_any_other_in_one_transaction() -> None:
    lines = render_table().splitlines()
    assert lines[0].startswith("add table inet qubes-forward")
    assert lines[1] == "delete table inet qubes-forward"
    assert f"chain {MARKER} {{" in lines


def test_rules_use_only_sets_and_chains_that_there_are_and_all_of_them() -> None:
    rules = "\n".join(rule for chain in CHAINS.values() for rule in chain.rules)
    assert set(re.findall(r"@([a-z0-9_]+)", rules)) == SHAPES.keys()
    targets = set(re.findall(r"(?:goto|jump) ([a-z0-9-]+)", rules))
    assert targets == {name for name, chain in CHAINS.items() if not chain.hook}


@pytest.mark.parametrize(
    "name", ["passing", "inside", "answers", "ours", "replies", "hearing"]
)
def test_what_leads_to_connections_of_ours_ends_in_a_drop(name: str) -> None:
    assert CHAINS[name].rules[-1] == "drop"


def test_who_is_served_no_more_is_told_so() -> None:
    assert CHAINS["serving"].rules[-1].startswith("reject")


def test_our_rule_takes_the_place_of_older_ones() -> None:
    assert render_custom_rule(6, "custom-input", (4, 9)).splitlines() == [
        "delete rule ip6 qubes custom-input handle 4",
        "delete rule ip6 qubes custom-input handle 9",
        "insert rule ip6 qubes custom-input"
        " ct mark { 0xb0000000, 0xbffffffe, 0xbfffffff } accept"
        ' comment "qubes-forward"',
    ]
