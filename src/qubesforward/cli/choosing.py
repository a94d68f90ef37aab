# SPDX-License-Identifier: GPL-2.0-or-later
"""Finding and placing rules in lists of API lines.

What this version cannot read stays in its place as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qubesforward.errors import InvalidRule
from qubesforward.model.rule import Rule
from qubesforward.model.text import format_rule, parse_rule


def read_line(line: str) -> Rule | None:
    """Return the rule of a line, or None for one of a kind that is not known here."""
    try:
        return parse_rule(line)
    except InvalidRule:
        return None


def insert_rule(lines: Sequence[str], rule: Rule, before: int | None) -> list[str]:
    """Return the lines with a rule before the one numbered `before`, or at the end.

    Numbers that are too large mean the end, negative ones count from there, as in
    the stock tool.
    """
    result = list(lines)
    result.insert(len(result) if before is None else before, format_rule(rule))
    return result


def find_rule(lines: Sequence[str], rule: Rule) -> int:
    """Return the index of a rule; raise `InvalidRule` if there is none.

    A rule that was given without an end and a comment also finds the only one that
    differs in nothing else: nobody types these again to remove a rule.
    """
    rules = [read_line(line) for line in lines]
    if rule in rules:
        return rules.index(rule)
    found = []
    if rule.expire is None and not rule.comment:
        bare = [each and replace(each, expire=None, comment="") for each in rules]
        found = [index for index, each in enumerate(bare) if each == rule]
    if len(found) == 1:
        return found[0]
    if found:
        numbers = " and ".join(lines[index] for index in found)
        raise InvalidRule(
            f"{len(found)} rules are like that; add the expire= and comment= of one,"
            f" or use --rule-no: {numbers}"
        )
    raise InvalidRule(f"there is no such rule: {format_rule(rule)}")
