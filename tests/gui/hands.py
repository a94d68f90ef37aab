# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user does with mouse and keys."""

from __future__ import annotations

from typing import Any

from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtTest import QTest
from PyQt6.QtWidgets import QWidget

# Its stubs of PyQt 6.4 say that static methods have a self.
_hands: Any = QTest


def press(widget: QWidget, place: QPoint | None = None) -> None:
    """Click a widget, which must take clicks, at a place in it or in its middle."""
    assert widget.isVisible()
    assert widget.isEnabled()
    no_keys = Qt.KeyboardModifier.NoModifier
    _hands.mouseClick(widget, Qt.MouseButton.LeftButton, no_keys, place or QPoint())


def press_key(widget: QWidget, key: Qt.Key) -> None:
    """Press and release a key."""
    _hands.keyClick(widget, key)


def type_text(widget: QWidget, text: str) -> None:
    """Type at the cursor."""
    _hands.keyClicks(widget, text)
