# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards as a model that tables show: rows keep their place while they change."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QAbstractTableModel, QModelIndex, QObject, Qt

from qubesforward.cli.status import ForwardStatus
from qubesforward.gui.forwards_rows import (
    Column,
    cell_text,
    changed_rows,
    column_title,
    explain_state,
    key_of,
    sort_value,
)
from qubesforward.gui.plain import plain_tip
from qubesforward.gui.row_changes import find_changes
from qubesforward.gui.states import state_icon

_ROOT = QModelIndex()
SORT_ROLE = int(Qt.ItemDataRole.UserRole)

# An enumeration is slow to count, and this is asked for each cell that is drawn.
_COLUMNS = len(Column)


class ForwardsModel(QAbstractTableModel):
    """The forwards of one qube, with what became of each."""

    def __init__(self, qube: str, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._qube = qube
        self._forwards: list[ForwardStatus] = []
        self._now = 0

    def show_forwards(self, forwards: Sequence[ForwardStatus], now: int) -> None:
        """Show these; only what differs from before is drawn anew."""
        self._now = now
        changed = changed_rows(self._forwards, forwards)
        if changed is None:
            self._move_to(forwards)
            return
        self._forwards = list(forwards)
        last = len(Column) - 1
        for row in changed:
            self.dataChanged.emit(self.index(row, 0), self.index(row, last))

    def forward_at(self, row: int) -> ForwardStatus:
        """Return the forward of a row."""
        return self._forwards[row]

    def _move_to(self, forwards: Sequence[ForwardStatus]) -> None:
        before = [key_of(forward) for forward in self._forwards]
        changes = find_changes(before, [key_of(forward) for forward in forwards])
        if changes is None:
            self._reset(forwards)
            return
        for row in changes.removed:
            self.beginRemoveRows(_ROOT, row, row)
            del self._forwards[row]
            self.endRemoveRows()
        for row in changes.inserted:
            self.beginInsertRows(_ROOT, row, row)
            self._forwards.insert(row, forwards[row])
            self.endInsertRows()
        self.show_forwards(forwards, self._now)

    def _reset(self, forwards: Sequence[ForwardStatus]) -> None:
        self.beginResetModel()
        self._forwards = list(forwards)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of forwards."""
        return 0 if parent.isValid() else len(self._forwards)

    def columnCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else _COLUMNS

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return the title of a column."""
        is_title = orientation is Qt.Orientation.Horizontal
        if is_title and role == Qt.ItemDataRole.DisplayRole:
            return column_title(Column(section))
        return None

    def data(
        self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Return what a cell shows."""
        if not index.isValid():
            return None
        forward, column = self._forwards[index.row()], Column(index.column())
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(forward, self._qube, column, self._now)
        if role == Qt.ItemDataRole.DecorationRole and column is Column.STATE:
            return state_icon(forward.state)
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self._explain(forward, column))
        if role == SORT_ROLE:
            return sort_value(forward, self._qube, column, self._now)
        return None

    def _explain(self, forward: ForwardStatus, column: Column) -> str:
        if column is not Column.STATE:
            return cell_text(forward, self._qube, column, self._now)
        return explain_state(forward, self._qube)
