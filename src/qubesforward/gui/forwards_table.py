# SPDX-License-Identifier: GPL-2.0-or-later
"""The table of a qube's forwards: sorted by its columns, chosen by rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PyQt6.QtCore import QModelIndex, QSortFilterProxyModel, Qt
from PyQt6.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from qubesforward.cli.status import ForwardStatus
from qubesforward.gui.forwards_model import SORT_ROLE, ForwardsModel
from qubesforward.gui.forwards_rows import Column, Key, key_of

_AIR = 8
"""Pixels of a row that its text leaves."""

_MEASURED = 50
"""Rows that decide how wide the columns are; thousands would take too long."""


class ForwardsTable(QTableView):
    """Forwards as rows. What is chosen stays chosen while rows come and go."""

    def __init__(self, qube: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ForwardsModel(qube, self)
        self._sorted = _Sorted(self)
        self._sorted.setSourceModel(self.rows)
        self._sorted.setSortRole(SORT_ROLE)
        self.setModel(self._sorted)
        self.setSortingEnabled(True)
        self.sortByColumn(Column.PORTS, Qt.SortOrder.AscendingOrder)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setTabKeyNavigation(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.setAccessibleName(self.tr("Forwarded ports"))
        self._set_headers()

    def _set_headers(self) -> None:
        rows = self.verticalHeader()
        rows.hide()
        # As high as those of the overview, or three forwards would fill it.
        rows.setDefaultSectionSize(self.fontMetrics().height() + _AIR)
        columns = self.horizontalHeader()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        columns.setResizeContentsPrecision(_MEASURED)
        columns.setStretchLastSection(True)
        columns.setHighlightSections(False)

    def show_forwards(self, forwards: Sequence[ForwardStatus]) -> None:
        """Show these."""
        count = self.rows.rowCount()
        self.rows.show_forwards(forwards, int(time.time()))
        if self.rows.rowCount() > count and count < _MEASURED:
            self.resizeColumnsToContents()

    @property
    def chosen(self) -> list[ForwardStatus]:
        """The forwards whose rows are chosen, from above."""
        indexes = self.selectionModel().selectedRows()
        rows = sorted(index.row() for index in indexes)
        return [self._forward(self._sorted.index(row, 0)) for row in rows]

    def choose(self, key: Key) -> bool:
        """Choose the row of one forward; return whether it is there."""
        for row in range(self._sorted.rowCount()):
            if key_of(self._forward(self._sorted.index(row, 0))) == key:
                self.selectRow(row)
                return True
        return False

    def _forward(self, index: QModelIndex) -> ForwardStatus:
        return self.rows.forward_at(self._sorted.mapToSource(index).row())


class _Sorted(QSortFilterProxyModel):
    """Sorts by pairs of a number and a text, which Qt cannot compare by itself."""

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        source = self.sourceModel()
        return bool(source.data(left, SORT_ROLE) < source.data(right, SORT_ROLE))
