# SPDX-License-Identifier: GPL-2.0-or-later
"""The fields of a forward: what for, which port, how long; then the details."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLineEdit,
    QRadioButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from qubesforward.gui.duration_box import DurationBox
from qubesforward.gui.forward_draft import BOTH, Case, Draft, Field, Problems
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.problem_form import ProblemForm

_PROTOS = ("tcp", "udp", BOTH)

_IN_DETAILS = (Field.SOURCE, Field.COMMENT)


class ForwardForm(QWidget):
    """Fields for a `Draft`; `edited` comes with every change by the user."""

    edited = pyqtSignal()

    def __init__(self, qube: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._make_cases()
        self._make_fields()
        self._basic = ProblemForm(self)
        self._lay_out_basic(qube)
        self.details = QWidget(self)
        self._more = ProblemForm(self.details)
        self._lay_out_details()
        self._connect()
        self._show_case()

    def _make_cases(self) -> None:
        self.cases = {
            Case.LAN: QRadioButton(self.tr("Share with my &local network")),
            Case.QUBES: QRadioButton(self.tr("Share with other &qubes here")),
            Case.VPN: QRadioButton(self.tr("Share through this qube's &VPN")),
        }
        self.hints = {
            Case.LAN: self.tr("computers and phones near this one"),
            Case.QUBES: self.tr("those that have the same networking qube"),
            Case.VPN: self.tr("whoever is at the other end of its tunnel"),
        }
        self.cases[Case.LAN].setChecked(True)

    def _make_fields(self) -> None:
        self.port = QLineEdit(self)
        self.port.setPlaceholderText(self.tr("https, 8080 or 8000-8010"))
        self.proto = QComboBox(self)
        self.proto.setAccessibleName(self.tr("Protocol"))
        for proto, text in zip(_PROTOS, ("TCP", "UDP", "TCP + UDP"), strict=True):
            self.proto.addItem(text, proto)
        self.inner = QLineEdit(self)
        self.inner.setPlaceholderText(self.tr("the same"))
        self.duration = DurationBox(self)
        self.source = QLineEdit(self)
        self.source.setPlaceholderText(self.tr("anyone; or 192.0.2.7, 192.0.2.0/24"))
        self.comment = QLineEdit(self)
        self.internet = QCheckBox(self.tr("Also from the &internet: ask the router"))
        self.bypass = QCheckBox(self.tr("Even &past a VPN's tunnel on the way"))
        self.disposables = QCheckBox(self.tr("Also for &disposables made from it"))

    def _lay_out_basic(self, qube: str) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        for case, button in self.cases.items():
            hint = PlainLabel(f"({self.hints[case]})", self)
            button.setAccessibleDescription(self.hints[case])
            line = QHBoxLayout()
            line.addWidget(button)
            line.addWidget(hint, 1)
            layout.addLayout(line)
        layout.addWidget(self._basic.make_problem(Field.CASE))
        ports = QHBoxLayout()
        ports.addWidget(self.port, 1)
        ports.addWidget(self.proto)
        self._basic.add(Field.PORT, self.tr("&Port or service:"), self.port, ports)
        title = self.tr("Port i&n {0}:").format(qube.replace("&", "&&"))
        self._basic.add(Field.INNER, title, self.inner)
        self._basic.add(Field.DURATION, self.tr("For &how long:"), self.duration)
        layout.addLayout(self._basic)

    def _lay_out_details(self) -> None:
        self.more_button = QToolButton(self)
        self.more_button.setText(self.tr("De&tails"))
        self.more_button.setCheckable(True)
        self.more_button.setAutoRaise(True)
        self.more_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more_button.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._more.setContentsMargins(0, 0, 0, 0)
        self._more.add(Field.SOURCE, self.tr("&Who may connect:"), self.source)
        self._more.add(Field.COMMENT, self.tr("C&omment:"), self.comment)
        for switch in (self.internet, self.bypass, self.disposables):
            self._more.addRow("", switch)
        self.details.setLayout(self._more)
        layout = self.layout()
        layout.addWidget(self.more_button)
        layout.addWidget(self.details)
        self.show_details(False)

    def _connect(self) -> None:
        self.more_button.toggled.connect(self.show_details)
        for button in self.cases.values():
            button.toggled.connect(self._show_case)
            button.clicked.connect(self.edited)
        for field in (self.port, self.inner, self.source, self.comment):
            field.textEdited.connect(self.edited)
        self.proto.activated.connect(self.edited)
        self.duration.changed.connect(self.edited)
        for switch in (self.internet, self.bypass, self.disposables):
            switch.clicked.connect(self.edited)

    def _show_case(self) -> None:
        is_out = self.cases[Case.LAN].isChecked()
        self.internet.setEnabled(is_out)
        self.bypass.setEnabled(is_out)

    def show_details(self, are_shown: bool) -> None:
        """Open or close the details."""
        self.more_button.setChecked(are_shown)
        arrow = Qt.ArrowType.DownArrow if are_shown else Qt.ArrowType.RightArrow
        self.more_button.setArrowType(arrow)
        self.details.setVisible(are_shown)

    @property
    def draft(self) -> Draft:
        """What is in the fields."""
        chosen = [case for case, button in self.cases.items() if button.isChecked()]
        return Draft(
            case=chosen[0],
            port=self.port.text(),
            inner=self.inner.text(),
            proto=_PROTOS[self.proto.currentIndex()],
            source=self.source.text(),
            duration=self.duration.duration,
            internet=self.internet.isChecked(),
            bypass=self.bypass.isChecked(),
            disposables=self.disposables.isChecked(),
            comment=self.comment.text(),
        )

    def show_draft(self, draft: Draft, now: int) -> None:
        """Fill the fields; details are open if any of them says something."""
        self.cases[draft.case].setChecked(True)
        self.port.setText(draft.port)
        self.inner.setText(draft.inner)
        self.proto.setCurrentIndex(_PROTOS.index(draft.proto))
        self.source.setText(draft.source)
        self.duration.show_duration(draft.duration, now)
        self.internet.setChecked(draft.internet)
        self.bypass.setChecked(draft.bypass)
        self.disposables.setChecked(draft.disposables)
        self.comment.setText(draft.comment)
        switches = (draft.internet, draft.bypass, draft.disposables)
        self.show_details(any((draft.source, draft.comment, *switches)))

    def show_problems(self, problems: Problems) -> None:
        """Show these problems beside their fields, and no others."""
        basic = [(f, text) for f, text in problems.items() if f not in _IN_DETAILS]
        more = [(f, text) for f, text in problems.items() if f in _IN_DETAILS]
        self._basic.show_problems(basic)
        self._more.show_problems(more)
        if more and not self.more_button.isChecked():
            self.show_details(True)

    def problem(self, field: Field) -> str:
        """Return the problem that is shown beside a field, empty for none."""
        form = self._more if field in _IN_DETAILS else self._basic
        return form.problem(field)
