# SPDX-License-Identifier: GPL-2.0-or-later
"""The question before everything is closed."""

from __future__ import annotations

from collections.abc import Callable

from PyQt6.QtCore import QCoreApplication
from PyQt6.QtWidgets import QMessageBox, QWidget


def ask_close_all(
    parent: QWidget | None, answer: Callable[[bool], None]
) -> QMessageBox:
    """Ask once whether all ports are to be closed; nothing waits for the answer."""
    title = QCoreApplication.translate("CloseAll", "Close everything")
    text = QCoreApplication.translate(
        "CloseAll",
        "Close all forwarded ports of all qubes? Connections through them are cut at"
        " once, and the forwards are removed for good.",
    )
    buttons = QMessageBox.StandardButton
    question = QMessageBox(
        QMessageBox.Icon.Warning, title, text, buttons.Cancel, parent
    )
    yes = question.addButton(title, QMessageBox.ButtonRole.DestructiveRole)
    question.setDefaultButton(buttons.Cancel)
    question.setEscapeButton(buttons.Cancel)
    question.setModal(parent is not None)
    question.finished.connect(lambda _: answer(question.clickedButton() is yes))
    question.finished.connect(question.deleteLater)
    question.show()
    return question
