# SPDX-License-Identifier: GPL-2.0-or-later
"""All talking of the desktop: windows ask and go on, and hear of it by signals.

What comes back is told in the thread of the windows, in the order in which it came.
"""

from __future__ import annotations

import itertools
from collections import deque

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from qubesforward.gui.talker import (
    Answered,
    Asked,
    Failed,
    Heard,
    Read,
    Service,
    Talker,
    Told,
)
from qubesforward.gui.words import say_told
from qubesforward.qubes.paths import FORWARDD_SOCKET, QUBESD_SOCKET

RETRY = 0.5
"""Seconds until a service that is gone is looked for again."""


class Worker(QObject):
    """Makes calls, and follows the events of qubesd and of qubes-forwardd.

    `answered` has the token of a call and what was read of the answer; `failed` the
    token, the kind of the error (that of an `AdminError`, else the name of the class)
    and its text. `happened` is an event: the qube, the name, and a mapping of what
    else it says. `connected` tells whether qubes-forwardd is heard, and `reason` why
    not. Whenever that comes with True, and with each `qubesd_heard`, events may have
    been missed before.
    """

    answered = pyqtSignal(int, object)
    failed = pyqtSignal(int, str, str)
    happened = pyqtSignal(str, str, object)
    connected = pyqtSignal(bool)
    qubesd_heard = pyqtSignal()

    _woken = pyqtSignal()

    def __init__(
        self,
        qubesd: str = QUBESD_SOCKET,
        forwardd: str = FORWARDD_SOCKET,
        retry: float = RETRY,
        parent: QObject | None = None,
    ) -> None:
        super().__init__(parent)
        self.is_connected = False
        self.reason = ""
        self._tokens = itertools.count(1)
        self._news: deque[Told] = deque()
        self._is_closed = False
        # The talker's thread is another one: by that, Qt queues it for this one.
        self._woken.connect(self._tell_all)
        self._talker = Talker(self._put, qubesd, forwardd, retry)

    def start(self) -> None:
        """Begin to talk; calls that were asked for before are made now."""
        self._talker.start()

    def ask(
        self,
        method: str,
        dest: str = "dom0",
        arg: str = "",
        payload: bytes = b"",
        read: Read = bytes,
    ) -> int:
        """Make a call as soon as possible; return its token at once.

        What is answered is what `read` makes of it, in another thread.
        """
        token = next(self._tokens)
        self._talker.ask(Asked(token, method, dest, arg, payload, read))
        return token

    def close(self) -> None:
        """End the talking. Calls under way may still happen; nobody is told."""
        self._is_closed = True
        self._talker.end()

    def _put(self, told: Told) -> None:
        """Take in what the talker tells, in its thread."""
        self._news.append(told)
        # One wake-up for many news: between two, the windows get to draw.
        if len(self._news) == 1:
            self._woken.emit()

    def _tell_all(self) -> None:
        for _ in range(len(self._news)):
            told = self._news.popleft()
            if not self._is_closed:
                self._tell(told)
        if self._news:
            QTimer.singleShot(0, self._tell_all)

    def _tell(self, told: Told) -> None:
        match told:
            case Answered(token, content):
                self.answered.emit(token, content)
            case Failed(token, kind, message):
                self.failed.emit(token, kind, say_told(message))
            case Heard(Service.FORWARDD):
                self._note_connection(told)
            case Heard():
                if told.is_heard:
                    self.qubesd_heard.emit()
            case event:
                self.happened.emit(event.subject, event.name, event.kwargs)

    def _note_connection(self, heard: Heard) -> None:
        is_first = not (self.is_connected or self.reason)
        was = (self.is_connected, self.reason)
        self.is_connected, self.reason = heard.is_heard, say_told(heard.reason)
        if is_first or was != (self.is_connected, self.reason):
            self.connected.emit(heard.is_heard)
