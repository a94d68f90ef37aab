# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts in the user's language, where no widget is at hand to translate them.

Words that a picture shares with the command line's are written there, in English;
here they are translated by their own text.
"""

from __future__ import annotations

from PyQt6.QtCore import QCoreApplication

CONTEXT = "Words"


def say(text: str) -> str:
    """Return a text in the user's language, or as it is."""
    return QCoreApplication.translate(CONTEXT, text)
