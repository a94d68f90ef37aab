# SPDX-License-Identifier: GPL-2.0-or-later
"""The dialog for one outbound rule: address, service, protocol, comment."""

from __future__ import annotations

from PyQt6.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QLineEdit,
    QVBoxLayout,
    QWidget,
)

from qubesforward.gui.outbound_rules import (
    RuleField,
    read_exception,
    show_host,
    show_port,
)
from qubesforward.gui.problem_form import ProblemForm
from qubesforward.model.rule import OutboundRule, Proto

_PROTOS = (None, Proto.TCP, Proto.UDP, Proto.ICMP)


class OutboundDialog(QDialog):
    """Asks for one rule. `rule` is what the fields stand for, None if for none."""

    def __init__(
        self, present: OutboundRule | None = None, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        adding, editing = self.tr("Add a rule"), self.tr("Edit the rule")
        self.setWindowTitle(editing if present else adding)
        self.host = QLineEdit(self)
        self.host.setPlaceholderText(self.tr("example.org, 192.0.2.0/24; empty: any"))
        self.port = QLineEdit(self)
        self.port.setPlaceholderText(self.tr("https, 443, 8000-8010; empty: any"))
        self.proto = QComboBox(self)
        for proto in _PROTOS:
            self.proto.addItem(proto.upper() if proto else self.tr("any"), proto)
        self.comment = QLineEdit(self)
        self.rule: OutboundRule | None = None
        self._form = ProblemForm(self)
        self._form.add(RuleField.HOST, self.tr("A&ddress:"), self.host)
        self._form.add(None, self.tr("&Protocol:"), self.proto)
        self._form.add(RuleField.PORT, self.tr("&Service or port:"), self.port)
        self._form.add(RuleField.COMMENT, self.tr("&Comment:"), self.comment)
        standard = QDialogButtonBox.StandardButton
        self.buttons = QDialogButtonBox(standard.Ok | standard.Cancel, parent=self)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.addLayout(self._form)
        layout.addWidget(self.buttons)
        self._fill(present)
        for field in (self.host, self.port, self.comment):
            field.textChanged.connect(self._read)
        self.proto.currentIndexChanged.connect(self._read)
        self._read()
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 76)

    def _fill(self, present: OutboundRule | None) -> None:
        if present is None:
            self.proto.setCurrentIndex(_PROTOS.index(Proto.TCP))
            return
        self.host.setText("" if present.dsthost is None else show_host(present))
        self.port.setText("" if present.dstports is None else show_port(present))
        self.proto.setCurrentIndex(_PROTOS.index(present.proto))
        self.comment.setText(present.comment)

    def _read(self) -> None:
        proto = _PROTOS[self.proto.currentIndex()]
        has_ports = proto in (Proto.TCP, Proto.UDP)
        self.port.setEnabled(has_ports)
        port = self.port.text() if has_ports else ""
        comment = self.comment.text()
        self.rule, problems = read_exception(self.host.text(), port, proto, comment)
        self._form.show_problems(problems.items())
        okay = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        okay.setEnabled(self.rule is not None)
