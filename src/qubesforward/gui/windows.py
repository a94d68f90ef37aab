# SPDX-License-Identifier: GPL-2.0-or-later
"""The windows of one program: one of a kind, and one for each qube."""

from __future__ import annotations

from PyQt6.QtCore import QObject
from PyQt6.QtWidgets import QWidget

from qubesforward.gui.overview import open_overview
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.worker import Worker


class Windows(QObject):
    """Shows a window, or brings it to the front if it is there."""

    def __init__(self, worker: Worker, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self.shown: dict[str, QWidget] = {}

    def show(self, qube: str = "") -> None:
        """Show the settings of a qube; without a name what is open on the computer."""
        window = self.shown.get(qube)
        if window is None or not window.isVisible():
            window = self._make(qube)
            self.shown[qube] = window
        window.show()
        window.raise_()
        window.activateWindow()

    def _make(self, qube: str) -> QWidget:
        gone = self.shown.pop(qube, None)
        if gone is not None:
            gone.deleteLater()
        if qube:
            return SettingsWindow(self._worker, qube)
        overview = open_overview(self._worker)
        overview.settings_wanted.connect(self.show)
        return overview
