# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log as a table, the newest event first."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import (
    QAbstractTableModel,
    QCoreApplication,
    QModelIndex,
    QObject,
    QSortFilterProxyModel,
    Qt,
)
from PyQt6.QtWidgets import QAbstractItemView, QTableView, QWidget

from qubesforward.cli.log_lines import LogLine, describe_line, format_time
from qubesforward.gui.plain import bound, plain_tip
from qubesforward.gui.words import say

_ROOT = QModelIndex()
_MEASURED = 50

Row = tuple[str, str, str, str, str]
"""Time, event, qube, forward, details."""


def event_word(event: str) -> str:
    """Return what an event of the log is called in the user's language."""
    words = {
        "added": QCoreApplication.translate("Log", "added"),
        "changed": QCoreApplication.translate("Log", "changed"),
        "removed": QCoreApplication.translate("Log", "removed"),
        "confirmed": QCoreApplication.translate("Log", "copy confirmed"),
        "expired": QCoreApplication.translate("Log", "time is over"),
        "denied": QCoreApplication.translate("Log", "call denied"),
        "requested": QCoreApplication.translate("Log", "program asks"),
        "granted": QCoreApplication.translate("Log", "granted"),
        "declined": QCoreApplication.translate("Log", "declined"),
        "opened": QCoreApplication.translate("Log", "opened"),
        "found": QCoreApplication.translate("Log", "found open"),
        "unsure": QCoreApplication.translate("Log", "perhaps open"),
        "closed": QCoreApplication.translate("Log", "closed"),
        "refused": QCoreApplication.translate("Log", "refused"),
        "started": QCoreApplication.translate("Log", "service started"),
        "stopped": QCoreApplication.translate("Log", "service stopped"),
        "lost": QCoreApplication.translate("Log", "events lost"),
    }
    return words.get(event, event)


def describe_row(line: LogLine) -> Row:
    """Return what stands in the columns for an event."""
    forward, details = describe_line(line)
    event, told = event_word(line.event), bound(say(details))
    return format_time(line), event, line.qube, say(forward), told


class LogModel(QAbstractTableModel):
    """The events of one answer; a row is put in words when it is seen."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._lines: list[LogLine] = []
        self._rows: dict[int, Row] = {}

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        """Show these, given the oldest first; rows stay where they are, if they can."""
        newest = list(reversed(lines))
        if newest == self._lines:
            return
        new = len(newest) - len(self._lines)
        if new > 0 and newest[new:] == self._lines:
            self.beginInsertRows(_ROOT, 0, new - 1)
            self._lines, self._rows = newest, {}
            self.endInsertRows()
            return
        self.beginResetModel()
        self._lines, self._rows = newest, {}
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of events."""
        return 0 if parent.isValid() else len(self._lines)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else 5

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return the title of a column."""
        titles = (
            self.tr("Time"),
            self.tr("Event"),
            self.tr("Qube"),
            self.tr("Forward"),
            self.tr("Details"),
        )
        is_title = orientation is Qt.Orientation.Horizontal
        if is_title and role == Qt.ItemDataRole.DisplayRole:
            return titles[section]
        return None

    def data(
        self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._row(index.row())[index.column()]
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self._row(index.row())[index.column()])
        return None

    def _row(self, number: int) -> Row:
        if number not in self._rows:
            self._rows[number] = describe_row(self._lines[number])
        return self._rows[number]


class LogTable(QTableView):
    """The events that have a text anywhere."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = LogModel(self)
        self._shown = QSortFilterProxyModel(self)
        self._shown.setSourceModel(self.rows)
        self._shown.setFilterKeyColumn(-1)
        case = Qt.CaseSensitivity.CaseInsensitive
        self._shown.setFilterCaseSensitivity(case)
        self.setModel(self._shown)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setAlternatingRowColors(True)
        self.setTabKeyNavigation(False)
        self.setWordWrap(False)
        self.setAccessibleName(self.tr("Audit log"))
        self.verticalHeader().hide()
        height = round(self.fontMetrics().height() * 1.5)
        self.verticalHeader().setDefaultSectionSize(height)
        self.horizontalHeader().setStretchLastSection(True)
        self.horizontalHeader().setResizeContentsPrecision(_MEASURED)
        self.horizontalHeader().setHighlightSections(False)

    def show_lines(self, lines: Sequence[LogLine]) -> None:
        """Show these, given the oldest first."""
        was_empty = not self.rows.rowCount()
        self.rows.show_lines(lines)
        if was_empty and lines:
            self.resizeColumnsToContents()

    def show_only(self, text: str) -> None:
        """Show events that have a text anywhere."""
        self._shown.setFilterFixedString(text)
