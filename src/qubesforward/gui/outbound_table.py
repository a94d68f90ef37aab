# SPDX-License-Identifier: GPL-2.0-or-later
"""Outbound rules as rows: address, port, protocol, until, comment."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from qubesforward.cli.durations import format_day
from qubesforward.gui.outbound_rules import show_host, show_port, show_proto
from qubesforward.gui.plain import bound
from qubesforward.gui.words import say
from qubesforward.model.rule import OutboundRule

_MEASURED = 50
"""Rows that decide how wide the columns are."""


class OutboundTable(QTableWidget):
    """A table of rules that one row at a time is chosen of."""

    def __init__(self, titles: Sequence[str], parent: QWidget | None = None) -> None:
        super().__init__(0, len(titles), parent)
        self.setHorizontalHeaderLabels(list(titles))
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        # Tab leads on to the next field; arrows move between rows.
        self.setTabKeyNavigation(False)
        self.setAlternatingRowColors(True)
        self.setWordWrap(False)
        self.verticalHeader().hide()
        columns = self.horizontalHeader()
        columns.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        # Measuring what stands in thousands of rows would take too long.
        columns.setResizeContentsPrecision(_MEASURED)
        columns.setSectionResizeMode(len(titles) - 1, QHeaderView.ResizeMode.Stretch)
        columns.setHighlightSections(False)

    def show_rows(self, rows: Sequence[Sequence[str]]) -> None:
        """Show these texts; the chosen row stays chosen if there still is one."""
        chosen = self.currentRow()
        self.setRowCount(len(rows))
        for number, row in enumerate(rows):
            for column, text in enumerate(row):
                self.setItem(number, column, QTableWidgetItem(bound(text)))
        if rows and chosen >= 0:
            self.selectRow(min(chosen, len(rows) - 1))


def describe_rule(rule: OutboundRule, now: int) -> list[str]:
    """Return what stands in a row for a rule, but for its action."""
    until = "" if rule.expire is None else say(format_day(rule.expire, now))
    host, port, proto = show_host(rule), show_port(rule), show_proto(rule)
    return [host, port, proto, until, rule.comment]
