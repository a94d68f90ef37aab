# SPDX-License-Identifier: GPL-2.0-or-later
"""The windows of one program: one of a kind, and one for each qube."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from PyQt6.QtCore import QObject
from PyQt6.QtWidgets import QWidget

from qubesforward.gui.manager_window import NotThere, open_manager_window
from qubesforward.gui.overview import Overview, open_overview
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.worker import Worker

_Window = TypeVar("_Window", bound=QWidget)


class Windows(QObject):
    """Shows a window, or brings it to the front if it is there."""

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self.shown: dict[str, QWidget] = {}

    def show(self, qube: str = "") -> None:
        """Show the settings of a qube; without a name what is open on the computer."""
        if qube:
            self._show(qube, lambda: self._make_settings(qube))
        else:
            self.show_overview()

    def _make_settings(self, qube: str) -> QWidget:
        """Return Qubes' own window with our area in it, or else ours."""
        try:
            return open_manager_window(self._worker, qube)
        except NotThere as why:
            window = SettingsWindow(self._worker, qube)
            if why.is_news:
                text = self.tr("Qubes' own Settings window cannot be added to: {0}")
                window.page.problem.say(text.format(why))
            return window

    def show_overview(self) -> Overview:
        """Show what is open on the computer."""
        return self._show("", self._make_overview)

    def _make_overview(self) -> Overview:
        overview = open_overview(self._worker)
        overview.settings_wanted.connect(self.show)
        return overview

    def _show(self, name: str, make: Callable[[], _Window]) -> _Window:
        window = cast("_Window | None", self.shown.get(name))
        if window is not None and not window.isVisible():
            window.deleteLater()
            window = None
        if window is None:
            window = make()
            self.shown[name] = window
        window.show()
        window.raise_()
        window.activateWindow()
        return window
