# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the path of one forward is shown: its picture, and what a place of it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from PyQt6.QtCore import pyqtSignal
from PyQt6.QtWidgets import QVBoxLayout, QWidget

from qubesforward.cli.path_model import build_path
from qubesforward.cli.status import ForwardStatus, HopStatus
from qubesforward.gui.labels import Labels
from qubesforward.gui.path_picture import PathPicture, describe_node
from qubesforward.gui.plain import PlainLabel


class PathView(QWidget):
    """The path of a forward to `qube`, from outside; hidden while there is none.

    `labels_wanted` has the qubes whose labels `show_labels` is to tell. `planned`: the
    forwards that are shown are not there yet, so hops have no state.
    """

    labels_wanted = pyqtSignal(list)

    def __init__(
        self, parent: QWidget | None = None, qube: str = "", planned: bool = False
    ) -> None:
        super().__init__(parent)
        self._qube = qube
        self._is_planned = planned
        self._forward: ForwardStatus | None = None
        self._labels: Mapping[str, str] = {}
        self.picture = PathPicture(self)
        self.details = PlainLabel(parent=self)
        self.details.setAccessibleName(self.tr("About the chosen place"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.picture)
        layout.addWidget(self.details)
        self.picture.hop_clicked.connect(self._tell)
        self.details.hide()
        self.hide()

    def follow(self, labels: Labels) -> None:
        """Have labels told from now on."""
        self.labels_wanted.connect(labels.want)
        labels.changed.connect(self.show_labels)
        self.show_labels(labels.known)

    def show_forward(
        self, forward: ForwardStatus, _hops: Sequence[HopStatus] = (), qube: str = ""
    ) -> None:
        """Show the path of this forward, to `qube` if that is not always the same."""
        self._forward = forward
        self._qube = qube or self._qube
        self._draw()
        self.labels_wanted.emit([self._qube, *(step.qube for step in forward.path)])
        self.show()

    def show_labels(self, labels: Mapping[str, str]) -> None:
        """Show qubes in the colours of these labels."""
        self._labels = labels
        if self._forward is not None:
            self._draw()

    def clear(self) -> None:
        """Show no path."""
        self._forward = None
        self.picture.set_path(None)
        self.hide()

    def _draw(self) -> None:
        if self._forward is None:
            return
        model = build_path(
            self._forward, self._qube, self._labels, planned=self._is_planned
        )
        self.picture.set_path(model)
        self._tell(self.picture.chosen)

    def _tell(self, name: str) -> None:
        model = self.picture.model
        node = None if model is None else model.find(name)
        self.details.setVisible(node is not None)
        self.details.show_text("" if node is None else describe_node(node))
