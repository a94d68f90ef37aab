# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of what is open: sorted by its columns, filtered, chosen by rows."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PyQt6.QtCore import QModelIndex, QSortFilterProxyModel, Qt, pyqtSignal
from PyQt6.QtWidgets import QAbstractItemView, QHeaderView, QTreeView, QWidget

from qubesforward.cli.status import ForwardStatus, QubeStatus
from qubesforward.gui.exposure_rows import Column, Show, is_shown
from qubesforward.gui.exposures_model import SORT_ROLE, ExposuresModel, SortValues
from qubesforward.gui.traffic_curve import CurveDelegate

_MEASURED = 50
"""Rows that decide how wide the columns are; thousands would take too long."""

_CURVE_WIDTH = 16
"""Of the curve's column, in average characters."""

Chosen = tuple[str, ForwardStatus]
"""A forward and the qube that it leads to."""


class ExposuresTree(QTreeView):
    """Qubes and their forwards. `choice_changed` comes when others are chosen.

    `wanted` has the name of a qube whose row, or one of whose, is double-clicked.
    """

    choice_changed = pyqtSignal()
    wanted = pyqtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows = ExposuresModel(self)
        self._shown = _Shown(self)
        self._order: SortValues = []
        self._shown.setSourceModel(self.rows)
        self._shown.rowsInserted.connect(self._expand)
        self.setModel(self._shown)
        self.setSortingEnabled(True)
        self.sortByColumn(Column.WHAT, Qt.SortOrder.AscendingOrder)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setUniformRowHeights(True)
        self.setAlternatingRowColors(True)
        self.setAllColumnsShowFocus(True)
        self.setExpandsOnDoubleClick(False)
        self.setItemDelegateForColumn(Column.CURVE, CurveDelegate(self))
        self.setAccessibleName(self.tr("Open ports of this computer"))
        header = self.header()
        header.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        header.setResizeContentsPrecision(_MEASURED)
        self.selectionModel().selectionChanged.connect(
            lambda *_: self.choice_changed.emit()
        )
        self.doubleClicked.connect(self._want)

    def show_qubes(self, qubes: Sequence[QubeStatus]) -> None:
        """Show these; what is chosen stays chosen while rows come and go."""
        was_empty = not self.rows.rowCount()
        self.rows.show_qubes(qubes, int(time.time()), time.monotonic())
        self._arrange()
        self.viewport().update()
        if was_empty and self.rows.rowCount():
            self.expandAll()
            for column in Column:
                self.resizeColumnToContents(column)
            width = self.fontMetrics().averageCharWidth() * _CURVE_WIDTH
            self.setColumnWidth(Column.CURVE, width)

    def _arrange(self) -> None:
        """Filter and sort anew where that could make a difference.

        Qt would do it row by row; a thousand rows would take it seconds.
        """
        header = self.header()
        column = Column(header.sortIndicatorSection())
        order = self.rows.sort_values(column)
        if order != self._order or self._shown.is_filtering:
            self._order = order
            self._shown.invalidateFilter()
            self._shown.sort(column, header.sortIndicatorOrder())

    def show_only(self, show: Show, text: str) -> None:
        """Show forwards of a kind that have a text anywhere."""
        self._shown.show_only(show, text)
        self.expandAll()

    @property
    def chosen(self) -> list[Chosen]:
        """The forwards that are chosen; with a qube's row all that are shown of it."""
        found: dict[tuple[str, int], Chosen] = {}
        for index in self.selectionModel().selectedRows():
            below = range(self._shown.rowCount(index))
            rows = [self._shown.index(row, 0, index) for row in below] or [index]
            for row in rows:
                source = self._shown.mapToSource(row)
                told = self.rows.forward_at(source)
                if told is not None:
                    found[told[0], source.row()] = told
        return list(found.values())

    def _want(self, index: QModelIndex) -> None:
        source = self._shown.mapToSource(index)
        told = self.rows.forward_at(source) or self.rows.group_at(source)
        if told is not None:
            self.wanted.emit(told[0])

    def _expand(self, parent: QModelIndex, first: int, last: int) -> None:
        if not parent.isValid():
            for row in range(first, last + 1):
                self.expand(self._shown.index(row, 0))


class _Shown(QSortFilterProxyModel):
    """Sorts by pairs of a number and a text; shows what fits, and its qube."""

    def __init__(self, parent: ExposuresTree) -> None:
        super().__init__(parent)
        self._show = Show.ALL
        self._text = ""
        self.setSortRole(SORT_ROLE)
        self.setRecursiveFilteringEnabled(True)
        self.setDynamicSortFilter(False)

    @property
    def is_filtering(self) -> bool:
        """Whether some rows may be left out."""
        return self._show is not Show.ALL or bool(self._text)

    def show_only(self, show: Show, text: str) -> None:
        self._show, self._text = show, text
        self.invalidateFilter()

    def lessThan(self, left: QModelIndex, right: QModelIndex) -> bool:
        source = self.sourceModel()
        return bool(source.data(left, SORT_ROLE) < source.data(right, SORT_ROLE))

    def filterAcceptsRow(self, row: int, parent: QModelIndex) -> bool:
        source = self.sourceModel()
        if not isinstance(source, ExposuresModel) or not parent.isValid():
            # A qube is there for the sake of what is below it.
            return False
        told = source.forward_at(source.index(row, 0, parent))
        if told is None:
            return False
        qube, forward = told
        return is_shown(forward, qube, self._show, self._text, source.now)
