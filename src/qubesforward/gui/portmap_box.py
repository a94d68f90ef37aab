# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether programs of a qube may ask for ports, and which they have."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.sentences import format_mapping, name_some
from qubesforward.cli.status import ForwardStatus
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.portmap_policy import Mode, PortmapPolicy
from qubesforward.gui.words import say
from qubesforward.model.rule import Reach


class PortmapBox(QWidget):
    """A switch with three positions; `wanted` has the policy that the user chose."""

    wanted = pyqtSignal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.mode = QComboBox(self)
        for mode, text in (
            (Mode.OFF, self.tr("Off: they get none")),
            (Mode.ASK, self.tr("Ask me each time")),
            (Mode.ALLOW, self.tr("Allow")),
        ):
            self.mode.addItem(text, mode)
        self.internet = QCheckBox(self.tr("also from the in&ternet"), self)
        self.mappings = PlainLabel(parent=self)
        title = QLabel(self.tr("&NAT traversal: programs that ask for ports"), self)
        title.setBuddy(self.mode)
        self.mode.setAccessibleName(self.tr("NAT traversal"))
        line = QHBoxLayout()
        for part in (title, self.mode, self.internet):
            line.addWidget(part)
        line.addStretch()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(line)
        layout.addWidget(self.mappings)
        self.setEnabled(False)
        self.mappings.hide()
        self.mode.activated.connect(self._want)
        self.internet.clicked.connect(self._want)

    @property
    def policy(self) -> PortmapPolicy:
        """What is chosen."""
        reach = Reach.INTERNET if self.internet.isChecked() else Reach.LAN
        return PortmapPolicy(self.mode.currentData(), reach)

    def show_policy(self, policy: PortmapPolicy) -> None:
        """Show what holds."""
        self.mode.setCurrentIndex(self.mode.findData(policy.mode))
        self.internet.setChecked(policy.reach is Reach.INTERNET)
        self._show_switch()
        self.setEnabled(True)

    def show_forwards(self, forwards: Sequence[ForwardStatus]) -> None:
        """Say which ports programs have now."""
        ports = [format_mapping(each.rule) for each in forwards if each.is_mapping]
        self.mappings.setVisible(bool(ports))
        text = self.tr("Open for programs now: {0}").format(say(name_some(ports)))
        self.mappings.show_text(text if ports else "")

    def _show_switch(self) -> None:
        self.internet.setEnabled(self.mode.currentData() != Mode.OFF)

    def _want(self) -> None:
        self._show_switch()
        self.wanted.emit(self.policy)
