# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding and placing rules among lines."""

import pytest

from qubesforward.cli.choosing import find_rule, insert_rule
from qubesforward.errors import InvalidRule
from qubesforward.model.text import parse_rule

LINES = [
    "action=accept dsthost=qubes-os.org",
    "action=future-thing x=y",
    "action=drop proto=icmp comment=no ping",
    "action=drop expire=1790000000 proto=udp dstports=53-53",
    "action=drop proto=udp dstports=53-53 comment=dns",
]


def test_a_new_rule_goes_to_the_end_or_before_a_number() -> None:
    new = "action=accept dst4=192.168.0.0/24"
    assert insert_rule(LINES, parse_rule(new), None) == [*LINES, new]
    assert insert_rule(LINES, parse_rule(new), 1) == [LINES[0], new, *LINES[1:]]
    assert insert_rule(LINES, parse_rule(new), 99)[-1] == new
    assert insert_rule(LINES, parse_rule(new), -1)[-2] == new


def test_finds_a_rule_by_all_that_it_says() -> None:
    assert find_rule(LINES, parse_rule(LINES[2])) == 2
    assert find_rule([*LINES, LINES[2]], parse_rule(LINES[2])) == 2


def test_finds_the_only_rule_that_has_an_end_or_comment_more() -> None:
    assert find_rule(LINES, parse_rule("action=drop proto=icmp")) == 2


def test_does_not_guess_between_two_rules() -> None:
    with pytest.raises(InvalidRule, match="2 rules are like that.*comment=dns"):
        find_rule(LINES, parse_rule("action=drop proto=udp dstports=53-53"))


@pytest.mark.parametrize(
    "line", ["action=drop", "action=drop proto=icmp comment=other", "action=accept"]
)
def test_says_when_there_is_no_such_rule(line: str) -> None:
    with pytest.raises(InvalidRule, match=f"no such rule: {line}"):
        find_rule(LINES, parse_rule(line))
