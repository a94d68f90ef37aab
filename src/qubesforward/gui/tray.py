# SPDX-License-Identifier: GPL-2.0-or-later
"""The icon beside the clock: whether anything is open, and a menu to close it."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from PyQt6.QtCore import QObject, pyqtSignal
from PyQt6.QtGui import QAction, QIcon, QPixmap
from PyQt6.QtWidgets import QMenu, QSystemTrayIcon

from qubesforward.cli.status import Status
from qubesforward.gui.painting import TRANSPARENT, label_icon, render_image
from qubesforward.gui.tray_model import TrayState, describe_tray, draw_tray


class Tray(QObject):
    """Data in, signals out. `settings_wanted` has the name of a qube."""

    overview_wanted = pyqtSignal()
    close_all_wanted = pyqtSignal()
    settings_wanted = pyqtSignal(str)
    close_qube_wanted = pyqtSignal(str)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._labels: Mapping[str, str] = {}
        self.state = describe_tray(None)
        self.menu = QMenu()
        self.icon = QSystemTrayIcon(self)
        self.icon.setContextMenu(self.menu)
        self.icon.activated.connect(self._activate)
        self._show()

    def show(self) -> None:
        """Show the icon, where the desktop has a place for it."""
        self.icon.show()

    def close(self) -> None:
        """Take the icon away."""
        self.icon.hide()
        self.menu.deleteLater()

    def show_status(self, status: Status | None) -> None:
        """Show what is open; None if nobody knows."""
        state = describe_tray(status)
        if state != self.state:
            self.state = state
            self._show()

    def show_labels(self, labels: Mapping[str, str]) -> None:
        """Show qubes in the colours of these labels."""
        self._labels = dict(labels)
        self._show()

    def _show(self) -> None:
        self.icon.setIcon(make_icon(self.state))
        self.icon.setToolTip(self.state.text)
        self._fill_menu()

    def _fill_menu(self) -> None:
        self.menu.clear()
        said = self._add(self.menu, self.state.text)
        said.setEnabled(False)
        self.menu.addSeparator()
        overview = self._add(self.menu, self.tr("Open ports…"))
        overview.triggered.connect(lambda: self.overview_wanted.emit())
        for qube, ports in self.state.ports:
            self._add_qube(qube, ports)
        self.menu.addSeparator()
        close = self._add(self.menu, self.tr("Close everything…"))
        close.setEnabled(bool(self.state.ports))
        close.triggered.connect(lambda: self.close_all_wanted.emit())

    def _add_qube(self, qube: str, ports: tuple[str, ...]) -> None:
        below = QMenu(_plain(qube), self.menu)
        below.setIcon(label_icon(self._labels.get(qube, "")))
        for port in ports:
            self._add(below, port).setEnabled(False)
        below.addSeparator()
        settings = self._add(below, self.tr("Firewall of this qube…"))
        settings.triggered.connect(partial(self._emit_settings, qube))
        close = self._add(below, self.tr("Close its ports"))
        close.triggered.connect(partial(self._emit_close, qube))
        self.menu.addMenu(below)

    def _add(self, menu: QMenu, text: str) -> QAction:
        action = QAction(_plain(text), menu)
        menu.addAction(action)
        return action

    def _emit_settings(self, qube: str) -> None:
        self.settings_wanted.emit(qube)

    def _emit_close(self, qube: str) -> None:
        self.close_qube_wanted.emit(qube)

    def _activate(self, reason: QSystemTrayIcon.ActivationReason) -> None:
        if reason == QSystemTrayIcon.ActivationReason.Trigger:
            self.overview_wanted.emit()


def make_icon(state: TrayState) -> QIcon:
    """Return the icon of a state, sharp also where two pixels are one."""
    icon = QIcon()
    drawing = draw_tray(state)
    for scale in (0.5, 1.0, 2.0):
        image = render_image(drawing, TRANSPARENT, scale)
        icon.addPixmap(QPixmap.fromImage(image))
    return icon


def _plain(text: str) -> str:
    # A lone & would be taken for the mark of a key.
    return text.replace("&", "&&")
