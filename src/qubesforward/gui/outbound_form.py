# SPDX-License-Identifier: GPL-2.0-or-later
"""The simple form of outbound rules, as fields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QDialog,
    QHBoxLayout,
    QPushButton,
    QRadioButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.durations import format_moment
from qubesforward.gui.outbound_dialog import OutboundDialog
from qubesforward.gui.outbound_rules import SimpleRules, is_editable
from qubesforward.gui.outbound_table import OutboundTable, describe_rule
from qubesforward.gui.words import say
from qubesforward.model.rule import Action, OutboundRule

_MINUTES = 5
"""What Qubes' own window offers."""

_MOST_MINUTES = 7 * 24 * 60


class OutboundForm(QWidget):
    """Fields for `SimpleRules`; `edited` comes when the user has changed one."""

    edited = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.is_touched = False
        self._shown = SimpleRules()
        self._exceptions: list[OutboundRule] = []
        self._now = 0
        self._make_fields()
        self._lay_out()
        self.allow.toggled.connect(self._touch)
        self.dns.clicked.connect(self._touch)
        self.ping.clicked.connect(self._touch)
        self.full.clicked.connect(self._touch_full)
        self.minutes.valueChanged.connect(self._touch)
        self.add_button.clicked.connect(self._add)
        self.edit_button.clicked.connect(self._edit)
        self.remove_button.clicked.connect(self._remove)
        self.table.itemSelectionChanged.connect(self._show_buttons)
        self.table.doubleClicked.connect(self._edit)

    def _make_fields(self) -> None:
        self.allow = QRadioButton(self.tr("A&llow all outgoing connections except"))
        self.deny = QRadioButton(self.tr("&Deny all outgoing connections except"))
        titles = [
            self.tr("Address"),
            self.tr("Port"),
            self.tr("Protocol"),
            self.tr("Until"),
            self.tr("Comment"),
        ]
        self.table = OutboundTable(titles, self)
        self.table.setAccessibleName(self.tr("Exceptions"))
        self.add_button = QPushButton(self.tr("Add…"), self)
        self.edit_button = QPushButton(self.tr("Edit…"), self)
        self.remove_button = QPushButton(self.tr("Remove"), self)
        for button, name in (
            (self.add_button, self.tr("Add an outbound rule")),
            (self.edit_button, self.tr("Edit the outbound rule")),
            (self.remove_button, self.tr("Remove the outbound rule")),
        ):
            button.setAccessibleName(name)
        self.dns = QCheckBox(self.tr("Allow D&NS"), self)
        self.ping = QCheckBox(self.tr("Allow p&ing"), self)
        self.full = QCheckBox(self)
        self.minutes = QSpinBox(self)
        self.minutes.setRange(1, _MOST_MINUTES)
        self.minutes.setValue(_MINUTES)
        self.minutes.setSuffix(self.tr(" minutes"))
        self.minutes.setAccessibleName(self.tr("Minutes of full access"))

    def _lay_out(self) -> None:
        choice = QHBoxLayout()
        choice.addWidget(self.allow)
        choice.addWidget(self.deny)
        choice.addStretch()
        buttons = QVBoxLayout()
        for button in (self.add_button, self.edit_button, self.remove_button):
            buttons.addWidget(button)
        buttons.addStretch()
        middle = QHBoxLayout()
        middle.addWidget(self.table, 1)
        middle.addLayout(buttons)
        switches = QHBoxLayout()
        for switch in (self.dns, self.ping, self.full, self.minutes):
            switches.addWidget(switch)
        switches.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(choice)
        layout.addLayout(middle, 1)
        layout.addLayout(switches)

    def show_simple(self, simple: SimpleRules, now: int) -> None:
        """Show this; it counts as not touched. `now` is in seconds since 1970."""
        self._shown, self._now = simple, now
        self._exceptions = list(simple.exceptions)
        is_allowing = simple.policy is Action.ACCEPT
        (self.allow if is_allowing else self.deny).setChecked(True)
        self.dns.setChecked(simple.dns)
        self.ping.setChecked(simple.ping)
        self.full.setChecked(simple.full_until is not None)
        self._show_rows()
        self._show_full()
        self.is_touched = False

    def simple(self, now: int) -> SimpleRules:
        """Return what the fields say. Full access begins `now` if it is new."""
        until = None
        if self.full.isChecked():
            until = self._shown.full_until or now + self.minutes.value() * 60
        return SimpleRules(
            Action.ACCEPT if self.allow.isChecked() else Action.DROP,
            tuple(self._exceptions),
            self.dns.isChecked(),
            self.ping.isChecked(),
            until,
        )

    def _show_rows(self) -> None:
        rows = [describe_rule(rule, self._now) for rule in self._exceptions]
        self.table.show_rows(rows)
        self._show_buttons()

    def _show_full(self) -> None:
        until = self._shown.full_until
        self.minutes.setVisible(until is None)
        self.minutes.setEnabled(self.full.isChecked())
        text = self.tr("&Full access for")
        if until is not None:
            moment = say(format_moment(until, self._now))
            text = self.tr("&Full access until {0}").format(moment)
        self.full.setText(text)

    def _show_buttons(self) -> None:
        row = self.table.currentRow()
        is_chosen = 0 <= row < len(self._exceptions)
        self.remove_button.setEnabled(is_chosen)
        self.edit_button.setEnabled(is_chosen and is_editable(self._exceptions[row]))

    def _touch(self) -> None:
        self.is_touched = True
        self.edited.emit()

    def _touch_full(self) -> None:
        if not self.full.isChecked():
            self._shown = replace(self._shown, full_until=None)
        self._show_full()
        self._touch()

    def _add(self) -> None:
        dialog = OutboundDialog(parent=self)

        def take() -> None:
            if dialog.rule is not None:
                self._exceptions.append(dialog.rule)
                self._show_rows()
                self.table.selectRow(len(self._exceptions) - 1)
                self._touch()

        _open(dialog, take)

    def _edit(self) -> None:
        row = self.table.currentRow()
        if not self.edit_button.isEnabled():
            return
        present = self._exceptions[row]
        dialog = OutboundDialog(present, self)

        def take() -> None:
            # Other rules may be shown by now.
            if dialog.rule is not None and present in self._exceptions:
                self._exceptions[self._exceptions.index(present)] = dialog.rule
                self._show_rows()
                self._touch()

        _open(dialog, take)

    def _remove(self) -> None:
        row = self.table.currentRow()
        if 0 <= row < len(self._exceptions):
            del self._exceptions[row]
            self._show_rows()
            self._touch()


def _open(dialog: QDialog, take: Callable[[], None]) -> None:
    dialog.setModal(True)
    dialog.accepted.connect(take)
    dialog.finished.connect(dialog.deleteLater)
    dialog.open()
