# SPDX-License-Identifier: GPL-2.0-or-later
"""The rule lists of all qubes, and every change that a caller may make to them."""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from qubesforward.daemon.store import Loaded, RulesChanged, Store
from qubesforward.errors import InvalidRule
from qubesforward.model.rule import (
    REBOOT,
    ForwardRule,
    OutboundRule,
    RuleList,
)
from qubesforward.model.text import format_rule
from qubesforward.model.values import LAST_SECOND
from qubesforward.plan.planner import Forwards
from qubesforward.plan.snapshot import Qube, Snapshot

_log = logging.getLogger(__name__)

_LAST_AGE = LAST_SECOND * 1_000_000
"""Later ages, in a file from who knows where, make no new rule younger still: there
would be no room left for it."""


@dataclass(frozen=True, slots=True)
class _Ends:
    """When rules of a list end, the earliest first; whether some were of another boot.

    Most lists have none, and then nobody has to go through their rules.
    """

    rules: RuleList
    moments: tuple[int, ...]
    is_of_other_boot: bool

    def has_some(self, now: float) -> bool:
        """Whether some rule is over."""
        return self.is_of_other_boot or bool(self.moments and self.moments[0] <= now)


class Rules:
    """Rule lists by qube. Every change is stored before the call returns."""

    def __init__(self, store: Store, now: Callable[[], float], boot_id: str) -> None:
        self._store = store
        self._now = now
        self._boot_id = boot_id
        self._newest = 0
        self._known: dict[str, str] = {}
        self._ends: dict[str, _Ends] = {}

    def forget(self, name: str) -> None:
        """Read the list of a qube anew the next time."""
        self._store.forget(name)
        self._known.pop(name, None)
        self._ends.pop(name, None)

    def remove(self, name: str) -> None:
        """Forget a qube that is gone, with what is stored of it."""
        self.forget(name)
        self._store.remove(name)

    def keep_only(self, names: Collection[str]) -> None:
        """Remove what is stored of qubes that are not among these."""
        self._store.keep_only(names)

    def load(self, qube: Qube) -> Loaded:
        """Return the list of one qube."""
        loaded = self._store.load(qube.name, qube.klass)
        if qube.name not in self._known:
            self._known[qube.name] = qube.klass
            # A clock that was set back must not make a new rule the oldest.
            ages = (min(r.created, _LAST_AGE) for r in loaded.rules.forwards)
            self._newest = max(self._newest, *ages, 0)
        return loaded

    def is_confirmed(self, qube: Qube, rules: RuleList) -> bool:
        """Whether the forwards were made for this very qube, and not for a copy."""
        return not rules.forwards or (bool(qube.uuid) and rules.owner == qube.uuid)

    def forwards(self, snapshot: Snapshot) -> dict[str, Forwards]:
        """Return the forwards of every qube that has any."""
        found = {}
        for qube in snapshot.values():
            rules = self.load(qube).rules
            if rules.forwards:
                confirmed = self.is_confirmed(qube, rules)
                found[qube.name] = Forwards(rules.forwards, confirmed)
        return found

    def outbound(self, snapshot: Snapshot) -> dict[str, tuple[OutboundRule, ...]]:
        """Return the outbound rules of every qube.

        A disposable without a list of its own has its template's, as in Qubes.
        """
        return {name: self._outbound(qube, snapshot) for name, qube in snapshot.items()}

    def _outbound(self, qube: Qube, snapshot: Snapshot) -> tuple[OutboundRule, ...]:
        loaded = self.load(qube)
        if qube.klass == "DispVM" and not loaded.exists:
            template = snapshot.get(qube.template or "")
            if template is not None:
                return self.load(template).rules.outbound
        return loaded.rules.outbound

    def get_outbound(self, qube: Qube, snapshot: Snapshot) -> tuple[OutboundRule, ...]:
        """Return the outbound rules of one qube, those that ended left out."""
        now = self._now()
        return tuple(
            rule for rule in self._outbound(qube, snapshot) if not rule.has_ended(now)
        )

    def ends(self, after: float) -> Iterator[int]:
        """Yield for every list the first moment after `after` when a rule of it ends.

        All in seconds since 1970.
        """
        for name, klass in self._known.items():
            moments = self._find_ends(name, self._store.load(name, klass).rules).moments
            if (place := bisect_right(moments, after)) < len(moments):
                yield moments[place]

    def drop_expired(self, snapshot: Snapshot) -> None:
        """Take forwards whose time is over out of the files."""
        now = self._now()
        for qube in snapshot.values():
            rules = self.load(qube).rules
            if not self._find_ends(qube.name, rules).has_some(now):
                continue
            kept = tuple(
                rule
                for rule in rules.forwards
                if not rule.has_ended(now, self._boot_id)
            )
            if kept != rules.forwards:
                self._save_if_possible(qube, replace(rules, forwards=kept))

    def _find_ends(self, name: str, rules: RuleList) -> _Ends:
        """Return when rules of a list end; looked up once for each list as it is."""
        known = self._ends.get(name)
        if known is None or known.rules is not rules:
            ends = [rule.expire for rule in rules.forwards]
            ends += [rule.expire for rule in rules.outbound]
            moments = sorted(end for end in ends if isinstance(end, int))
            is_over = any(
                rule.expire == REBOOT and rule.boot_id != self._boot_id
                for rule in rules.forwards
            )
            known = self._ends[name] = _Ends(rules, tuple(moments), is_over)
        return known

    def set_outbound(self, qube: Qube, outbound: Sequence[OutboundRule]) -> None:
        """Replace the outbound rules; forwards stay as they are."""
        self._store.replace_unreadable(qube.name, qube.klass)
        rules = self.load(qube).rules
        self._save(qube, replace(rules, outbound=tuple(outbound)))

    def with_only(
        self, qube: Qube, forwards: Sequence[ForwardRule]
    ) -> tuple[ForwardRule, ...]:
        """Return these forwards, those that are there with their age; stores nothing.

        One that waits for confirmation goes on waiting: whoever reads a list, adds to
        it and sets it has confirmed nothing. In a copied list none stays: their ages
        are those of the other qube.
        """
        rules = self.load(qube).rules
        present = rules.forwards if self.is_confirmed(qube, rules) else ()
        old = {rule.place: rule for rule in present}
        # Given twice is given once: it would only be in its own way.
        new = [self._adopt(rule) for rule in dict.fromkeys(forwards)]
        kept = ((rule, old.get(rule.place, rule)) for rule in new)
        return tuple(
            replace(rule, created=was.created, is_waiting=was.is_waiting)
            for rule, was in kept
        )

    def with_imported(
        self, qube: Qube, imported: Sequence[ForwardRule]
    ) -> tuple[ForwardRule, ...]:
        """Return the qube's forwards as they are, and more that wait; stores nothing.

        Of one that is there already, nothing changes, its end and comment neither.
        """
        forwards = {rule.place: rule for rule in self.load(qube).rules.forwards}
        for rule in imported:
            if rule.place not in forwards:
                forwards[rule.place] = replace(self._adopt(rule), is_waiting=True)
        return tuple(forwards.values())

    def with_confirmed(self, qube: Qube) -> tuple[ForwardRule, ...]:
        """Return the forwards, all confirmed; nothing is stored.

        What was not confirmed becomes as young as a new one: with the age of the
        original, or of its import, it could take the port of another.
        """
        rules = self.load(qube).rules
        is_own = self.is_confirmed(qube, rules)
        return tuple(
            rule if is_own and not rule.is_waiting else self._adopt(rule)
            for rule in rules.forwards
        )

    def with_added(
        self,
        qube: Qube,
        added: Sequence[ForwardRule],
        instead: Sequence[ForwardRule] = (),
    ) -> tuple[ForwardRule, ...]:
        """Return the qube's forwards with more, in place of others; nothing is stored.

        One that differs from a present one in its end and comment only takes that
        one's place and age: asking again extends a forward. Raises `InvalidRule` if
        one of the others is not there.
        """
        present = self.load(qube).rules.forwards
        ages = {rule.place: rule for rule in present}
        left = _without(qube, present, instead)
        forwards = {rule.place: rule for rule in left}
        for rule in added:
            old = ages.get(rule.place)
            new = self._adopt(rule)
            if old is not None and not old.is_waiting:
                new = replace(new, created=old.created)
            forwards[rule.place] = new
        return tuple(forwards.values())

    def remove_forwards(self, qube: Qube, removed: Sequence[ForwardRule]) -> None:
        """Remove forwards that are in the list; all of them, or none and an error."""
        rules = self.load(qube).rules
        left = _without(qube, rules.forwards, removed)
        self._save(qube, replace(rules, forwards=tuple(left)))

    def store_forwards(self, qube: Qube, forwards: Sequence[ForwardRule]) -> None:
        """Store what `with_added` or `with_imported` returned."""
        rules = self.load(qube).rules
        new = replace(rules, forwards=tuple(forwards))
        if not rules.forwards:
            new = replace(new, owner=qube.uuid)
        self._save(qube, new)

    def store_own(self, qube: Qube, forwards: Sequence[ForwardRule]) -> None:
        """Store what `with_only` or `with_confirmed` returned, as the qube's own."""
        rules = self.load(qube).rules
        self._save(qube, replace(rules, forwards=tuple(forwards), owner=qube.uuid))

    def _save(self, qube: Qube, rules: RuleList) -> None:
        self._store.save(qube.name, qube.klass, rules)

    def _save_if_possible(self, qube: Qube, rules: RuleList) -> None:
        try:
            self._save(qube, rules)
        except OSError as error:
            # The rule is over all the same: planning looks at its end, too.
            _log.error("%s: an ended rule stays in its file: %s", qube.name, error)
        except RulesChanged as error:
            # Most likely the qube is gone, and its removal not heard of yet.
            _log.info("%s: an ended rule is left: %s", qube.name, error)

    def _adopt(self, rule: ForwardRule) -> ForwardRule:
        """Give a new rule its age, later than any before, and its boot."""
        self._newest = max(self._newest + 1, int(self._now() * 1_000_000))
        boot_id = self._boot_id if rule.expire == REBOOT else ""
        return replace(rule, created=self._newest, boot_id=boot_id, is_waiting=False)


def _without(
    qube: Qube, forwards: Sequence[ForwardRule], removed: Sequence[ForwardRule]
) -> list[ForwardRule]:
    left = list(forwards)
    for rule in removed:
        if rule not in left:
            raise InvalidRule(f"{qube.name} has no such rule: {format_rule(rule)}")
        left.remove(rule)
    return left
