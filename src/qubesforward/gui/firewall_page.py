# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewall of one qube: what it may connect to, and who may connect to it."""

from __future__ import annotations

from PyQt6.QtCore import Qt, pyqtSignal
from PyQt6.QtWidgets import (
    QGroupBox,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from qubesforward.gui.forwards_area import ForwardsArea, Troubles
from qubesforward.gui.outbound_pane import OutboundPane
from qubesforward.gui.qube_firewall import QubeFirewall
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import OutboundRule


class FirewallPage(QWidget):
    """A page for a window of our own, or of Qubes' manager.

    Forwards are changed at once; outbound rules by `save`, after which comes `saved`,
    or `not_saved`. `edited` comes when `is_changed` may have changed.
    """

    edited = pyqtSignal()
    saved = pyqtSignal()
    not_saved = pyqtSignal()

    def __init__(
        self, worker: Worker, qube: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._is_saving = False
        self.firewall = QubeFirewall(worker, qube, self)
        self.outbound = OutboundPane(self)
        self.area = ForwardsArea(worker, self.firewall, self)
        self.forwards, self.desk = self.area.pane, self.area.desk
        self._troubles = Troubles(worker, self)
        self.gone, self.problem = self._troubles.gone, self._troubles.problem
        self._lay_out(qube)
        self.firewall.outbound_read.connect(self.outbound.show_rules)
        self.firewall.failed.connect(self.problem.say)
        self.area.refused.connect(self.problem.say)
        self.outbound.edited.connect(self.edited)

    def _lay_out(self, qube: str) -> None:
        split = QSplitter(Qt.Orientation.Vertical, self)
        split.setChildrenCollapsible(False)
        # A lone & would be taken for the mark of a key.
        title = self.tr("Outbound: what {0} may connect to")
        box = QGroupBox(title.format(qube.replace("&", "&&")), split)
        inside = QVBoxLayout(box)
        inside.addWidget(self.outbound)
        split.addWidget(box)
        split.addWidget(self.area)
        split.setStretchFactor(0, 2)
        split.setStretchFactor(1, 3)
        layout = QVBoxLayout(self)
        layout.addWidget(self._troubles)
        layout.addWidget(split, 1)

    @property
    def is_changed(self) -> bool:
        """Whether there are outbound rules that are not saved."""
        return self.outbound.is_changed

    def watch(self, is_watching: bool) -> None:
        """Look at the counters while somebody sees the page."""
        self.firewall.watch_counters(is_watching)

    def save(self) -> None:
        """Save the outbound rules."""
        if not self.is_changed:
            self.saved.emit()
            return
        if self._is_saving:
            return
        self._is_saving = True
        rules = self.outbound.rules

        def done() -> None:
            self._finish_saving(rules)

        self.firewall.set_outbound(
            rules, self.outbound.read, done, self._fail_changed, self._fail
        )

    def _finish_saving(self, rules: list[OutboundRule]) -> None:
        self._is_saving = False
        self.outbound.note_saved(rules)
        self.saved.emit()

    def _fail_changed(self) -> None:
        self._is_saving = False
        self.not_saved.emit()

    def _fail(self, reason: str) -> None:
        self._is_saving = False
        self.problem.say(self.tr("The rules are not saved: {0}").format(reason))
        self.not_saved.emit()
