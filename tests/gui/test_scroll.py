# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows are as large as what they say, as long as the screen has room for it."""

from __future__ import annotations

import pytest
from PyQt6.QtWidgets import QDialog, QLabel, QVBoxLayout, QWidget
from pytestqt.qtbot import QtBot

from qubesforward.gui.scroll import FittingScroll, bring_into_view


class Dialog(QDialog):
    """A text that is wrapped, and what stands below it."""

    def __init__(self) -> None:
        super().__init__()
        page = QWidget()
        self.text, self.last = QLabel("short"), QLabel("last")
        self.text.setWordWrap(True)
        column = QVBoxLayout(page)
        column.addWidget(self.text)
        column.addWidget(self.last)
        self.area = FittingScroll(page, is_whole=True, parent=self)
        layout = QVBoxLayout(self)
        layout.addWidget(self.area)
        self.setMinimumWidth(300)

    @property
    def is_whole(self) -> bool:
        """Whether the last of it is seen."""
        return bool(self.last.visibleRegion().boundingRect() == self.last.rect())


@pytest.fixture
def dialog(qtbot: QtBot) -> Dialog:
    made = Dialog()
    qtbot.addWidget(made)
    made.show()
    return made


def test_a_window_grows_with_what_it_says(dialog: Dialog, qtbot: QtBot) -> None:
    text = dialog.text
    text.setText("some words more " * 30)
    qtbot.waitUntil(lambda: text.height() >= text.heightForWidth(text.width()) > 50)
    qtbot.waitUntil(lambda: dialog.is_whole)
    assert dialog.area.verticalScrollBar().maximum() == 0


def test_what_is_larger_than_the_screen_is_scrolled_to(
    dialog: Dialog, qtbot: QtBot
) -> None:
    dialog.text.setText("some words more " * 3000)
    qtbot.waitUntil(lambda: dialog.area.verticalScrollBar().maximum() > 0)
    assert dialog.height() <= dialog.screen().availableSize().height()
    assert not dialog.is_whole
    bring_into_view(dialog.last)
    qtbot.waitUntil(lambda: dialog.is_whole)
