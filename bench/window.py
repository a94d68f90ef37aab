# SPDX-License-Identifier: GPL-2.0-or-later
"""A window as a process of its own, which tells of itself: `python -m bench.window`.

Its lines are JSON: the moment from which it could be used, by the monotonic clock; the
milliseconds of processor time of each frame while it was scrolled; and, after each of
two lines that say so, for how many milliseconds its loop of events was away, at most,
in each second.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from PyQt6.QtCore import QTimer
from PyQt6.QtWidgets import QAbstractItemView, QApplication, QTableWidget, QWidget

from qubesforward.gui.application import start_application

PLAIN, SETTINGS, OVERVIEW = "plain", "settings", "overview"
QUBE = "qube0"
"""Whose settings are shown."""

_PATIENCE = 60.0
_COLUMNS = 9
_WIDTH, _HEIGHT = 760, 400
"""About as much as a table of ours has."""

_SETTLING = 1.0
"""Seconds until a window that is seen has heard all that it asked for."""


@dataclass(frozen=True)
class Subject:
    """One window: `view` is what is scrolled in it; `kept` is what it lives by."""

    window: QWidget
    view: QAbstractItemView
    is_filled: Callable[[], bool]
    kept: object = None


def make_subject(kind: str, qubesd: str, forwardd: str, size: int) -> Subject:
    """Return the window that is asked for, shown; ours begin to talk."""
    if kind == PLAIN:
        return _make_plain(size)
    # As the program does it; whoever starts a plain window does not pay for ours.
    from qubesforward.gui.windows import Windows
    from qubesforward.gui.worker import Worker

    worker = Worker(qubesd, forwardd)
    worker.start()
    windows = Windows(worker)
    if kind == OVERVIEW:
        tree = windows.show_overview().tree
        return Subject(tree.window(), tree, lambda: tree.rows.rowCount() > 0, windows)
    return _make_settings(windows, size)


def _make_settings(windows: object, size: int) -> Subject:
    from qubesforward.gui.settings import SettingsWindow
    from qubesforward.gui.windows import Windows

    if not isinstance(windows, Windows):
        raise TypeError(windows)
    windows.show(QUBE)
    window = windows.shown[QUBE]
    if not isinstance(window, SettingsWindow):
        raise TypeError(window)
    pane = window.page.forwards
    rows = pane.table.rows

    def is_filled() -> bool:
        return pane.isEnabled() and rows.rowCount() == size

    return Subject(window, pane.table, is_filled, windows)


def _make_plain(size: int) -> Subject:
    from PyQt6.QtWidgets import QTableWidgetItem

    table = QTableWidget(size, _COLUMNS)
    for row in range(size):
        for column in range(_COLUMNS):
            table.setItem(row, column, QTableWidgetItem(f"{row} of {column}"))
    table.resize(_WIDTH, _HEIGHT)
    table.show()
    return Subject(table, table, lambda: True)


def wait_filled(subject: Subject) -> None:
    """Let events happen until everything is there; then draw it."""
    end = time.monotonic() + _PATIENCE
    while not subject.is_filled():
        if time.monotonic() > end:
            sys.exit("the window stays empty")
        QApplication.processEvents()
        time.sleep(0.0005)
    QApplication.processEvents()
    subject.window.repaint()


def scroll(view: QAbstractItemView, frames: int) -> list[float]:
    """Scroll from the top to the bottom; return what each frame cost.

    In milliseconds of this thread, whatever else the machine had to do.
    """
    bar = view.verticalScrollBar()
    took = []
    for number in range(1, frames + 1):
        began = time.thread_time()
        bar.setValue(bar.maximum() * number // frames)
        view.viewport().repaint()
        took.append(1000 * (time.thread_time() - began))
        QApplication.processEvents()
    return took


def find_stalls(application: QApplication, seconds: int) -> list[float]:
    """Return the longest time between two turns of the loop, second by second."""
    longest = [0.0] * seconds
    began = last = time.perf_counter()

    def turn() -> None:
        nonlocal last
        now = time.perf_counter()
        second = int(last - began)
        if second < seconds:
            longest[second] = max(longest[second], 1000 * (now - last))
        last = now
        if now - began >= seconds:
            application.quit()

    ticks = QTimer()
    ticks.setInterval(1)
    ticks.timeout.connect(turn)
    ticks.start()
    application.exec()
    return longest


def _tell(what: object) -> None:
    print(json.dumps(what), flush=True)


def main() -> int:
    """Show one window, and tell of it: KIND QUBESD FORWARDD SIZE FRAMES SECONDS."""
    kind, qubesd, forwardd, *numbers = sys.argv[1:]
    size, frames, seconds = map(int, numbers)
    application = start_application("bench")
    subject = make_subject(kind, qubesd, forwardd, size)
    wait_filled(subject)
    _tell(time.monotonic())
    _tell(scroll(subject.view, frames))
    settled = time.monotonic() + _SETTLING
    while time.monotonic() < settled:
        application.processEvents()
        time.sleep(0.001)
    for _ in range(2):
        _tell("listening")
        _tell(find_stalls(application, seconds))
    return 0


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    sys.exit(status)
