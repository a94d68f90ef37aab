# SPDX-License-Identifier: GPL-2.0-or-later
"""A field for how long something stays open."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QComboBox, QHBoxLayout, QLineEdit, QWidget

from qubesforward.cli.durations import format_moment
from qubesforward.gui.forward_draft import FOR_GOOD, fixed_end
from qubesforward.gui.words import say
from qubesforward.model.rule import REBOOT

_OTHER = "other"


class DurationBox(QWidget):
    """A choice of usual durations, and a field for others."""

    changed = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.choice = QComboBox(self)
        for text, duration in (
            (self.tr("for good, until you remove it"), FOR_GOOD),
            (self.tr("until this computer is restarted"), REBOOT),
            (self.tr("10 minutes"), "10m"),
            (self.tr("1 hour"), "1h"),
            (self.tr("8 hours"), "8h"),
            (self.tr("1 day"), "1d"),
            (self.tr("other…"), _OTHER),
        ):
            self.choice.addItem(text, duration)
        self.other = QLineEdit(self)
        self.other.setPlaceholderText(self.tr("2h30m, 18:30 or 2026-12-24 18:30"))
        self.other.setAccessibleName(self.tr("Other duration, or end"))
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.choice)
        layout.addWidget(self.other, 1)
        layout.addStretch()
        self.setFocusProxy(self.choice)
        self._show_other()
        self.choice.currentIndexChanged.connect(self._show_other)
        self.choice.currentIndexChanged.connect(self.changed)
        self.other.textChanged.connect(self.changed)

    def setAccessibleName(self, name: str | None) -> None:
        """Name the field that gets the keys."""
        super().setAccessibleName(name or "")
        self.choice.setAccessibleName(name or "")

    @property
    def duration(self) -> str:
        """The duration as `read_end` reads it; `0s`, which it refuses, for nothing."""
        chosen = str(self.choice.currentData())
        return self.other.text().strip() or "0s" if chosen == _OTHER else chosen

    def show_duration(self, duration: str, now: int) -> None:
        """Show a duration; an end that is fixed gets an item of its own."""
        index = self.choice.findData(duration)
        if index < 0 and (end := fixed_end(duration)) is not None:
            text = self.tr("until {0}, as it is").format(say(format_moment(end, now)))
            self.choice.insertItem(0, text, duration)
            index = 0
        if index < 0:
            index = self.choice.findData(_OTHER)
            self.other.setText(duration)
        self.choice.setCurrentIndex(index)

    def _show_other(self) -> None:
        self.other.setVisible(self.choice.currentData() == _OTHER)
