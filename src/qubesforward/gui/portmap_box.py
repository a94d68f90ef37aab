# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether programs of a qube may ask for ports, and which they have."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.sentences import format_mapping, name_some
from qubesforward.cli.status import ForwardStatus
from qubesforward.gui.forward_draft import show_problem
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.portmap_policy import (
    DEFAULT_PORTS,
    Mode,
    PortmapField,
    PortmapPolicy,
    find_problems,
)
from qubesforward.gui.problem_form import ProblemForm
from qubesforward.gui.scroll import bring_into_view
from qubesforward.gui.words import say
from qubesforward.model.rule import Reach


class PortmapBox(QWidget):
    """A switch with three positions, and which ports are meant.

    `wanted` has the policy that the user chose; never one that cannot be read.
    """

    wanted = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._shown = PortmapPolicy()
        self._make_switch()
        self._make_fields()
        self.mappings = PlainLabel(parent=self)
        self._lay_out()
        self._connect()
        self.setEnabled(False)
        self.mappings.hide()
        self.show_ports(False)

    def _make_switch(self) -> None:
        self.mode = QComboBox(self)
        for mode, text in (
            (Mode.OFF, self.tr("Off: they get none")),
            (Mode.ASK, self.tr("Ask me each time")),
            (Mode.ALLOW, self.tr("Allow")),
        ):
            self.mode.addItem(text, mode)
        self.internet = QCheckBox(self.tr("also from the in&ternet"), self)
        self.more = QToolButton(self)
        self.more.setText(self.tr("Ports"))
        self.more.setAccessibleName(self.tr("Which ports programs may have"))
        self.more.setCheckable(True)
        self.more.setAutoRaise(True)
        self.more.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.more.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _make_fields(self) -> None:
        self.details = QWidget(self)
        self.ports = QLineEdit(self.details)
        self.ports.setPlaceholderText(DEFAULT_PORTS.short)
        self.cone = QLineEdit(self.details)
        self.cone.setPlaceholderText(self.tr("none; or 40000-40015"))
        self.form = ProblemForm(self.details)
        self.form.setContentsMargins(0, 0, 0, 0)
        self.form.add(PortmapField.PORTS, self.tr("They may have:"), self.ports)
        self.form.add(PortmapField.CONE, self.tr("Open unasked (UDP):"), self.cone)
        self.caveat = PlainLabel(parent=self.details)
        self.form.addRow("", self.caveat)
        self.details.setLayout(self.form)

    def _lay_out(self) -> None:
        title = QLabel(self.tr("&NAT traversal: programs that ask for ports"), self)
        title.setBuddy(self.mode)
        self.mode.setAccessibleName(self.tr("NAT traversal"))
        line = QHBoxLayout()
        for part in (title, self.mode, self.internet, self.more):
            line.addWidget(part)
        line.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.details)
        layout.addWidget(self.mappings)

    def _connect(self) -> None:
        self.mode.activated.connect(self._want)
        self.internet.clicked.connect(self._want)
        self.more.toggled.connect(self.show_ports)
        self.more.clicked.connect(lambda: bring_into_view(self.details))
        for field in (self.ports, self.cone):
            field.textEdited.connect(self._show_consequences)
            field.textEdited.connect(lambda: bring_into_view(self.details))
            field.editingFinished.connect(self._want)

    @property
    def policy(self) -> PortmapPolicy:
        """What is chosen."""
        return PortmapPolicy(
            self.mode.currentData(),
            Reach.INTERNET if self.internet.isChecked() else Reach.LAN,
            self.ports.text().strip(),
            self.cone.text().strip(),
        )

    def show_policy(self, policy: PortmapPolicy) -> None:
        """Show what holds; a field in which something else was typed is left."""
        self._shown = policy
        self.mode.setCurrentIndex(self.mode.findData(policy.mode))
        self.internet.setChecked(policy.reach is Reach.INTERNET)
        for field, text in ((self.ports, policy.ports), (self.cone, policy.cone)):
            if not field.isModified():
                field.setText(text)
        if policy.ports or policy.cone:
            self.show_ports(True)
        self._show_switch()
        self._show_consequences()
        self.setEnabled(True)

    def show_ports(self, are_shown: bool) -> None:
        """Open or close the fields for ports."""
        self.more.setChecked(are_shown)
        arrow = Qt.ArrowType.DownArrow if are_shown else Qt.ArrowType.RightArrow
        self.more.setArrowType(arrow)
        self.details.setVisible(are_shown)

    def show_forwards(self, forwards: Sequence[ForwardStatus]) -> None:
        """Say which ports programs have now."""
        ports = [format_mapping(each.rule) for each in forwards if each.is_mapping]
        self.mappings.setVisible(bool(ports))
        text = self.tr("Open for programs now: {0}").format(say(name_some(ports)))
        self.mappings.show_text(text if ports else "")

    def _show_switch(self) -> None:
        is_on = self.mode.currentData() != Mode.OFF
        self.internet.setEnabled(is_on)

    def _show_consequences(self) -> None:
        """Say what is wrong with the ports, and what comes of the block."""
        problems = find_problems(self.policy)
        self.form.show_problems((f, show_problem(e)) for f, e in problems.items())
        self.caveat.show_text(self._describe_caveat())
        self.caveat.setVisible(bool(self.cone.text().strip()))

    def _describe_caveat(self) -> str:
        said = [
            self.tr(
                "Nobody is asked: while the qube runs, whatever uses one of these ports"
                " is open to everybody on the local network."
            )
        ]
        if self.internet.isChecked():
            said = [
                self.tr(
                    "Nobody is asked: while the qube runs, whatever uses one of these"
                    " ports is open to everybody on the local network, and on the"
                    " internet if the router agrees."
                )
            ]
        if self.mode.currentData() == Mode.OFF:
            said.append(self.tr("They are closed as long as NAT traversal is off."))
        said.append(
            self.tr("They are closed, too, if outbound rules do not allow everything.")
        )
        return " ".join(said)

    def _want(self) -> None:
        self._show_switch()
        self._show_consequences()
        policy = self.policy
        if policy != self._shown and not find_problems(policy):
            for field in (self.ports, self.cone):
                field.setModified(False)
            self._shown = policy
            self.wanted.emit(policy)
