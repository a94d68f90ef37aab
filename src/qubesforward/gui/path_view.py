# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the path of one forward is shown."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtWidgets import QVBoxLayout, QWidget

from qubesforward.cli.status import ForwardStatus, HopStatus
from qubesforward.gui.plain import PlainLabel
from qubesforward.model.ports import parse_ports


class PathView(QWidget):
    """The path of a forward, from outside to the qube."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._line = PlainLabel(parent=self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._line)
        self.hide()

    def show_forward(self, forward: ForwardStatus, _hops: Sequence[HopStatus]) -> None:
        """Show the path of this forward."""
        steps = [
            f"{step.qube}:{parse_ports(step.ports).short}" for step in forward.path
        ]
        self._line.show_text(" → ".join(dict.fromkeys(steps)))
        self.setVisible(bool(steps))

    def clear(self) -> None:
        """Show no path."""
        self._line.show_text("")
        self.hide()
