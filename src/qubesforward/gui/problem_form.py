# SPDX-License-Identifier: GPL-2.0-or-later
"""A form in which the problem of a field stands under it."""

from __future__ import annotations

from collections.abc import Iterable

from PyQt6.QtWidgets import QFormLayout, QLabel, QLayout, QVBoxLayout, QWidget

from qubesforward.gui.plain import PlainLabel

_SIGN = "\N{WARNING SIGN} "


class ProblemForm(QFormLayout):
    """Rows of a label and a field, and room for a problem of each named field."""

    def __init__(self, owner: QWidget) -> None:
        super().__init__()
        self._owner = owner
        self._fields: dict[str, QWidget] = {}
        self._problems: dict[str, PlainLabel] = {}

    def add(
        self,
        name: str | None,
        title: str,
        field: QWidget,
        row: QLayout | None = None,
    ) -> None:
        """Add a field, alone or in a row with others; its label leads to it."""
        label = QLabel(title, self._owner)
        label.setBuddy(field)
        field.setAccessibleName(title.replace("&", "").rstrip(":"))
        column = QVBoxLayout()
        column.setSpacing(2)
        if row is None:
            column.addWidget(field)
        else:
            column.addLayout(row)
        if name is not None:
            self._fields[name] = field
            self._problems[name] = self.make_problem(name)
            column.addWidget(self._problems[name])
        self.addRow(label, column)

    def make_problem(self, name: str) -> PlainLabel:
        """Return room for a problem, which the caller puts where it belongs."""
        problem = PlainLabel(parent=self._owner)
        problem.hide()
        self._problems[name] = problem
        return problem

    def show_problems(self, problems: Iterable[tuple[str, str]]) -> None:
        """Show these problems of fields, and no others."""
        found = dict(problems)
        for name, label in self._problems.items():
            text = found.get(name, "")
            label.show_text(_SIGN + text if text else "")
            label.setVisible(bool(text))
            if name in self._fields:
                # What a screen reader says after the name of the field.
                self._fields[name].setAccessibleDescription(text)

    def problem(self, name: str) -> str:
        """Return the problem that is shown beside a field."""
        return self._problems[name].text().removeprefix(_SIGN)
