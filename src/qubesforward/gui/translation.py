# SPDX-License-Identifier: GPL-2.0-or-later
"""Texts in other languages, out of files that Qt's own tools can edit.

A file of Qt Linguist (``.ts``) is read as it is: so nothing has to be compiled to be
tried, and no tool for that is needed where the package is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.etree.ElementTree import ParseError, parse

from PyQt6.QtCore import (
    QCoreApplication,
    QLibraryInfo,
    QLocale,
    QObject,
    QTranslator,
)

from qubesforward.gui.retelling import Retelling

TOLD = "Told"
"""The context of texts that other programs say."""

DIRECTORY = Path(__file__).parent / "languages"
"""Files are named by language: ``de.ts``."""

Texts = Mapping[tuple[str, str], str]
"""Context and English text → text."""


def read_texts(path: Path) -> Texts:
    """Return the texts of a file; those that are not finished are left out.

    Raises OSError, and ParseError for what is no XML.
    """
    texts = {}
    # It is a part of this package, so nobody else has written it.
    for context in parse(path).getroot().iter("context"):  # noqa: S314
        name = context.findtext("name", "")
        for message in context.iter("message"):
            translation = message.find("translation")
            if translation is not None and not translation.get("type"):
                text = translation.text or ""
                texts[name, message.findtext("source", "")] = text
    return texts


class Translation(QTranslator):
    """Finds texts by their English ones."""

    def __init__(self, texts: Texts, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._texts = texts
        told = {
            source: text for (context, source), text in texts.items() if context == TOLD
        }
        self._retelling = Retelling(told)

    def retell(self, text: str) -> str:
        """Return what another program said, or as it is if it is none of our texts."""
        return self._retelling.retell(text)

    # Qt's stubs know texts only; None is how PyQt says that there is none.
    def translate(  # type: ignore[override]
        self,
        context: str,
        sourceText: str,
        _disambiguation: str | None = None,
        _n: int = -1,
    ) -> str | None:
        """Return the text. None lets Qt ask the next one; an empty text would not."""
        return self._texts.get((context, sourceText))

    def isEmpty(self) -> bool:
        """Return whether it has no texts at all."""
        return not self._texts


def install_translation(application: QCoreApplication, locale: QLocale) -> None:
    """Have the application speak the language of a locale, if it is there."""
    language = locale.name().partition("_")[0]
    own = QTranslator(application)
    # The buttons of Qt's own dialogs.
    place = QLibraryInfo.path(QLibraryInfo.LibraryPath.TranslationsPath)
    if own.load(locale, "qtbase", "_", place):
        application.installTranslator(own)
    path = DIRECTORY / f"{language}.ts"
    try:
        texts = read_texts(path)
    except (OSError, ParseError):
        return
    application.installTranslator(Translation(texts, application))
