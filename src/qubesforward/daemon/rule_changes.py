# SPDX-License-Identifier: GPL-2.0-or-later
"""What differs between two lists of forwards of a qube, in the audit log's words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qubesforward.daemon.audit_event import Happening
from qubesforward.model.rule import ForwardRule


@dataclass(frozen=True, slots=True)
class RuleChange:
    """One forward that came, went or changed; `opens`: more is allowed by it."""

    kind: Happening
    rule: ForwardRule
    opens: bool
    reason: str = ""


def list_changes(
    before: Sequence[ForwardRule],
    after: Sequence[ForwardRule],
    *,
    is_confirmed: bool = True,
) -> list[RuleChange]:
    """Compare the forwards of a qube before and after a change.

    `is_confirmed` False: `before` is a copied list, whose forwards were not active;
    those that stay become so.
    """
    old = {rule.place: rule for rule in before}
    new = {rule.place: rule for rule in after}
    changes = [
        RuleChange(Happening.REMOVED, rule, opens=False)
        for place, rule in old.items()
        if place not in new
    ]
    for place, rule in new.items():
        previous = old.get(place)
        if previous is None:
            changes.append(_explain_new(rule))
        elif not is_confirmed or (previous.is_waiting and not rule.is_waiting):
            changes.append(RuleChange(Happening.CONFIRMED, rule, opens=True))
        elif previous != rule:
            changes.append(_explain(previous, rule))
    return changes


def _explain_new(rule: ForwardRule) -> RuleChange:
    reason = "imported; waits for confirmation" if rule.is_waiting else ""
    return RuleChange(Happening.ADDED, rule, not rule.is_waiting, reason)


def _explain(old: ForwardRule, new: ForwardRule) -> RuleChange:
    reason = "its comment"
    if old.expire != new.expire:
        reason = f"expire was {old.expire}" if old.expire else "it had no end"
    is_later = old.expire != new.expire and not _ends_sooner(old, new)
    opens = is_later and not new.is_waiting
    return RuleChange(Happening.CHANGED, new, opens, reason)


def _ends_sooner(old: ForwardRule, new: ForwardRule) -> bool:
    if new.expire is None or old.expire is None:
        return new.expire is not None
    # Nobody knows when this boot ends: any other end may be the later one.
    if isinstance(new.expire, str) or isinstance(old.expire, str):
        return False
    return new.expire < old.expire
