# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls whose answers go to the function that waits for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PyQt6.QtCore import QObject

from qubesforward.gui.talker import Read
from qubesforward.gui.worker import Worker

OnAnswer = Callable[[Any], None]
"""Is given what was read of the answer; without a reader its bytes."""

OnFailure = Callable[[str, str], None]
"""Is given the kind of the error and its text."""


class Calls(QObject):
    """The calls of one window; those of others pass by. `worker` outlives it."""

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._waiting: dict[int, tuple[OnAnswer, OnFailure]] = {}
        worker.answered.connect(self._answer)
        worker.failed.connect(self._fail)

    def ask(
        self,
        method: str,
        dest: str,
        arg: str,
        payload: bytes,
        on_answer: OnAnswer,
        on_failure: OnFailure,
        read: Read = bytes,
    ) -> int:
        """Make a call; one of the two functions is called later, unless dropped."""
        token = self._worker.ask(method, dest, arg, payload, read)
        self._waiting[token] = (on_answer, on_failure)
        return token

    def drop(self, token: int) -> None:
        """Have nothing told of this call any more: its answer would be stale."""
        self._waiting.pop(token, None)

    def _answer(self, token: int, content: object) -> None:
        if token in self._waiting:
            self._waiting.pop(token)[0](content)

    def _fail(self, token: int, kind: str, message: str) -> None:
        if token in self._waiting:
            self._waiting.pop(token)[1](kind, message)
