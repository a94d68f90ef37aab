# SPDX-License-Identifier: GPL-2.0-or-later
"""What is larger than the screen, or than the window was made, is scrolled to.

At 200 % scaling a small laptop has no more than 380 lines for a window.
"""

from __future__ import annotations

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtWidgets import QFrame, QScrollArea, QWidget


class FittingScroll(QScrollArea):
    """Shows a widget, as large as it is where there is room."""

    def __init__(self, shown: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        # One goes from field to field with Tab; the view follows.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(shown)

    def sizeHint(self) -> QSize:
        """Return the size of what is shown, which Qt would limit."""
        return self.widget().sizeHint()

    def missing_height(self) -> int:
        """Return how much higher it must be to show all at this width."""
        shown = self.widget()
        layout = shown.layout()
        layout.activate()
        needed = layout.totalHeightForWidth(self.viewport().width())
        return max(needed, shown.minimumSizeHint().height()) - self.viewport().height()


def grow(window: QWidget) -> None:
    """Make a window as high as what it shows needs, but never smaller.

    Qt does not do it for texts that wrap.
    """
    if not window.isVisible():
        return
    room = window.screen().availableGeometry().height()
    layout = window.layout()
    layout.activate()
    missing = layout.totalHeightForWidth(window.width()) - window.height()
    for scroll in window.findChildren(QScrollArea):
        if isinstance(scroll, FittingScroll):
            missing = max(missing, scroll.missing_height())
    if missing > 0:
        window.resize(window.width(), min(window.height() + missing, room))
