# SPDX-License-Identifier: GPL-2.0-or-later
"""What a change of a rule list is called in the audit log, and whether it opens."""

import pytest

from qubesforward.daemon.audit_event import Happening
from qubesforward.daemon.rule_changes import list_changes
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import parse_rule


def forward(words: str) -> ForwardRule:
    rule = parse_rule(f"action=forward forwardtype=external {words}")
    assert isinstance(rule, ForwardRule)
    return rule


A = forward("srcports=1")
B = forward("srcports=2")


def test_rules_that_come_go_and_stay() -> None:
    changes = list_changes([A], [B])
    assert [(c.kind, c.rule, c.opens) for c in changes] == [
        (Happening.REMOVED, A, False),
        (Happening.ADDED, B, True),
    ]
    assert list_changes([A, B], [B, A]) == []


@pytest.mark.parametrize(
    ("old", "new", "opens", "reason"),
    [
        ("expire=100", "expire=200", True, "expire was 100"),
        ("expire=200", "expire=100", False, "expire was 200"),
        ("expire=100", "", True, "expire was 100"),
        ("", "expire=100", False, "it had no end"),
        ("", "expire=reboot", False, "it had no end"),
        ("expire=reboot", "expire=100", True, "expire was reboot"),
        ("expire=100", "expire=reboot", True, "expire was 100"),
        ("comment=a", "comment=b", False, "its comment"),
    ],
)
def test_another_end(old: str, new: str, opens: bool, reason: str) -> None:
    (change,) = list_changes(
        [forward(f"srcports=1 {old}")], [forward(f"srcports=1 {new}")]
    )
    assert (change.kind, change.opens, change.reason) == (
        Happening.CHANGED,
        opens,
        reason,
    )


def test_a_copy_that_is_taken_opens_what_stays_in_it() -> None:
    changes = list_changes([A, B], [A], is_confirmed=False)
    assert {(c.kind, c.opens) for c in changes} == {
        (Happening.CONFIRMED, True),
        (Happening.REMOVED, False),
    }
