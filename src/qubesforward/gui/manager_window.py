# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes' own Settings window, with our area in its Firewall tab.

That window is another program's (module `qubesmanager`, of Qubes 4.3), so nothing of
it is taken for granted: what is needed of it is looked up by name and kind, and where
anything is otherwise, `NotThere` says what, and our own window is shown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, TypeVar

from PyQt6.QtCore import QEvent, QObject
from PyQt6.QtWidgets import (
    QApplication,
    QDialog,
    QGridLayout,
    QTabWidget,
    QTreeView,
    QWidget,
)

from qubesforward.gui.forwards_area import ForwardsArea, Troubles
from qubesforward.gui.qube_firewall import QubeFirewall
from qubesforward.gui.worker import Worker

_WINDOW = "VMSettingsWindow"
_TABS, _TAB, _RULES = "tabWidget", "firewall_tab", "rulesTreeView"
"""The tabs, the page of the firewall, and in it the table of outbound rules.

From the window's ``settingsdlg.ui`` of qubes-manager; the page has a grid.
"""

_SHARE = 3
"""Of the page's height, where the table of outbound rules has 2."""

_Kind = TypeVar("_Kind", bound=QObject)


class NotThere(Exception):
    """Qubes' window is not there, or not as it is known here; says what is missing.

    `is_news`: it was to be expected to be there, so users should hear of it.
    """

    def __init__(self, why: str, *, is_news: bool = True) -> None:
        super().__init__(why)
        self.is_news = is_news


class ManagerTab(QObject):
    """Our area in somebody else's window. It looks at counters while it is seen."""

    def __init__(self, window: QWidget, worker: Worker, qube: str) -> None:
        """Put the area into the window, or raise `NotThere` and leave it as it is."""
        tabs = _find(window, QTabWidget, _TABS)
        page = _find(window, QWidget, _TAB)
        grid = page.layout()
        if tabs.indexOf(page) < 0:
            raise NotThere(f"{_TAB} is no page of {_TABS}")
        if not isinstance(grid, QGridLayout):
            raise NotThere(f"{_TAB} has no grid")
        rules = _find(page, QTreeView, _RULES)
        super().__init__(window)
        self.page = page
        self.firewall = QubeFirewall(worker, qube, self)
        self.troubles = Troubles(worker, page)
        self.area = ForwardsArea(worker, self.firewall, page)
        self.firewall.failed.connect(self.troubles.problem.say)
        self.area.refused.connect(self.troubles.problem.say)
        # Both tables share the height; the notes between them need none of it.
        rules.setMinimumHeight(rules.fontMetrics().height() * 5)
        row = grid.rowCount()
        grid.addWidget(self.troubles, row, 0, 1, -1)
        grid.addWidget(self.area, row + 1, 0, 1, -1)
        grid.setRowStretch(row + 1, _SHARE)
        tabs.setCurrentWidget(page)
        self.area.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Note whether the area is seen."""
        if event.type() in (QEvent.Type.Show, QEvent.Type.Hide):
            self.firewall.watch_counters(event.type() == QEvent.Type.Show)
        return super().eventFilter(watched, event)


def _find(parent: QObject, kind: type[_Kind], name: str) -> _Kind:
    # Of Qt's own classes only: names of Python attributes say nothing of what is seen.
    found = parent.findChild(kind, name)
    if not isinstance(found, kind):
        raise NotThere(f"no {kind.__name__} {name}")
    return found


def open_manager_window(worker: Worker, qube: str) -> QWidget:
    """Return Qubes' Settings window of a qube, with our area in it; raise `NotThere`.

    What that program does while it makes its window is its own business: whatever
    goes wrong there is a reason to show our window, not to show none.
    """
    try:
        settings = import_module("qubesmanager.settings")
        qubesadmin = import_module("qubesadmin")
    except ModuleNotFoundError as error:
        raise NotThere(str(error), is_news=False) from error
    except Exception as error:
        raise NotThere(f"{type(error).__name__}: {error}") from error
    kind = getattr(settings, _WINDOW, None)
    # That of Qubes 4.2 is of PyQt5: its windows cannot be in one program with ours.
    if not (isinstance(kind, type) and issubclass(kind, QDialog)):
        raise NotThere(f"qubesmanager has no {_WINDOW} of PyQt6", is_news=False)
    window = _make_window(kind, qubesadmin, qube)
    try:
        ManagerTab(window, worker, qube)
    except NotThere:
        window.deleteLater()
        raise
    return window


def _make_window(kind: Any, qubesadmin: Any, qube: str) -> QDialog:
    try:
        application = qubesadmin.Qubes()
        window: QDialog = kind(
            application.domains[qube], "firewall", QApplication.instance(), application
        )
    except Exception as error:
        raise NotThere(f"{type(error).__name__}: {error}") from error
    return window
