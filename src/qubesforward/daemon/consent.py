# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may decide that a program of a qube gets a port, and what was decided.

A question is about one inner port of one qube: whatever a program asks for it, by
three protocols and for TCP and UDP, is one question. In doubt, and when nobody
answers, the answer is no; and who is told no too often is not asked about for a while.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from qubesforward.errors import ForwardError
from qubesforward.model.rule import Proto
from qubesforward.plan.snapshot import Qube

PATIENCE = 60.0
"""Seconds that a question stays open; then the answer is no."""

MOST_OF_QUBE = 3
MOST_IN_ALL = 20
"""Questions open at a time: a flood must not cover the screen."""

BELONGS_FOR = 60.0
"""Seconds after a yes for which what else is asked for the same port belongs to it:
programs need some to find out that there is UPnP too."""

_FIRST_REST = 60.0
_LONGEST_REST = 3600.0
"""Seconds for which nothing is asked for a qube after a no; they double each time."""


class Scope(StrEnum):
    """For how long an answer holds."""

    ONCE = "once"
    """For this port, as long as the program keeps it."""
    REBOOT = "reboot"
    """For all that the qube asks for, until this boot ends."""
    ALWAYS = "always"
    """The same for good; becomes a feature of the qube."""
    NEVER = "never"
    """No, and for good; becomes a feature of the qube."""


class Decision(StrEnum):
    """What becomes of a request now."""

    YES = "yes"
    NO = "no"
    ASK = "ask"


class NoSuchRequest(ForwardError):
    """An answer to a question that is not open any more."""


@dataclass
class Question:
    """A question to the user. `asked` and `until` are seconds since 1970.

    `protos` are the protocols wanted so far, with the outer ports that were wished
    for (0: any); `vias` by which protocols it was asked; `name` is what the program
    calls it.
    """

    id: str
    qube: str
    uuid: str
    inner: int
    asked: float
    until: float
    protos: dict[Proto, int] = field(default_factory=dict)
    vias: set[str] = field(default_factory=set)
    name: str = ""

    def add_via(self, via: str, name: str) -> bool:
        """Take in by which protocol, and with what name; whether that is news."""
        before = self.name, len(self.vias)
        self.vias.add(via)
        self.name = self.name or name
        return (self.name, len(self.vias)) != before


@dataclass
class _Past:
    """What is remembered of one qube: how often in a row it was denied."""

    denials: int = 0
    rests_until: float = 0.0
    granted: dict[int, float] = field(default_factory=dict)


class Consent:
    """Open questions and remembered answers.

    `new_id` gives the name of a question: it must not be guessed from others.
    """

    def __init__(self, new_id: Callable[[], str]) -> None:
        self._new_id = new_id
        self._questions: dict[str, Question] = {}
        self._past: dict[str, _Past] = {}
        self.until_reboot: set[str] = set()
        """The uuids of qubes whose programs get what they ask for in this boot."""

    @property
    def questions(self) -> Iterable[Question]:
        """The open questions, the oldest first."""
        return self._questions.values()

    def decide(self, qube: Qube, inner: int, *, is_held: bool, now: float) -> Decision:
        """Say what becomes of a request for an inner port of a qube.

        `is_held`: the program has a mapping of that port already.
        """
        past = self._past.setdefault(qube.uuid, _Past())
        if qube.portmap is None or not qube.uuid:
            return Decision.NO
        if not qube.portmap.asks or qube.uuid in self.until_reboot or is_held:
            return Decision.YES
        if past.granted.get(inner, 0) > now:
            return Decision.YES
        if self._find(qube.uuid, inner) is not None:
            return Decision.ASK
        mine = sum(each.uuid == qube.uuid for each in self.questions)
        if past.rests_until > now or mine >= MOST_OF_QUBE:
            return Decision.NO
        return Decision.ASK if len(self._questions) < MOST_IN_ALL else Decision.NO

    def ask(
        self, qube: Qube, inner: int, proto: Proto, outer: int, now: float
    ) -> tuple[Question, bool]:
        """Return the question that a request belongs to, and whether it is new."""
        question = self._find(qube.uuid, inner)
        is_new = question is None
        if question is None:
            question = Question(
                self._new_id(), qube.name, qube.uuid, inner, now, now + PATIENCE
            )
            self._questions[question.id] = question
        question.protos[proto] = outer
        return question, is_new

    def require(self, question_id: str, qube: str) -> None:
        """Raise `NoSuchRequest` for a question that is not about this qube."""
        question = self._questions.get(question_id)
        if question is None or question.qube != qube:
            raise _no_such(question_id)

    def grant(self, question_id: str, scope: Scope, now: float) -> Question:
        """Take in a yes; raises `NoSuchRequest`."""
        question = self._take(question_id)
        past = self._past.setdefault(question.uuid, _Past())
        past.denials, past.rests_until = 0, 0.0
        past.granted[question.inner] = now + BELONGS_FOR
        past.granted = {port: end for port, end in past.granted.items() if end > now}
        if scope is Scope.REBOOT:
            self.until_reboot.add(question.uuid)
        return question

    def deny(self, question_id: str, now: float) -> Question:
        """Take in a no; raises `NoSuchRequest`."""
        question = self._take(question_id)
        self.note_denial(question.uuid, now)
        return question

    def note_denial(self, uuid: str, now: float) -> None:
        """Let a qube rest: somebody did not want what its programs ask for."""
        past = self._past.setdefault(uuid, _Past())
        rest = min(_FIRST_REST * 2**past.denials, _LONGEST_REST)
        past.denials = min(past.denials + 1, 10)
        past.rests_until = now + rest
        past.granted.clear()
        self.until_reboot.discard(uuid)

    def rest_left(self, uuid: str, now: float) -> int:
        """Return for how many seconds it makes no sense to ask, at least some."""
        past = self._past.get(uuid, _Past())
        return max(30, int(past.rests_until - now) + 1)

    def drop(self, question_id: str) -> None:
        """Forget a question that nobody waits for any more."""
        self._questions.pop(question_id, None)

    def take_late(self, now: float) -> list[Question]:
        """Return the questions that nobody has answered; each is now a no."""
        late = [each for each in self.questions if each.until <= now]
        return [self.deny(each.id, now) for each in late]

    def find_next_end(self) -> float | None:
        """Return when `take_late` has something to do next."""
        return min((each.until for each in self.questions), default=None)

    def _find(self, uuid: str, inner: int) -> Question | None:
        for each in self.questions:
            if (each.uuid, each.inner) == (uuid, inner):
                return each
        return None

    def _take(self, question_id: str) -> Question:
        question = self._questions.pop(question_id, None)
        if question is None:
            raise _no_such(question_id)
        return question


def _no_such(question_id: str) -> NoSuchRequest:
    return NoSuchRequest(
        f"there is no open request {question_id[:16]!a}: it was answered, its time is"
        " over, or the program gave up; see qvm-forward --requests"
    )
