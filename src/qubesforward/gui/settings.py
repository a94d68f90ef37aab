# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings window of one qube, with the tab for its firewall."""

from __future__ import annotations

from PyQt6.QtCore import QSize
from PyQt6.QtGui import QCloseEvent, QHideEvent, QShowEvent
from PyQt6.QtWidgets import (
    QDialogButtonBox,
    QMessageBox,
    QTabWidget,
    QVBoxLayout,
    QWidget,
)

from qubesforward.gui.firewall_page import FirewallPage
from qubesforward.gui.scroll import FittingScroll
from qubesforward.gui.worker import Worker

_BUTTON = QDialogButtonBox.StandardButton


class SettingsWindow(QWidget):
    """A window as Qubes' own settings are, with the tab for the firewall."""

    def __init__(self, worker: Worker, qube: str) -> None:
        super().__init__()
        self.setWindowTitle(self.tr("Settings: {0}").format(qube))
        self.page = FirewallPage(worker, qube, self)
        self._is_closing = False
        self.tabs = QTabWidget(self)
        area = FittingScroll(self.page, is_whole=False, parent=self)
        self.tabs.addTab(area, self.tr("&Firewall rules"))
        self.buttons = QDialogButtonBox(
            _BUTTON.Ok | _BUTTON.Apply | _BUTTON.Cancel, parent=self
        )
        layout = QVBoxLayout(self)
        layout.addWidget(self.tabs)
        layout.addWidget(self.buttons)
        self.buttons.clicked.connect(self._press)
        self.page.edited.connect(self._show_buttons)
        self.page.saved.connect(self._note_saved)
        self.page.not_saved.connect(self._note_not_saved)
        self._show_buttons()
        unit = self.fontMetrics().averageCharWidth()
        wanted = QSize(unit * 168, self.fontMetrics().height() * 52)
        self.resize(wanted.boundedTo(self.screen().availableSize()))

    def _press(self, button: object) -> None:
        if button is self.buttons.button(_BUTTON.Cancel):
            self.close()
            return
        self._is_closing = button is self.buttons.button(_BUTTON.Ok)
        self.page.save()

    def _note_saved(self) -> None:
        if self._is_closing:
            self.close()

    def _note_not_saved(self) -> None:
        self._is_closing = False

    def _show_buttons(self) -> None:
        self.buttons.button(_BUTTON.Apply).setEnabled(self.page.is_changed)

    def showEvent(self, event: QShowEvent) -> None:
        """Look at the counters while the window is seen."""
        super().showEvent(event)
        self.page.watch(True)

    def hideEvent(self, event: QHideEvent) -> None:
        """Look no more."""
        super().hideEvent(event)
        self.page.watch(False)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Ask before changes are lost."""
        if not self.page.is_changed:
            return
        # The answer comes later; until then nothing here stands still.
        event.ignore()
        self._ask()

    def _ask(self) -> None:
        buttons = QMessageBox.StandardButton
        question = QMessageBox(
            QMessageBox.Icon.Question,
            self.windowTitle(),
            self.tr("The outbound rules have changes that are not saved."),
            buttons.Save | buttons.Discard | buttons.Cancel,
            self,
        )
        question.setModal(True)
        question.finished.connect(lambda result: self._answer(buttons(result)))
        question.finished.connect(question.deleteLater)
        question.open()

    def _answer(self, answer: QMessageBox.StandardButton) -> None:
        if answer == QMessageBox.StandardButton.Save:
            self._is_closing = True
            self.page.save()
        elif answer == QMessageBox.StandardButton.Discard:
            self.page.outbound.discard()
            self.close()
