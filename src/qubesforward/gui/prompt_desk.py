# SPDX-License-Identifier: GPL-2.0-or-later
"""Between the window that asks the user, and the daemon that wants to know."""

from __future__ import annotations

from functools import partial

from PyQt6.QtCore import QObject, QTimer

from qubesforward.cli.request import Request, decode_requests
from qubesforward.errors import ForwardError
from qubesforward.gui.calls import Calls
from qubesforward.gui.labels import Labels
from qubesforward.gui.look import Done, Look
from qubesforward.gui.prompt_window import PromptWindow
from qubesforward.gui.worker import Worker

_FIREWALL = "admin.vm.firewall."
_FORWARD = "forward"

_GATHER = 300
"""Milliseconds. Programs ask for TCP and UDP, by several protocols, one after the
other; that is one question, and is shown once."""


class PromptDesk(QObject):
    """Has the open questions shown, and the answers sent."""

    def __init__(self, worker: Worker, labels: Labels, window: PromptWindow) -> None:
        super().__init__(window)
        self._window = window
        self._labels = labels
        self._calls = Calls(worker, self)
        self._look = Look(self._ask, self, _GATHER)
        worker.happened.connect(self._note)
        worker.connected.connect(self._note_connection)
        labels.changed.connect(window.show_labels)
        window.answered.connect(self._answer)
        self._look.wake()

    def _note(self, _subject: str, name: str, _more: object) -> None:
        if name.startswith("portmap-"):
            self._look.wake()

    def _note_connection(self, is_connected: bool) -> None:
        if is_connected:
            self._look.wake()
        else:
            # Nobody would take an answer, and nothing opens meanwhile.
            self._window.show_requests([])

    def _ask(self, done: Done) -> None:
        def take(content: bytes) -> None:
            done()
            try:
                requests = decode_requests(content)
            except ForwardError:
                requests = []
            self._labels.want(each.qube for each in requests)
            self._window.show_requests(requests)

        def fail(_kind: str, _message: str) -> None:
            done()
            self._window.show_requests([])

        self._calls.ask(f"{_FIREWALL}Requests", "dom0", _FORWARD, b"", take, fail)

    def _answer(self, request: Request, call: str, scope: str) -> None:
        def take(_content: bytes) -> None:
            self._look.wake()

        payload = f"{request.id} {scope}".encode("ascii", "replace")
        fail = partial(self._tell_failure, request)
        self._calls.ask(
            f"{_FIREWALL}{call}", request.qube, _FORWARD, payload, take, fail
        )

    def _tell_failure(self, request: Request, _kind: str, message: str) -> None:
        self._window.show_failure(request, message)
        # What is open tells whether there is still something to answer.
        QTimer.singleShot(0, self._look.wake)
