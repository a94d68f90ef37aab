# SPDX-License-Identifier: GPL-2.0-or-later
"""A line above a part of a window: something is wrong, or has changed."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QStyle, QWidget

from qubesforward.gui.plain import PlainLabel


class Notice(QFrame):
    """A text that came from anywhere, with what can be done about it; hidden at first.

    `actions` are the texts of buttons and what they do. The notice goes when one of
    them is pressed.
    """

    def __init__(
        self,
        actions: dict[str, Callable[[], None]] | None = None,
        parent: QWidget | None = None,
        icon: QStyle.StandardPixmap = QStyle.StandardPixmap.SP_MessageBoxWarning,
    ) -> None:
        super().__init__(parent)
        self.setFrameShape(QFrame.Shape.StyledPanel)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 8, 4)
        sign = QLabel(self)
        style = self.style()
        side = style.pixelMetric(QStyle.PixelMetric.PM_SmallIconSize)
        sign.setPixmap(style.standardIcon(icon).pixmap(side, side))
        layout.addWidget(sign)
        self._label = PlainLabel(parent=self)
        layout.addWidget(self._label, 1)
        self.buttons = [QPushButton(text, self) for text in actions or {}]
        for button, act in zip(self.buttons, (actions or {}).values(), strict=True):
            button.clicked.connect(self.hide)
            button.clicked.connect(act)
            layout.addWidget(button)
        self.hide()

    @property
    def text(self) -> str:
        """What it says."""
        return self._label.text()

    def say(self, text: str) -> None:
        """Say this; nothing hides the notice."""
        self._label.show_text(text)
        self.setAccessibleName(self._label.text())
        self.setVisible(bool(text))
