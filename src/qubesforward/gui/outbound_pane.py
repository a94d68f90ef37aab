# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as Qubes users know them: all but these, or none but these."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from qubesforward.gui.notice import Notice
from qubesforward.gui.outbound_form import OutboundForm
from qubesforward.gui.outbound_list import OutboundList
from qubesforward.gui.outbound_rules import read_simple, write_simple
from qubesforward.model.rule import OutboundRule


class OutboundPane(QWidget):
    """Shows the rules that were read, and has what the user made of them.

    `edited` comes whenever `is_changed` may have changed. A list that does not fit the
    form is only shown.
    """

    edited = pyqtSignal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.read: list[OutboundRule] = []
        self._theirs: list[OutboundRule] = []
        self._has_read = False
        self.form = OutboundForm(self)
        self.listing = OutboundList(self)
        self.foreign = Notice(parent=self)
        self.meanwhile = Notice(
            {
                self.tr("Show the new rules"): self._take_theirs,
                self.tr("Keep mine"): self._keep_mine,
            },
            self,
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for part in (self.meanwhile, self.foreign, self.form, self.listing):
            layout.addWidget(part)
        self.listing.hide()
        self.setEnabled(False)
        self.form.edited.connect(self.edited)

    @property
    def is_changed(self) -> bool:
        """Whether the user wants other rules than were read."""
        return self.rules != self.read

    @property
    def rules(self) -> list[OutboundRule]:
        """The rules that the user wants."""
        if self.form.isHidden() or not self.form.is_touched:
            return self.read
        return write_simple(self.form.simple(int(time.time())))

    def show_rules(self, rules: Sequence[OutboundRule]) -> None:
        """Show what was read now; what the user has not saved is not overwritten."""
        rules = list(rules)
        if self._has_read and self.is_changed and rules not in (self.read, self.rules):
            self._theirs = rules
            self.meanwhile.say(
                self.tr(
                    "The outbound rules were changed by somebody else meanwhile, to"
                    " {0}. You have changes of your own here that are not saved."
                ).format(self._count(rules))
            )
            return
        if rules != self.read or not self._has_read:
            self._show(rules)

    def _count(self, rules: Sequence[OutboundRule]) -> str:
        if len(rules) == 1:
            return self.tr("one rule")
        return self.tr("{0} rules").format(len(rules))

    def note_saved(self, rules: Sequence[OutboundRule]) -> None:
        """Take in that these rules are stored."""
        self._show(list(rules))

    def discard(self) -> None:
        """Show again what was read last."""
        self._show(self.read)

    def _take_theirs(self) -> None:
        self._show(self._theirs)

    def _keep_mine(self) -> None:
        # What is saved next is compared with what was seen here.
        self.read = self._theirs
        self.edited.emit()

    def _show(self, rules: list[OutboundRule]) -> None:
        self.read, self._has_read = rules, True
        self.meanwhile.hide()
        simple = read_simple(rules)
        self.form.setVisible(simple is not None)
        self.listing.setVisible(simple is None)
        if simple is None:
            self.listing.show_rules(rules)
            self.foreign.say(
                self.tr(
                    "These rules were made with other tools, and are more than this"
                    " form can show. They hold, and are not changed here; change them"
                    " with qvm-firewall."
                )
            )
        else:
            self.foreign.say("")
            self.form.show_simple(simple, int(time.time()))
        self.setEnabled(True)
        self.edited.emit()
