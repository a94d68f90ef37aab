# SPDX-License-Identifier: GPL-2.0-or-later
"""What of the whole computer is open, live, and the calls that close it. No widgets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from PyQt6.QtCore import QObject, QTimer, pyqtSignal

from qubesforward.cli.log_lines import LogLine, decode_log
from qubesforward.cli.status import ForwardStatus, Status, decode_status
from qubesforward.errors import ForwardError
from qubesforward.gui.calls import Calls, OnAnswer
from qubesforward.gui.look import Done, Look, may_change_paths
from qubesforward.gui.talker import Read
from qubesforward.gui.words import say_error
from qubesforward.gui.worker import Worker

_COMPUTER = "dom0"
_FIREWALL = "admin.vm.firewall."
_FORWARD = "forward"

GATHER = 250
"""Milliseconds. The status of a whole computer may be large."""

LOOK = 5000
"""Milliseconds between looks at counters, which no event tells."""

_ATTEMPTS = 3
"""At closing all: programs may get ports, or let go of them, meanwhile."""


class ComputerFirewall(QObject):
    """The forwards of all qubes, and the audit log.

    `status_read` has a `Status`, at the start and whenever it may have changed.
    `log_read` has the lines, whether there are more, and why the log cannot be
    written; it comes while the log is watched. `failed` is what could not be read.
    """

    status_read = pyqtSignal(object)
    log_read = pyqtSignal(list, bool, str)
    failed = pyqtSignal(str)

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self._calls = Calls(worker, self)
        self._status = Look(self._ask_status, self, GATHER)
        self._log = Look(self._ask_log, self, GATHER)
        self._watches_log = False
        self._counters = QTimer(self)
        self._counters.setInterval(LOOK)
        self._counters.timeout.connect(self._status.wake)
        worker.happened.connect(self._note)
        worker.connected.connect(self._note_connection)
        worker.qubesd_heard.connect(self._status.wake)
        self._status.wake()

    def watch_counters(self, is_watching: bool) -> None:
        """Look at the counters now and then, while somebody sees them."""
        if is_watching:
            self._counters.start()
        else:
            self._counters.stop()

    def watch_log(self, is_watching: bool) -> None:
        """Read the log whenever something happens, while somebody sees it."""
        if is_watching and not self._watches_log:
            self._log.wake()
        self._watches_log = is_watching

    def close_forwards(
        self,
        chosen: Iterable[tuple[str, ForwardStatus]],
        refused: Callable[[str], None],
    ) -> None:
        """Close forwards, each given with its qube; `refused` is told what fails."""
        lines: dict[str, list[str]] = {}
        for qube, forward in chosen:
            # A disposable's are rules of what it was made from.
            lines.setdefault(forward.owner or qube, []).append(forward.line)
        for qube, each in lines.items():
            unique = list(dict.fromkeys(each))
            self._change("Remove", qube, unique, self._status.wake, refused)

    def close_all(
        self, refused: Callable[[str], None], attempts: int = _ATTEMPTS
    ) -> None:
        """Close everything that is there when it is done, not what is shown.

        What goes wrong with one qube does not leave the others open.
        """

        def take(content: bytes) -> None:
            try:
                status = decode_status(content)
            except ForwardError as error:
                refused(say_error(error))
                return
            self._close_status(status, refused, attempts)

        fail = partial(_tell, refused)
        self._calls.ask(f"{_FIREWALL}Status", _COMPUTER, _FORWARD, b"", take, fail)

    def _close_status(
        self, status: Status, refused: Callable[[str], None], attempts: int
    ) -> None:
        owners: set[str] = set()
        left: list[str] = []
        problems: list[str] = []

        def settle(key: str, problem: str = "") -> None:
            left.remove(key)
            if problem:
                problems.append(problem)
            if left:
                return
            self._status.wake()
            if problems and attempts > 1:
                self.close_all(refused, attempts - 1)
            elif problems:
                refused("; ".join(dict.fromkeys(problems)))

        changes: list[tuple[str, str, Sequence[str]]] = []
        for qube in status.qubes:
            mapped = [each.line for each in qube.forwards if each.is_mapping]
            own = (each for each in qube.forwards if not each.is_mapping)
            owners |= {each.owner or qube.name for each in own}
            if mapped:
                changes.append(("Remove", qube.name, mapped))
        # The user's own go by one call, with what was added a moment ago.
        changes = [*(("Set", name, ()) for name in sorted(owners)), *changes]
        left += [f"{call} {name}" for call, name, _lines in changes]
        for call, name, lines in changes:
            key = f"{call} {name}"
            self._change(call, name, lines, partial(settle, key), partial(settle, key))

    def _change(
        self,
        call: str,
        qube: str,
        lines: Sequence[str],
        done: Done,
        refused: Callable[[str], None],
    ) -> None:
        payload = "".join(f"{line}\n" for line in lines).encode("ascii", "replace")

        def take(_content: bytes) -> None:
            done()

        def fail(_kind: str, message: str) -> None:
            refused(f"{qube}: {message}")

        self._calls.ask(f"{_FIREWALL}{call}", qube, _FORWARD, payload, take, fail)

    def _note_connection(self, is_connected: bool) -> None:
        if is_connected:
            self._status.wake()
            self._wake_log()

    def _wake_log(self) -> None:
        if self._watches_log:
            self._log.wake()

    def _note(self, _subject: str, name: str, _more: object) -> None:
        if may_change_paths(name):
            self._status.wake()
            self._wake_log()

    def _ask_status(self, done: Done) -> None:
        take = self.status_read.emit
        self._read("Status", b"", done, decode_status, take)

    def _ask_log(self, done: Done) -> None:
        def take(told: tuple[list[LogLine], bool, str]) -> None:
            self.log_read.emit(*told)

        self._read("Log", b"0", done, decode_log, take)

    def _read(
        self, call: str, payload: bytes, done: Done, read: Read, take: OnAnswer
    ) -> None:
        def answer(told: object) -> None:
            done()
            take(told)

        def fail(_kind: str, message: str) -> None:
            done()
            # Whoever cannot be reached is told of by the worker, once.
            if self._worker.is_connected:
                self.failed.emit(message)

        method = f"{_FIREWALL}{call}"
        self._calls.ask(method, _COMPUTER, _FORWARD, payload, answer, fail, read)


def _tell(refused: Callable[[str], None], _kind: str, message: str) -> None:
    refused(message)
