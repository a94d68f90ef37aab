# SPDX-License-Identifier: GPL-2.0-or-later
"""Planning again and again: what did not change is not planned anew.

The result is that of `plan_forwards`, which is the reference and what tests compare
with. Here one more forward beside ten thousand costs about what it costs alone.
"""

from __future__ import annotations

import operator
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from operator import attrgetter
from types import MappingProxyType

from qubesforward.model.rule import ForwardRule, Reach
from qubesforward.plan.claims import Claims
from qubesforward.plan.opened import Opened
from qubesforward.plan.planner import (
    Asked,
    Forwards,
    Outcome,
    Plan,
    Step,
    Verdict,
    find_edges,
    has_claims,
    lose_to,
    plan_alone,
)
from qubesforward.plan.serving import Serving, plan_serving
from qubesforward.plan.snapshot import Snapshot

_List = tuple[str, str, bool]
"""Target, owner, and whether programs asked: forwards of one list to one qube."""

_Age = tuple[bool, int, bool, int, str, int]


@dataclass(slots=True, eq=False)
class _Unit:
    """One forward: `alone` is its outcome without others, `outcome` that with them.

    `holds`: it has the ports that it needs, so that no younger one gets them.
    """

    rule: ForwardRule
    age: _Age
    alone: Outcome
    outcome: Outcome
    holds: bool = False


@dataclass(slots=True)
class _Listed:
    """What was planned of one list, and all qubes that its chain was made of."""

    listed: Forwards
    units: list[_Unit]
    path: frozenset[str]


_by_age = attrgetter("age")

_MANY = 64
"""Forwards from which on sorting all is quicker than finding the place of each."""


