# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts from elsewhere in widgets: never taken for rich text, never too long."""

from __future__ import annotations

from html import escape

from PyQt6.QtCore import QSize, Qt
from PyQt6.QtGui import QResizeEvent
from PyQt6.QtWidgets import QLabel, QWidget

LONGEST = 500
"""Characters of one text; more would cover the rest of the window."""


def bound(text: str) -> str:
    """Return the text, its end left out if it is too long, in printable characters."""
    shown = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"


def plain_tip(text: str) -> str:
    """Return a text for a tool tip, which Qt would else look at for tags."""
    return f"<p>{escape(bound(text))}</p>" if text else ""


class PlainLabel(QLabel):
    """A label whose text is plain, bounded, wrapped, and can be marked and copied."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
        self.setWordWrap(True)
        self.setTextInteractionFlags(
            Qt.TextInteractionFlag.TextSelectableByMouse
            | Qt.TextInteractionFlag.TextSelectableByKeyboard
        )
        # It can be marked with the mouse; with Tab one goes from field to field.
        self.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        self.show_text(text)

    def minimumSizeHint(self) -> QSize:
        """Return what it needs at its width: Qt would have others squeezed for it."""
        needed = super().minimumSizeHint()
        if self.isVisible():
            needed.setHeight(max(needed.height(), self.heightForWidth(self.width())))
        return needed

    def resizeEvent(self, event: QResizeEvent) -> None:
        """At another width, it needs another height."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self.updateGeometry()

    def show_text(self, text: str) -> None:
        """Show a text, wherever it comes from."""
        self.setText(bound(text))
