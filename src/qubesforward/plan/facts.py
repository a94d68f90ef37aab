# SPDX-License-Identifier: GPL-2.0-or-later
"""What is known of one forward when it is diagnosed, and what is found."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from qubesforward.model.entry import Entry
from qubesforward.model.hosts import Address
from qubesforward.model.observation import Block, Listener, Observation, Traffic
from qubesforward.plan.planner import Outcome
from qubesforward.plan.snapshot import Qube


class Answer(StrEnum):
    """What became of the question to an agent, asked just now."""

    GIVEN = "given"
    SILENT = "silent"
    STOPPED = "stopped"
    """It said that it ends, and has not come back since."""
    USELESS = "useless"
    """It came, and makes no sense."""
    UNASKED = "unasked"
    """There is no connection to the qube's QubesDB."""


class Stand(StrEnum):
    """How far an entry has come."""

    ACTIVE = "active"
    PENDING = "pending"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class EntryFacts:
    """One entry of the forward at one qube.

    `ids` are those under which it is published (the pieces of a door that was
    merged with others are several); `reason` says why it is not active.
    """

    entry: Entry
    ids: tuple[str, ...] = ()
    stand: Stand = Stand.ACTIVE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class QubeFacts:
    """One qube of the path; `seen` is what its agent sees, if the answer is given."""

    qube: Qube
    answer: Answer = Answer.GIVEN
    entries: tuple[EntryFacts, ...] = ()
    seen: Observation = field(default_factory=Observation)

    @property
    def name(self) -> str:
        """The qube's name."""
        return self.qube.name

    def traffic(self, one: EntryFacts) -> int | None:
        """Return how many packets passed by an entry, None if that is not known."""
        told = [self.seen.held[i] for i in one.ids if i in self.seen.held]
        counted = [each for each in told if isinstance(each, Traffic)]
        return sum(each.packets for each in counted) if counted else None

    def is_missing(self, one: EntryFacts) -> bool:
        """Whether the kernel lacks any of an entry that its agent has acknowledged."""
        return any(self.seen.held.get(i, Traffic()) is None for i in one.ids)

    def blocks(self, one: EntryFacts) -> list[Block]:
        """Return what is in the way of an entry's packets, each once."""
        found = (block for i in one.ids for block in self.seen.blocks.get(i, ()))
        return list(dict.fromkeys(found))

    def listeners(self, one: EntryFacts) -> list[Listener]:
        """Return the sockets behind a door, each once."""
        found = (each for i in one.ids for each in self.seen.listeners.get(i, ()))
        return list(dict.fromkeys(found))


@dataclass(frozen=True, slots=True)
class ForwardFacts:
    """One forward: `qubes` from the outermost hop to the target, which is the last.

    `dial` are the addresses to connect to; `client` is who the user says should be
    let in, if he says.
    """

    outcome: Outcome
    qubes: tuple[QubeFacts, ...]
    dial: tuple[str, ...] = ()
    client: Address | None = None


class Mark(StrEnum):
    """How a finding is to be taken."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; not what is wrong."""
    BAD = "bad"


class Rank(IntEnum):
    """What explains the others comes first: of bad findings the least is the cause."""

    FORWARD = 1
    HALTED = 2
    AGENT = 3
    ENTRY = 4
    BLOCK = 5
    SERVICE = 6
    ADDRESS = 7
    CLIENT = 8
    WAY = 9


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    A bad one has a `cause`: what is wrong and what to do, as one sentence.
    """

    mark: Mark
    text: str
    rank: Rank = Rank.FORWARD
    cause: str = ""


def good(text: str) -> Finding:
    """Return a finding that all is well with something."""
    return Finding(Mark.OK, text)


def note(text: str) -> Finding:
    """Return a finding that is worth knowing."""
    return Finding(Mark.NOTE, text)


def bad(rank: Rank, text: str, cause: str) -> Finding:
    """Return a finding that may be why it does not work."""
    return Finding(Mark.BAD, text, rank, cause)


def join_words(words: Iterable[str]) -> str:
    """Write ``a``, ``a and b`` or ``a, b and c``, each once."""
    found: Sequence[str] = list(dict.fromkeys(words))
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"
