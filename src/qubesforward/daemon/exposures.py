# SPDX-License-Identifier: GPL-2.0-or-later
"""What to log of a forward, by what was known of it and what is seen of it now.

Pure: all that the audit log says of openings and closings is decided here. It says
``closed`` only when every hop that had the forward has acknowledged its end or does
not run any more, and ``opened`` only when every hop has acknowledged it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from qubesforward.daemon.audit_event import Happening

DOUBT_SECONDS = 2.0
"""How long a hop may leave open whether a forward is; agents answer within
milliseconds, and an extended or moved forward is not worth an event before."""

Spot = tuple[str, int, str]
"""Where an entry is: hop, its domain number, the entry's ID."""


class Sight(StrEnum):
    """What can be seen of a forward at one moment."""

    OPEN = "open"
    SHUT = "shut"
    REFUSED = "refused"
    """Shut although it is wanted: somebody should know why."""
    UNSETTLED = "unsettled"
    """A hop that runs has yet to say."""


class Phase(StrEnum):
    """What the log says of a forward so far."""

    SHUT = "shut"
    OPEN = "open"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Seen:
    """One forward at one moment.

    `blame` is the hop on whose word alone it is so. `inherited`: all its entries
    were there before this daemon wrote any. `lingering` is a hop that may still have
    entries with which it was open before, other than those of now.
    """

    sight: Sight
    reason: str = ""
    blame: str = ""
    path: tuple[str, ...] = ()
    spots: frozenset[Spot] = frozenset()
    inherited: bool = False
    lingering: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one forward from earlier.

    `reason` is the one that was logged last for its being shut. `spots` None: it
    was open according to the log of an earlier run, which does not name entries.
    `since` is when it was first seen unsettled, None if it is not.
    """

    phase: Phase = Phase.SHUT
    reason: str = ""
    blame: str = ""
    path: tuple[str, ...] = ()
    spots: frozenset[Spot] | None = frozenset()
    since: float | None = None


@dataclass(frozen=True, slots=True)
class News:
    """One event to log; `blame` is the hop that caused it by its word alone."""

    kind: Happening
    reason: str = ""
    blame: str = ""
    path: tuple[str, ...] = ()


def compare_sights(known: Known, seen: Seen, now: float) -> tuple[Known, list[News]]:
    """Return what is known from now on, and what to log.

    `now` is in seconds of a clock that is never set.
    """
    if known.phase is Phase.SHUT:
        return _compare_shut(known, seen)
    is_open = seen.sight is Sight.OPEN
    if is_open and _is_same(known, seen):
        return _stay_open(known, seen)
    if seen.sight is Sight.UNSETTLED or seen.lingering:
        return _wait(known, seen, now)
    reason = seen.reason or _explain_move(known, seen)
    blame = seen.blame if seen.sight is Sight.REFUSED else ""
    closed = News(Happening.CLOSED, reason, blame)
    left, news = _compare_shut(Known(reason=reason, blame=blame), seen)
    return left, [closed, *news]


def _compare_shut(known: Known, seen: Seen) -> tuple[Known, list[News]]:
    if seen.sight is Sight.OPEN:
        kind = Happening.FOUND if seen.inherited else Happening.OPENED
        opened = Known(Phase.OPEN, path=seen.path, spots=seen.spots)
        return opened, [News(kind, blame=known.blame, path=seen.path)]
    if seen.sight is Sight.REFUSED and seen.reason != known.reason:
        refused = Known(reason=seen.reason, blame=seen.blame)
        return refused, [News(Happening.REFUSED, seen.reason, seen.blame)]
    return known, []


def _is_same(known: Known, seen: Seen) -> bool:
    # An entry's ID stands for one content as long as it lives; another ID at a hop
    # means that connections were cut there in between.
    return seen.inherited if known.spots is None else known.spots == seen.spots


def _stay_open(known: Known, seen: Seen) -> tuple[Known, list[News]]:
    still = Known(Phase.OPEN, path=seen.path, spots=seen.spots)
    if known.spots is not None and known.phase is Phase.OPEN:
        return still, []
    return still, [News(Happening.FOUND, blame=known.blame, path=seen.path)]


def _wait(known: Known, seen: Seen, now: float) -> tuple[Known, list[News]]:
    since = now if known.since is None else known.since
    waiting = replace(known, since=since)
    if known.phase is Phase.UNSURE or now - since < DOUBT_SECONDS:
        return waiting, []
    blame = seen.lingering or seen.blame
    reason = seen.reason
    if seen.lingering:
        reason = f"{seen.lingering} has not said that it closed it"
    unsure = replace(waiting, phase=Phase.UNSURE, blame=blame)
    return unsure, [News(Happening.UNSURE, reason, blame)]


def _explain_move(known: Known, seen: Seen) -> str:
    if known.spots is None:
        return "it was closed while qubes-forwardd did not run"
    if known.path != seen.path:
        return f"it leads through {', '.join(seen.path)} now"
    return "its addresses changed, or a hop had lost it"
