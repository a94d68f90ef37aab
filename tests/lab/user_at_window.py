# SPDX-License-Identifier: GPL-2.0-or-later
"""A user at the settings window of a qube: acts on request, and tells what is seen.

Runs in a lab's dom0, in the process of the window; `settings_window` brings it there.
Widgets are named as a screen reader does. Takes a line of JSON, a list of what to do
and its words, and answers with one; what cannot be done now is answered `false`.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable
from typing import TypeVar

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QTableView,
    QWidget,
)

from qubesforward.gui.forwards_table import ForwardsTable
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.settings_program import main as run_program
from tests.gui.hands import press, type_text

_Kind = TypeVar("_Kind", bound=QWidget)


def find_window() -> QWidget | None:
    """Return what takes clicks and keys: the dialog, if there is one."""
    if dialog := QApplication.activeModalWidget():
        return dialog
    for window in QApplication.topLevelWidgets():
        if isinstance(window, SettingsWindow) and window.isVisible():
            return window
    return None


def list_seen(kind: type[_Kind]) -> list[_Kind]:
    """Return the widgets of a kind that are seen there."""
    window = find_window()
    found = window.findChildren(kind) if window is not None else []
    return [one for one in found if isinstance(one, kind) and one.isVisible()]


def name_of(widget: QWidget) -> str:
    """Return what a widget is called."""
    text = widget.text() if isinstance(widget, QAbstractButton) else ""
    return (widget.accessibleName() or text).replace("&", "")


def find(name: str) -> QWidget | None:
    """Return the widget of this name that takes keys, if it can be used now."""
    for widget in list_seen(QWidget):
        if widget.isEnabled() and name_of(widget) == name:
            return widget.focusProxy() or widget
    return None


def cells(table: QTableView) -> list[list[str]]:
    """Return what stands in each row of a table."""
    model = table.model()
    columns = range(model.columnCount())
    return [
        [str(model.index(row, column).data()) for column in columns]
        for row in range(model.rowCount())
    ]


def look() -> dict[str, object]:
    """Return the title and all texts that are seen, what is said of fields, and rows.

    Rows are those of the forwards, wherever the keys go.
    """
    window = find_window()
    fields = [*list_seen(QLineEdit), *list_seen(QComboBox)]
    tables = [one for one in QApplication.allWidgets() if type(one) is ForwardsTable]
    return {
        "title": window.windowTitle() if window is not None else "",
        "texts": [label.text() for label in list_seen(QLabel)],
        "fields": {name_of(one): one.accessibleDescription() for one in fields},
        "rows": [row for table in tables for row in cells(table)],
    }


def press_named(name: str) -> bool:
    """Click a button."""
    button = find(name)
    if not isinstance(button, QAbstractButton):
        return False
    press(button)
    return True


def press_row(name: str, text: str) -> bool:
    """Click the row of a table that has this text in a cell."""
    table = find(name)
    if not isinstance(table, QTableView):
        return False
    for row, texts in enumerate(cells(table)):
        if text in texts:
            index = table.model().index(row, texts.index(text))
            press(table.viewport(), table.visualRect(index).center())
            return True
    return False


def type_into(name: str, text: str) -> bool:
    """Type over what is in a field."""
    field = find(name)
    if field is None:
        return False
    if isinstance(field, QLineEdit):
        field.selectAll()
    type_text(field, text)
    return True


_ACTS: dict[str, Callable[..., object]] = {
    "look": look,
    "press": press_named,
    "choose": press_row,
    "type": type_into,
}


class User(QObject):
    """Does what is told on standard input, in the thread of the windows."""

    told = pyqtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        # It is told in another thread: by that, Qt queues it for this one.
        self.told.connect(self._act)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            self.told.emit(line)
        self.told.emit("")

    def _act(self, line: str) -> None:
        if not line:
            QApplication.quit()
            return
        what, *words = json.loads(line)
        print(json.dumps(_ACTS[what](*words)), flush=True)


def main() -> int:
    """Run `qubes-forward-settings` with a user before it; return its exit status."""
    os.environ["QT_QPA_PLATFORM"] = "offscreen"
    user = User()
    print("ready", flush=True)
    status = run_program()
    del user
    return status
