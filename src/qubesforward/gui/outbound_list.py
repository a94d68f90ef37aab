# SPDX-License-Identifier: GPL-2.0-or-later
"""A list of outbound rules as it is, in its order, to be read only."""

from __future__ import annotations

import time
from collections.abc import Sequence

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from qubesforward.gui.outbound_table import OutboundTable, describe_rule
from qubesforward.model.rule import Action, OutboundRule


class OutboundList(QWidget):
    """The first rule that matches decides; what none matches is denied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        titles = [
            self.tr("Action"),
            self.tr("Address"),
            self.tr("Port"),
            self.tr("Protocol"),
            self.tr("Until"),
            self.tr("Comment"),
        ]
        self.table = OutboundTable(titles, self)
        self.table.setAccessibleName(self.tr("Outbound rules, to be read only"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.table)

    def show_rules(self, rules: Sequence[OutboundRule]) -> None:
        """Show these rules in their order."""
        words = {Action.ACCEPT: self.tr("allow"), Action.DROP: self.tr("deny")}
        now = int(time.time())
        rows = [[words[rule.action], *describe_rule(rule, now)] for rule in rules]
        self.table.show_rows(rows)