class Replanner:
    """Remembers the last plan, and makes the next one out of it."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._now = float("-inf")
        self._boot_id = ""
        self._snapshot: Snapshot = {}
        self._lists: dict[_List, _Listed] = {}
        self._units: list[_Unit] = []
        self._ends: list[tuple[int, _List]] = []
        self._claims: Claims[_Unit] = Claims()
        self._opened = Opened()
        self._serving = Serving()
        self._wide: set[_Unit] = set()

    def plan(
        self,
        forwards: Mapping[str, Forwards],
        snapshot: Snapshot,
        now: float,
        boot_id: str,
        mappings: Mapping[str, Sequence[ForwardRule]] = MappingProxyType({}),
    ) -> Plan:
        """Return what `plan_forwards` returns for the same arguments.

        Rules, lists and qubes are taken for unchanged when they are the same objects.
        """
        if boot_id != self._boot_id or now < self._now:
            # A clock that was set back makes ended forwards go on.
            self._forget()
        self._now, self._boot_id = now, boot_id
        try:
            return self._replan(forwards, snapshot, mappings)
        except BaseException:
            self._forget()
            raise

    def _replan(
        self,
        forwards: Mapping[str, Forwards],
        snapshot: Snapshot,
        mappings: Mapping[str, Sequence[ForwardRule]],
    ) -> Plan:
        changed = self._note_qubes(snapshot)
        lists = dict(_find_lists(forwards, snapshot, mappings))
        ended = set(self._take_ended())
        gone: list[_Unit] = []
        come: list[_Unit] = []
        for key in self._lists.keys() - lists.keys():
            gone += self._lists.pop(key).units
        for key, listed in lists.items():
            known = self._lists.get(key)
            before: list[_Unit] = [] if known is None else known.units
            if known is None or changed & known.path:
                gone += before
                come += self._plan_list(key, listed, ())
            elif key in ended or not _is_same(listed, known.listed):
                kept = set(self._plan_list(key, listed, before))
                gone += [unit for unit in before if unit not in kept]
                come += kept.difference(before)
        self._exchange(gone, come)
        if changed:
            self._serve()
        outcomes = tuple([unit.outcome for unit in self._units])
        wide = [unit.outcome for unit in sorted(self._wide, key=_by_age)]
        entries = self._opened.freeze()
        return Plan(
            outcomes,
            entries,
            self._serving.clients,
            find_edges(wide),
            self._serving.watched,
        )

    def _serve(self) -> None:
        """Open what gateways need, in place of what they needed before."""
        for serving, number in ((self._serving, -1), (plan_serving(self._snapshot), 1)):
            steps = [Step(name, entry) for name, entry in serving.steps]
            self._opened.add(steps, number)
            self._serving = serving

    def _open(self, unit: _Unit, number: int) -> None:
        self._opened.add(unit.alone.steps, number)
        if unit.rule.reach is Reach.INTERNET:
            if number > 0:
                self._wide.add(unit)
            else:
                self._wide.discard(unit)

    def _note_qubes(self, snapshot: Snapshot) -> set[str]:
        """Remember the qubes; return the names of those that are not as they were."""
        old, self._snapshot = self._snapshot, dict(snapshot)
        changed = old.keys() - snapshot.keys()
        for name, qube in snapshot.items():
            before = old.get(name)
            if before is not qube and before != qube:
                changed.add(name)
        return changed

    def _take_ended(self) -> Iterator[_List]:
        while self._ends and self._ends[0][0] <= self._now:
            yield heappop(self._ends)[1]

    def _plan_list(
        self, key: _List, listed: Forwards, before: Iterable[_Unit]
    ) -> list[_Unit]:
        """Plan each forward of a list alone; what is as `before` is taken over."""
        target, owner, _by_program = key
        known = self._lists.get(key)
        if known is not None and known.listed.confirmed != listed.confirmed:
            before = ()
        taken = {
            (id(unit.rule), unit.age): unit
            for unit in before
            if unit.alone.verdict is Verdict.EXPIRED
            or not unit.rule.has_ended(self._now, self._boot_id)
        }
        units = []
        for age, rule in _find_ages(key, listed, self._snapshot):
            unit = taken.get((id(rule), age))
            if unit is None:
                unit = self._plan_unit(Asked(target, rule, owner), age, listed)
                if isinstance(rule.expire, int) and rule.expire > self._now:
                    heappush(self._ends, (rule.expire, key))
            units.append(unit)
        path = frozenset(_walk(target, self._snapshot))
        self._lists[key] = _Listed(listed, units, path)
        return units

    def _plan_unit(self, asked: Asked, age: _Age, listed: Forwards) -> _Unit:
        alone = plan_alone(
            asked, listed.confirmed, self._snapshot, self._now, self._boot_id
        )
        return _Unit(asked.rule, age, alone, alone)

    def _exchange(self, gone: list[_Unit], come: list[_Unit]) -> None:
        """Take units out and put others in, and decide again on all that they meet."""
        for unit in gone:
            if unit.outcome.verdict is Verdict.READY:
                self._open(unit, -1)
            for step in _needed_steps(unit):
                self._claims.release(step.qube, step.entry, unit)
        self._place(gone, come)
        if len(come) == len(self._units):
            self._decide_all()
            return
        for unit in come:
            self._take(unit)
        meeting = self._find_meeting([*gone, *come])
        self._decide(meeting.difference(gone), set(come))

    def _take(self, unit: _Unit) -> None:
        for step in _needed_steps(unit):
            self._claims.take(step.qube, step.entry, unit)

    def _place(self, gone: list[_Unit], come: list[_Unit]) -> None:
        if len(gone) + len(come) > _MANY:
            out = set(gone)
            kept = [unit for unit in self._units if unit not in out]
            self._units = sorted([*kept, *come], key=_by_age)
            return
        for unit in gone:
            # No two have the same age.
            del self._units[bisect_left(self._units, unit.age, key=_by_age)]
        for unit in come:
            insort(self._units, unit, key=_by_age)

    def _find_meeting(self, seeds: Iterable[_Unit]) -> set[_Unit]:
        """Return `seeds` and all that need a port that one of these needs, and so on.

        What becomes of a forward depends on those that it meets, and on nothing else.
        """
        meeting: set[_Unit] = set()
        waiting = list(seeds)
        while waiting:
            unit = waiting.pop()
            if unit not in meeting:
                meeting.add(unit)
                for step in _needed_steps(unit):
                    waiting += self._claims.find_owners(step.qube, step.entry)
        return meeting

    def _decide_all(self) -> None:
        """Decide on all, each being compared with older ones only."""
        for unit in self._units:
            unit.outcome = self._decide_one(unit)
            unit.holds = has_claims(unit.outcome)
            self._take(unit)
            if unit.outcome.verdict is Verdict.READY:
                self._open(unit, 1)

    def _decide(self, meeting: Iterable[_Unit], come: set[_Unit]) -> None:
        """Give ports to the oldest first, among forwards that meet no others."""
        in_turn = sorted(meeting, key=_by_age)
        for unit in in_turn:
            unit.holds = False
        for unit in in_turn:
            was_open = unit not in come and unit.outcome.verdict is Verdict.READY
            unit.outcome = self._decide_one(unit)
            unit.holds = has_claims(unit.outcome)
            is_open = unit.outcome.verdict is Verdict.READY
            if is_open != was_open:
                self._open(unit, 1 if is_open else -1)

    def _decide_one(self, unit: _Unit) -> Outcome:
        for step in _needed_steps(unit):
            owners = self._claims.find_owners(step.qube, step.entry)
            holders = [other for other in owners if other.holds]
            if holders:
                winner = min(holders, key=_by_age)
                return lose_to(winner.alone.asked, step.qube, unit.alone)
        return unit.alone


def _needed_steps(unit: _Unit) -> tuple[Step, ...]:
    return unit.alone.steps if has_claims(unit.alone) else ()


def _find_lists(
    forwards: Mapping[str, Forwards],
    snapshot: Snapshot,
    mappings: Mapping[str, Sequence[ForwardRule]],
) -> Iterator[tuple[_List, Forwards]]:
    """Give every list of every qube, and those that disposables have of templates."""
    for name, listed in forwards.items():
        if name in snapshot:
            yield (name, name, False), listed
    for name, rules in mappings.items():
        if name in snapshot:
            yield (name, name, True), Forwards(tuple(rules))
    for qube in snapshot.values():
        template = qube.template or ""
        if qube.klass == "DispVM" and template in forwards:
            yield (qube.name, template, False), forwards[template]


def _find_ages(
    key: _List, listed: Forwards, snapshot: Snapshot
) -> Iterator[tuple[_Age, ForwardRule]]:
    target, owner, by_program = key
    is_instance = target != owner
    xid = snapshot[target].xid if is_instance else 0
    are_apart = len({rule.created for rule in listed.rules}) == len(listed.rules)
    for place, rule in enumerate(listed.rules):
        if rule.disposables or not is_instance:
            # Of the same age, the one that stands first is the older one.
            rank = 0 if are_apart else place
            yield (by_program, rule.created, is_instance, xid, target, rank), rule


def _is_same(one: Forwards, other: Forwards) -> bool:
    # Not by equality: rules that are equal may still be of different ages.
    return one.confirmed == other.confirmed and (
        one.rules is other.rules
        or (
            len(one.rules) == len(other.rules)
            and all(map(operator.is_, one.rules, other.rules))
        )
    )


def _walk(target: str, snapshot: Snapshot) -> Iterator[str]:
    """Give the names of all qubes that the chain of a qube depends on."""
    seen: set[str] = set()
    name: str | None = target
    while name is not None and name not in seen:
        seen.add(name)
        yield name
        qube = snapshot.get(name)
        name = None if qube is None else qube.netvm
