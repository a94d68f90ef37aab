# SPDX-License-Identifier: GPL-2.0-or-later
"""The overview: every open port of the computer, how it is reached, and the log."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PyQt6.QtCore import QSize, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QHideEvent, QKeySequence, QShowEvent
from PyQt6.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QSplitter,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.log_lines import LogLine
from qubesforward.cli.phrase import Phrase, Start
from qubesforward.cli.reaching import describe_asker
from qubesforward.cli.sentences import describe_silence, explain_forwards
from qubesforward.cli.status import Status
from qubesforward.gui.close_all import ask_close_all
from qubesforward.gui.computer_firewall import ComputerFirewall
from qubesforward.gui.exposure_rows import Show, sum_up
from qubesforward.gui.exposures_tree import ExposuresTree
from qubesforward.gui.labels import Labels
from qubesforward.gui.log_table import LogTable
from qubesforward.gui.notice import Notice
from qubesforward.gui.path_view import PathView
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.words import say, say_told
from qubesforward.gui.worker import Worker


class Overview(QWidget):
    """Data in, signals out. `settings_wanted` has the name of a qube.

    `close_wanted` has what is chosen; `close_all_wanted` comes after a yes.
    `log_watched` tells whether the log is seen.
    """

    settings_wanted = pyqtSignal(str)
    close_wanted = pyqtSignal(list)
    close_all_wanted = pyqtSignal()
    log_watched = pyqtSignal(bool)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("Open ports"))
        self.question: QMessageBox | None = None
        self.gone = Notice(parent=self)
        self.problem = Notice({self.tr("Close"): lambda: None}, self)
        self.summary = PlainLabel(parent=self)
        self.tree = ExposuresTree(self)
        self.sentence = PlainLabel(parent=self)
        self.path = PathView(self)
        self.log = LogTable(self)
        self.log_note = PlainLabel(parent=self)
        self._make_controls()
        self._lay_out()
        self._connect()
        self._show_chosen()
        unit, line = self.fontMetrics().averageCharWidth(), self.fontMetrics().height()
        wanted = QSize(unit * 196, line * 42)
        self.resize(wanted.boundedTo(self.screen().availableSize()))

    def _make_controls(self) -> None:
        self.filter = QLineEdit(self)
        self.filter.setPlaceholderText(self.tr("Find a qube, port, address, comment…"))
        self.filter.setClearButtonEnabled(True)
        self.filter.setAccessibleName(self.tr("Find"))
        self.kind = QComboBox(self)
        self.kind.setAccessibleName(self.tr("Which are shown"))
        for show, text in (
            (Show.ALL, self.tr("All")),
            (Show.OPEN, self.tr("Open now")),
            (Show.CLOSED, self.tr("Wanted, but not open")),
            (Show.INTERNET, self.tr("For the internet")),
            (Show.PROGRAMS, self.tr("Asked for by programs")),
        ):
            self.kind.addItem(text, show)
        self.settings_button = QPushButton(self.tr("Firewall of the qube…"), self)
        self.close_button = QPushButton(self.tr("Close the chosen"), self)
        self.close_all_button = QPushButton(self.tr("Close everything…"), self)

    def _lay_out(self) -> None:
        above = QHBoxLayout()
        above.addWidget(self.filter, 1)
        above.addWidget(self.kind)
        below = QHBoxLayout()
        below.addWidget(self.settings_button)
        below.addStretch()
        below.addWidget(self.close_button)
        below.addWidget(self.close_all_button)
        details = QWidget(self)
        inside = QVBoxLayout(details)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.sentence)
        inside.addWidget(self.path)
        inside.addStretch()
        self._split = QSplitter(Qt.Orientation.Vertical, self)
        self._split.setChildrenCollapsible(False)
        self._split.addWidget(self.tree)
        self._split.addWidget(details)
        self._split.setStretchFactor(0, 1)
        ports, log = QWidget(self), QWidget(self)
        column = QVBoxLayout(ports)
        column.addWidget(self._split, 1)
        column.addLayout(below)
        column = QVBoxLayout(log)
        column.addWidget(self.log_note)
        column.addWidget(self.log, 1)
        self.tabs = QTabWidget(self)
        self.tabs.addTab(ports, self.tr("&Open ports"))
        self.tabs.addTab(log, self.tr("&Log"))
        layout = QVBoxLayout(self)
        layout.addWidget(self.gone)
        layout.addWidget(self.problem)
        layout.addWidget(self.summary)
        layout.addLayout(above)
        layout.addWidget(self.tabs, 1)

    def _connect(self) -> None:
        self.filter.textChanged.connect(self._filter)
        self.kind.currentIndexChanged.connect(self._filter)
        self.tree.choice_changed.connect(self._show_chosen)
        self.tree.wanted.connect(self.settings_wanted)
        self.settings_button.clicked.connect(self._want_settings)
        self.close_button.clicked.connect(self._want_close)
        self.close_all_button.clicked.connect(self.ask_close_all)
        self.tabs.currentChanged.connect(self._watch_log)
        close = QAction(self.tr("Close the chosen"), self.tree)
        close.setShortcut(QKeySequence(QKeySequence.StandardKey.Delete))
        close.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        close.triggered.connect(self._want_close)
        self.tree.addAction(close)
        find = QAction(self)
        find.setShortcut(QKeySequence(QKeySequence.StandardKey.Find))
        find.triggered.connect(self.filter.setFocus)
        self.addAction(find)

    def show_status(self, status: Status) -> None:
        """Show what the daemon tells of the computer."""
        self.tree.show_qubes(status.qubes)
        self.summary.show_text(sum_up(self.tree.rows.groups).text)
        problems = [
            f"{each.name}: {say_told(each.problem)}"
            for each in status.qubes
            if each.problem
        ]
        if status.audit:
            problems.append(
                self.tr("Nothing can be opened: {0}").format(say_told(status.audit))
            )
        if problems:
            self.problem.say("\n".join(problems))
        self._show_chosen()

    def show_log(self, lines: Sequence[LogLine], has_more: bool, problem: str) -> None:
        """Show the log, and what is wrong with it."""
        self.log.show_lines(lines)
        said = [self.tr("There is more, and older, in the file.")] if has_more else []
        if problem:
            said.append(
                self.tr("The log cannot be written: {0}").format(say_told(problem))
            )
        self.log_note.show_text(" ".join(said))
        self.log_note.setVisible(bool(said))

    def show_connection(self, is_connected: bool, reason: str) -> None:
        """Say whether what is shown is live."""
        text = self.tr(
            "What is shown may be out of date, and nothing can be changed now: {0}."
            " It is looked for all the time."
        )
        self.gone.say("" if is_connected else text.format(reason))
        self.tree.setEnabled(is_connected)
        self._show_chosen()

    def _filter(self) -> None:
        self.tree.show_only(Show(self.kind.currentData()), self.filter.text())
        self.log.show_only(self.filter.text())

    def _show_chosen(self) -> None:
        chosen = self.tree.chosen
        is_live = self.tree.isEnabled()
        self.close_button.setEnabled(is_live and bool(chosen))
        self.settings_button.setEnabled(len({qube for qube, _each in chosen}) == 1)
        self.close_all_button.setEnabled(is_live and bool(self.tree.rows.rowCount()))
        if len(chosen) != 1:
            self.path.clear()
            text = self.tr("Choose a port to see who reaches it, and by which way.")
            self.sentence.show_text(text)
            return
        qube, forward = chosen[0]
        said = [say(explain_forwards([forward], qube, int(time.time())))]
        if silence := describe_silence(forward, qube):
            said.append(say(Phrase("{0}.", Start(silence))))
        said.append(say(describe_asker(forward, qube)))
        self.sentence.show_text(" ".join(filter(None, said)))
        self.path.show_forward(forward, qube=qube)

    def _want_settings(self) -> None:
        chosen = self.tree.chosen
        if chosen:
            self.settings_wanted.emit(chosen[0][0])

    def _want_close(self) -> None:
        if self.close_button.isEnabled():
            self.close_wanted.emit(self.tree.chosen)

    def ask_close_all(self) -> None:
        """Ask once whether really everything is to be closed."""
        if self.question is None:
            self.question = ask_close_all(self, self._answer)

    def _answer(self, is_yes: bool) -> None:
        self.question = None
        if is_yes:
            self.close_all_wanted.emit()

    def _watch_log(self) -> None:
        self.log_watched.emit(self.isVisible() and self.tabs.currentIndex() == 1)

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the log if it is seen now."""
        super().showEvent(event)
        self._watch_log()

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more."""
        super().hideEvent(event)
        self._watch_log()


def open_overview(worker: Worker) -> Overview:
    """Return the window, live; it is not shown yet."""
    window = Overview()
    firewall = ComputerFirewall(worker, window)
    labels = Labels(worker, window)
    labels.changed.connect(window.tree.rows.show_labels)
    window.path.follow(labels)
    firewall.status_read.connect(window.show_status)
    firewall.status_read.connect(
        lambda status: labels.want(q.name for q in status.qubes if q.forwards)
    )
    firewall.log_read.connect(window.show_log)
    firewall.failed.connect(window.problem.say)
    refused = window.problem.say
    window.close_wanted.connect(lambda each: firewall.close_forwards(each, refused))
    window.close_all_wanted.connect(lambda: firewall.close_all(refused))
    window.log_watched.connect(firewall.watch_log)

    def tell(is_connected: bool) -> None:
        window.show_connection(is_connected, worker.reason)

    worker.connected.connect(tell)
    if worker.is_connected or worker.reason:
        tell(worker.is_connected)
    firewall.watch_counters(True)
    return window
