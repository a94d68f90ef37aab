# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts in the user's language, where no widget is at hand to translate them.

Words and sentences that the command line has, too, are written there, in English; here
they are translated by their own text.
"""

from __future__ import annotations

from typing import cast

from PyQt6.QtCore import QCoreApplication

from qubesforward.cli.phrase import Phrase, Told
from qubesforward.errors import ForwardError
from qubesforward.gui.translation import Translation

CONTEXT = "Words"


def say(text: str) -> str:
    """Return a text, a phrase with its parts, or what was told, in the user's language.

    What there is no translation of stays as it is.
    """
    if isinstance(text, Told):
        return _retell(text)
    if isinstance(text, Phrase):
        return text.put(say)
    return QCoreApplication.translate(CONTEXT, text)


def say_told(text: str) -> str:
    """Return what another program said in the user's language, if we know the text."""
    return say(Told(text))


def say_error(error: ForwardError) -> str:
    """Return the text of an error in the user's language."""
    return say(Told(str(error)))


def _retell(text: str) -> str:
    # PyQt's stubs do not say that there may be no application.
    application: QCoreApplication | None = QCoreApplication.instance()
    if application is not None:
        for translation in application.findChildren(Translation):
            # Nor what is found by its class.
            told = cast("Translation", translation).retell(str(text))
            if told != text:
                return told
    return str(text)
