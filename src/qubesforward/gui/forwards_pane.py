# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwarding of one qube: what is open, and what can be done about it."""

from __future__ import annotations

import time

from PyQt6.QtCore import QPoint, Qt, pyqtSignal
from PyQt6.QtGui import QAction, QKeySequence
from PyQt6.QtWidgets import (
    QHBoxLayout,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.phrase import Phrase, Start
from qubesforward.cli.sentences import describe_silence, explain_forwards
from qubesforward.cli.status import ForwardStatus, State, Status
from qubesforward.gui.forwards_rows import Key
from qubesforward.gui.forwards_table import ForwardsTable
from qubesforward.gui.notice import Notice
from qubesforward.gui.path_view import PathView
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.portmap_box import PortmapBox
from qubesforward.gui.words import say, say_told
from qubesforward.model.rule import REBOOT, ForwardRule

_DURATIONS = ("10m", "1h", "8h", "1d", REBOOT, "")


class ForwardsPane(QWidget):
    """Data in, signals out: what the user wants done with the chosen forwards.

    `extend_wanted` has a forward and a duration as `read_end` reads it.
    """

    add_wanted = pyqtSignal()
    edit_wanted = pyqtSignal(object)
    copy_wanted = pyqtSignal(object)
    remove_wanted = pyqtSignal(list)
    extend_wanted = pyqtSignal(object, str)
    confirm_wanted = pyqtSignal()

    def __init__(self, qube: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._qube = qube
        self._status = Status((), ())
        self._awaited: Key | None = None
        self.table = ForwardsTable(qube, self)
        self.sentence = PlainLabel(parent=self)
        self.path = PathView(self, qube)
        self.portmap = PortmapBox(self)
        confirm = {self.tr("Use them here"): self._confirm}
        self.copied = Notice(confirm, self)
        confirm_imported = {self.tr("Confirm them"): self._confirm}
        self.imported = Notice(confirm_imported, self)
        self.problem = Notice(parent=self)
        self._make_buttons()
        self._lay_out()
        self._connect()
        self.setEnabled(False)
        self._show_chosen()

    def _make_buttons(self) -> None:
        self.add_button = QPushButton(self.tr("Open a port…"), self)
        self.edit_button = QPushButton(self.tr("Change…"), self)
        self.copy_button = QPushButton(self.tr("Duplicate…"), self)
        self.extend_button = QPushButton(self.tr("Open for"), self)
        self.remove_button = QPushButton(self.tr("Remove"), self)
        self.edit_button.setAccessibleName(self.tr("Change the forwarded port"))
        self.copy_button.setAccessibleName(self.tr("Duplicate the forwarded port"))
        self.extend_button.setAccessibleName(self.tr("Open the port for a time"))
        self.remove_button.setAccessibleName(self.tr("Remove the forwarded ports"))
        self.extend_menu = QMenu(self)
        words = (
            self.tr("10 minutes"),
            self.tr("1 hour"),
            self.tr("8 hours"),
            self.tr("1 day"),
            self.tr("until this computer is restarted"),
            self.tr("for good"),
        )
        for text, duration in zip(words, _DURATIONS, strict=True):
            action = QAction(text, self.extend_menu)
            action.setData(duration)
            self.extend_menu.addAction(action)
        self.extend_button.setMenu(self.extend_menu)

    def _lay_out(self) -> None:
        buttons = QVBoxLayout()
        for button in (
            self.add_button,
            self.edit_button,
            self.copy_button,
            self.extend_button,
            self.remove_button,
        ):
            buttons.addWidget(button)
        buttons.addStretch()
        middle = QHBoxLayout()
        middle.addWidget(self.table, 1)
        middle.addLayout(buttons)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.copied)
        layout.addWidget(self.imported)
        layout.addWidget(self.problem)
        layout.addLayout(middle, 1)
        layout.addWidget(self.sentence)
        layout.addWidget(self.path)
        layout.addWidget(self.portmap)

    def _connect(self) -> None:
        self.add_button.clicked.connect(self.add_wanted)
        self.edit_button.clicked.connect(self._edit)
        self.copy_button.clicked.connect(self._copy)
        self.remove_button.clicked.connect(self._remove)
        self.table.doubleClicked.connect(self._edit)
        self.extend_menu.triggered.connect(self._extend)
        remove = QAction(self.tr("Remove"), self.table)
        remove.setShortcut(QKeySequence(QKeySequence.StandardKey.Delete))
        remove.setShortcutContext(Qt.ShortcutContext.WidgetShortcut)
        remove.triggered.connect(self._remove)
        self.table.addAction(remove)
        self.table.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.table.customContextMenuRequested.connect(self._show_menu)
        selection = self.table.selectionModel()
        selection.selectionChanged.connect(self._show_chosen)

    def show_status(self, status: Status) -> None:
        """Show what the daemon tells of the qube."""
        self._status = status
        qube = status.find_qube(self._qube)
        self.table.show_forwards(qube.forwards)
        self.portmap.show_forwards(qube.forwards)
        copied = self.tr(
            "These ports were opened for the qube that this one is a copy of. They are"
            " closed here until you say otherwise."
        )
        self.copied.say(copied if qube.unconfirmed and qube.forwards else "")
        # Of a copied list none is open, whether it was imported there or not.
        waiting = sum(each.state is State.UNCONFIRMED for each in qube.forwards)
        imported = self.tr("Imported, and closed until you confirm them: {0}")
        is_asked = waiting and not qube.unconfirmed
        self.imported.say(imported.format(waiting) if is_asked else "")
        self.problem.say("\n".join(filter(None, self._problems(status))))
        if self._awaited is not None and self.table.choose(self._awaited):
            self._awaited = None
        self.setEnabled(True)
        self._show_chosen()

    def _problems(self, status: Status) -> list[str]:
        qube = status.find_qube(self._qube)
        problems = [say_told(qube.problem)]
        if qube.unreadable:
            text = self.tr("Rules that cannot be read, and are not used: {0}")
            problems.append(text.format("; ".join(map(say_told, qube.unreadable))))
        if qube.cone:
            text = self.tr("The block of UDP ports is not open: {0}")
            problems.append(text.format(say_told(qube.cone)))
        if status.audit:
            problems.append(
                self.tr("Nothing can be opened: {0}").format(say_told(status.audit))
            )
        return problems

    def _show_chosen(self) -> None:
        chosen = self.table.chosen
        # A disposable's forwards are rules of what it was made from.
        are_own = all(each.owner in ("", self._qube) for each in chosen)
        is_one = len(chosen) == 1
        for button in (self.edit_button, self.extend_button):
            button.setEnabled(is_one and are_own and not chosen[0].is_mapping)
        self.copy_button.setEnabled(is_one)
        self.remove_button.setEnabled(bool(chosen) and are_own)
        if is_one:
            self._explain(chosen[0])
            return
        self.path.clear()
        if not self._status.find_qube(self._qube).forwards and self.isEnabled():
            text = self.tr("No port of {0} is open: nobody can connect to it.")
            self.sentence.show_text(text.format(self._qube))
        else:
            self.sentence.show_text("")

    def _explain(self, forward: ForwardStatus) -> None:
        said = [say(explain_forwards([forward], self._qube, int(time.time())))]
        if silence := describe_silence(forward, self._qube):
            said.append(say(Phrase("{0}.", Start(silence))))
        self.sentence.show_text(" ".join(said))
        self.path.show_forward(forward, self._status.hops)

    def choose_soon(self, rule: ForwardRule) -> None:
        """Choose the row of this forward as soon as it is told."""
        self._awaited = rule.place, self._qube, False

    def _confirm(self) -> None:
        self.confirm_wanted.emit()

    def _edit(self) -> None:
        if self.edit_button.isEnabled():
            self.edit_wanted.emit(self.table.chosen[0])

    def _copy(self) -> None:
        self.copy_wanted.emit(self.table.chosen[0])

    def _remove(self) -> None:
        if self.remove_button.isEnabled():
            self.remove_wanted.emit(self.table.chosen)

    def _extend(self, action: QAction) -> None:
        if self.extend_button.isEnabled():
            self.extend_wanted.emit(self.table.chosen[0], action.data())

    def _show_menu(self, place: QPoint) -> None:
        menu = QMenu(self)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        for button in (self.edit_button, self.copy_button, self.remove_button):
            action = QAction(button.text(), menu)
            action.setEnabled(button.isEnabled())
            action.triggered.connect(button.click)
            menu.addAction(action)
        menu.popup(self.table.viewport().mapToGlobal(place))
