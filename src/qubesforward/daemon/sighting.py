# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hops say of one forward, for the audit log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import islice

from qubesforward.daemon.exposures import Known, Seen, Sight, Spot
from qubesforward.daemon.hop import Hop
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.hosts import networks_overlap
from qubesforward.plan.planner import Outcome, Step, Verdict
from qubesforward.plan.snapshot import Snapshot

_MOST_REFUSALS = 100
"""Refusals of one target that are compared with a door; a hostile one has many."""

_PLAIN = frozenset((Verdict.HALTED, Verdict.EXPIRED))
"""Verdicts that are no refusal: nothing is in the way but time."""

Marks = dict[str, int]
"""By hop, the generation with which it has closed an old entry."""


def look_at(outcome: Outcome, hops: Mapping[str, Hop]) -> Seen:
    """Return what can be seen of a planned forward now, `lingering` left out."""
    entered = (s.qube for s in outcome.steps if s.entry.entrance is not Entrance.SELF)
    path = tuple(dict.fromkeys(entered))
    if outcome.verdict is not Verdict.READY:
        sight = Sight.SHUT if outcome.verdict in _PLAIN else Sight.REFUSED
        return Seen(sight, outcome.reason, path=path)
    spots: set[Spot] = set()
    inherited = True
    unsettled: Seen | None = None
    for step in outcome.steps:
        found = _judge(step, hops.get(step.qube))
        if isinstance(found, str):
            reason = f"{step.qube}: {found}"
            return Seen(Sight.REFUSED, reason, blame=step.qube, path=path)
        if found is None:
            reason = f"{step.qube} has not answered"
            unsettled = Seen(Sight.UNSETTLED, reason, blame=step.qube, path=path)
        elif found:
            entry_id = found[0][2]
            inherited = inherited and entry_id in hops[step.qube].inherited
            spots.update(found)
    if unsettled is not None:
        return unsettled
    return Seen(Sight.OPEN, path=path, spots=frozenset(spots), inherited=inherited)


def _judge(step: Step, hop: Hop | None) -> list[Spot] | str | None:
    """Return where a step is in force, why it is refused, or None: not known."""
    if hop is None:
        return None
    entry = step.entry
    entry_id = hop.find_id(entry)
    if entry_id is None:
        return _judge_merged(entry, hop) if entry.entrance is Entrance.SELF else None
    if entry_id in hop.refused:
        return hop.refused[entry_id]
    if not hop.is_acknowledged(entry_id):
        return None
    # A door belongs to every forward that needs it: it may well stay.
    return [] if entry.entrance is Entrance.SELF else [(hop.name, hop.xid, entry_id)]


def _judge_merged(entry: Entry, hop: Hop) -> list[Spot] | str | None:
    """Judge a door that is published in other pieces than it was asked for."""
    for entry_id in islice(hop.refused, _MOST_REFUSALS):
        door = hop.present.get(entry_id)
        if (
            door is not None
            and door.entrance is Entrance.SELF
            and door.proto == entry.proto
            and door.ports.overlaps(entry.ports)
            and networks_overlap(door.src, entry.src)
        ):
            return hop.refused[entry_id]
    return [] if hop.present and hop.handled >= hop.generation else None


def find_lingering(
    known: Known,
    kept: frozenset[Spot],
    hops: Mapping[str, Hop],
    snapshot: Snapshot,
    marks: Marks,
) -> str:
    """Return a hop that may still have what a forward was open with, or nothing.

    Entries in `kept` may stay. `marks` is this forward's, and is filled in: what a
    hop has been told when an entry is first seen to be revoked, it must acknowledge.
    """
    for name, xid, entry_id in _former_spots(known, kept, snapshot):
        qube = snapshot.get(name)
        if qube is None or not qube.running or qube.xid != xid:
            continue  # that start of it is over, and its kernel with it
        hop = hops.get(name)
        if hop is None or entry_id in hop.present:
            return name
        # The generation begins anew with a QubesDB that is new; at zero, nothing was
        # ever told.
        mark = min(marks.setdefault(name, hop.generation), hop.generation)
        if mark and hop.handled < mark:
            return name
    return ""


def _former_spots(
    known: Known, kept: frozenset[Spot], snapshot: Snapshot
) -> Iterable[Spot]:
    if known.spots is not None:
        return known.spots - kept
    return [(name, snapshot[name].xid, "") for name in known.path if name in snapshot]
