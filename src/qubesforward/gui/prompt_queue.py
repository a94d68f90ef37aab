# SPDX-License-Identifier: GPL-2.0-or-later
"""Which question is shown, and when it may be answered. No windows.

Moments are in seconds, of any clock that only goes forward.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qubesforward.cli.request import Request

ARMING = 1.0
"""Seconds for which a question is seen before a key or click can answer it: what the
user was about to type or press was meant for something else."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is shown: the question, how many others wait, and when it was first seen."""

    request: Request
    waiting: int
    seen: float


class PromptQueue:
    """The open questions, the oldest shown; it stays until it is answered or over."""

    def __init__(self) -> None:
        self._requests: dict[str, Request] = {}
        self._answered: set[str] = set()
        self._seen = 0.0
        self._shown = ""

    def show_requests(self, requests: Sequence[Request], now: float) -> None:
        """Take in all open questions.

        What was answered here and is still told of, because the answer is on its way,
        is not shown again. A question that asks for more than before is a new one.
        """
        told = {each.id: each for each in requests}
        self._answered &= told.keys()
        before = self._requests
        self._requests = {
            key: each for key, each in told.items() if key not in self._answered
        }
        shown = self._requests.get(self._shown)
        if shown is None or _meaning(shown) != _meaning(before[self._shown]):
            self._advance(now)

    def answer(self, request_id: str, now: float) -> None:
        """Note that a question is being answered, and go on to the next one."""
        self._answered.add(request_id)
        self._requests.pop(request_id, None)
        self._advance(now)

    def take_back(self, request_id: str) -> None:
        """Note that an answer did not arrive: the question is open as before."""
        self._answered.discard(request_id)

    def restart(self, now: float) -> None:
        """Note that what is shown is seen only from now on."""
        self._seen = now

    def shown(self) -> Asked | None:
        """Return what is shown; None if nothing is open."""
        request = self._requests.get(self._shown)
        if request is None:
            return None
        return Asked(request, len(self._requests) - 1, self._seen)

    def is_armed(self, now: float) -> bool:
        """Whether the question that is shown may be answered."""
        return self.shown() is not None and now - self._seen >= ARMING

    def _advance(self, now: float) -> None:
        kept = self._shown if self._shown in self._requests else ""
        self._shown = kept or next(iter(self._requests), "")
        self._seen = now


def _meaning(request: Request) -> Request:
    """Return what matters of a request: by which protocols it came does not."""
    return replace(request, vias=())
