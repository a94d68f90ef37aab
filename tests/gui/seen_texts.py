# SPDX-License-Identifier: GPL-2.0-or-later
"""Every text that a window shows, to eyes or to a screen reader."""

from __future__ import annotations

from collections.abc import Iterator

from PyQt6.QtCore import QAbstractItemModel, QModelIndex, Qt
from PyQt6.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QLineEdit,
    QMessageBox,
    QTabBar,
    QTableView,
    QTreeView,
    QWidget,
)

_PROPERTIES = (
    "text",
    "title",
    "placeholderText",
    "prefix",
    "suffix",
    "specialValueText",
    "windowTitle",
    "toolTip",
    "statusTip",
    "whatsThis",
    "accessibleName",
    "accessibleDescription",
)

_ROLES = (
    Qt.ItemDataRole.DisplayRole,
    Qt.ItemDataRole.ToolTipRole,
    Qt.ItemDataRole.AccessibleTextRole,
)


def texts_of(window: QWidget) -> Iterator[tuple[str, str]]:
    """Yield all texts of a window, each with the widget and the property it is of."""
    for widget in (window, *window.findChildren(QWidget)):
        assert isinstance(widget, QWidget)
        for place, text in _own_texts(widget):
            if text:
                yield f"{type(widget).__name__}.{place}", text


def _own_texts(widget: QWidget) -> Iterator[tuple[str, str]]:
    for name in _PROPERTIES:
        value = widget.property(name)
        # What is in a field, its user has typed.
        is_typed = isinstance(widget, QLineEdit) and name == "text"
        if isinstance(value, str) and not is_typed:
            yield name, value
    for action in widget.actions():
        yield "action", action.text()
    if isinstance(widget, QComboBox):
        yield from (("item", widget.itemText(row)) for row in range(widget.count()))
    elif isinstance(widget, QTabBar):
        yield from (("tab", widget.tabText(row)) for row in range(widget.count()))
    elif isinstance(widget, QMessageBox):
        yield "informative", widget.informativeText()
    elif isinstance(widget, QTableView | QTreeView):
        yield from _model_texts(widget)


def _model_texts(view: QAbstractItemView) -> Iterator[tuple[str, str]]:
    model = view.model()
    for column in range(model.columnCount()):
        for role in _ROLES:
            title = model.headerData(column, Qt.Orientation.Horizontal, role)
            yield "header", str(title or "")
    yield from _rows(model, QModelIndex())


def _rows(model: QAbstractItemModel, parent: QModelIndex) -> Iterator[tuple[str, str]]:
    for row in range(model.rowCount(parent)):
        for column in range(model.columnCount(parent)):
            index = model.index(row, column, parent)
            for role in _ROLES:
                yield f"cell {column}", str(index.data(role) or "")
        yield from _rows(model, model.index(row, 0, parent))
