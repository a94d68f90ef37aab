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

from qubesforward.gui.forwards_desk import ForwardsDesk
from qubesforward.gui.forwards_pane import ForwardsPane
from qubesforward.gui.notice import Notice
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
        self._worker = worker
        self._is_saving = False
        self.firewall = QubeFirewall(worker, qube, self)
        self.outbound = OutboundPane(self)
        self.forwards = ForwardsPane(qube, self)
        self.desk = ForwardsDesk(self.firewall, self.forwards)
        self.gone = Notice(parent=self)
        self.problem = Notice({self.tr("Close"): lambda: None}, self)
        self._lay_out(qube)
        self.firewall.outbound_read.connect(self.outbound.show_rules)
        self.firewall.failed.connect(self.problem.say)
        self.desk.refused.connect(self.problem.say)
        self.outbound.edited.connect(self.edited)
        worker.connected.connect(self._show_connection)
        if worker.is_connected or worker.reason:
            self._show_connection(worker.is_connected)

    def _lay_out(self, qube: str) -> None:
        split = QSplitter(Qt.Orientation.Vertical, self)
        split.setChildrenCollapsible(False)
        for title, pane in (
            (self.tr("Outbound: what {0} may connect to"), self.outbound),
            (self.tr("Port forwarding: who may connect to {0}"), self.forwards),
        ):
            # A lone & would be taken for the mark of a key.
            box = QGroupBox(title.format(qube.replace("&", "&&")), split)
            inside = QVBoxLayout(box)
            inside.addWidget(pane)
            split.addWidget(box)
        split.setStretchFactor(0, 2)
        split.setStretchFactor(1, 3)
        layout = QVBoxLayout(self)
        layout.addWidget(self.gone)
        layout.addWidget(self.problem)
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

    def _show_connection(self, is_connected: bool) -> None:
        text = self.tr(
            "What is shown may be out of date, and nothing can be changed now: {0}."
            " It is looked for all the time."
        )
        self.gone.say("" if is_connected else text.format(self._worker.reason))
        if not is_connected:
            # The next status enables it; outbound rules can be edited meanwhile.
            self.forwards.setEnabled(False)
