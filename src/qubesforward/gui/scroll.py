# SPDX-License-Identifier: GPL-2.0-or-later
"""What is larger than the screen is scrolled to.

At 200 % scaling a small laptop has no more than 380 lines for a window.
"""

from __future__ import annotations

from PyQt6 import sip
from PyQt6.QtCore import QEvent, QObject, QSize, Qt, QTimer
from PyQt6.QtWidgets import QFrame, QScrollArea, QWidget

_AROUND = 120
"""Pixels of a screen's height that frames, titles and buttons take."""


def bring_into_view(shown: QWidget) -> None:
    """Scroll to a part of a page that was just opened, as soon as it has its place."""

    def scroll() -> None:
        above = None if sip.isdeleted(shown) else shown.parentWidget()
        while above is not None and not isinstance(above, QScrollArea):
            above = above.parentWidget()
        if above is not None:
            above.ensureWidgetVisible(shown)

    QTimer.singleShot(0, scroll)


class FittingScroll(QScrollArea):
    """Shows a widget, as large as it is where there is room.

    With `is_whole`, all of it is seen as long as the screen is large enough: a window
    grows with it. Without, the window can be made smaller.
    """

    def __init__(
        self, shown: QWidget, is_whole: bool, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._is_whole = is_whole
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setWidgetResizable(True)
        # One goes from field to field with Tab; the view follows.
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(shown)

    def sizeHint(self) -> QSize:
        """Return the size of what is shown, which Qt would limit."""
        return self.widget().sizeHint()

    def minimumSizeHint(self) -> QSize:
        """Return how small it may be made."""
        if not self._is_whole:
            return super().minimumSizeHint()
        needed = self.widget().minimumSizeHint()
        if self.widget().hasHeightForWidth():
            # While Qt shows a scroll bar, lines have to be wrapped beside it; with
            # less room than these take, it would go on to show it.
            bar = self.verticalScrollBar().sizeHint().width()
            width = max(needed.width(), self.width() - bar)
            height = self.widget().heightForWidth(width)
            needed.setHeight(max(needed.height(), height))
        screen = self.screen().availableSize()
        return needed.boundedTo(QSize(screen.width(), screen.height() - _AROUND))

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take in that what is shown needs another size."""
        is_handled = super().eventFilter(watched, event)
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return is_handled
