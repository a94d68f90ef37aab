# SPDX-License-Identifier: GPL-2.0-or-later
"""Port forwarding of a qube as one area, for a page of ours or of somebody else's."""

from __future__ import annotations

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QGroupBox, QVBoxLayout, QWidget

from qubesforward.gui.forwards_desk import ForwardsDesk
from qubesforward.gui.forwards_pane import ForwardsPane
from qubesforward.gui.notice import Notice
from qubesforward.gui.qube_firewall import QubeFirewall
from qubesforward.gui.worker import Worker


class ForwardsArea(QGroupBox):
    """What is open and what can be done about it; `refused` is what was not done."""

    refused = pyqtSignal(str)

    def __init__(
        self, worker: Worker, firewall: QubeFirewall, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self.pane = ForwardsPane(firewall.qube, self)
        self.desk = ForwardsDesk(firewall, self.pane)
        self.desk.refused.connect(self.refused)
        # A lone & would be taken for the mark of a key.
        title = self.tr("Port forwarding: who may connect to {0}")
        self.setTitle(title.format(firewall.qube.replace("&", "&&")))
        inside = QVBoxLayout(self)
        inside.addWidget(self.pane)
        worker.connected.connect(self._follow)

    def _follow(self, is_connected: bool) -> None:
        if not is_connected:
            # The next status enables it; outbound rules can be edited meanwhile.
            self.pane.setEnabled(False)


class Troubles(QWidget):
    """Says that qubes-forwardd is gone, and what else could not be done or read."""

    def __init__(self, worker: Worker, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._worker = worker
        self.gone = Notice(parent=self)
        self.problem = Notice({self.tr("Close"): lambda: None}, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.gone)
        layout.addWidget(self.problem)
        worker.connected.connect(self._show)
        if worker.is_connected or worker.reason:
            self._show(worker.is_connected)

    def _show(self, is_connected: bool) -> None:
        text = self.tr(
            "What is shown may be out of date, and nothing can be changed now: {0}."
            " It is looked for all the time."
        )
        self.gone.say("" if is_connected else text.format(self._worker.reason))
