# SPDX-License-Identifier: GPL-2.0-or-later
"""The desktop in another language: nothing is left in English, nothing breaks."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from PyQt6 import sip
from PyQt6.QtCore import QCoreApplication, QLocale, QTranslator
from PyQt6.QtWidgets import QApplication, QDialogButtonBox, QWidget
from pytestqt.qtbot import QtBot

from qubesforward.gui.forward_dialog import ForwardDialog
from qubesforward.gui.overview import Overview
from qubesforward.gui.translation import (
    DIRECTORY,
    Translation,
    install_translation,
    read_texts,
)
from tests.gui.texts import find_texts, write_file

FILES = sorted(DIRECTORY.glob("*.ts"))
_HOLE = re.compile(r"\{[0-9]\}")
_KEY = re.compile(r"&\w")


def test_german_is_there() -> None:
    assert "de" in [path.stem for path in FILES]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_text_is_translated(path: Path) -> None:
    known = read_texts(path)
    assert find_texts() - known.keys() == set()
    # What nothing shows any more is in nobody's way, but nobody's work either.
    assert known.keys() - find_texts() == set()
    assert [key for key, text in known.items() if not text.strip()] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_put_into_texts_has_its_place(path: Path) -> None:
    for (_context, source), text in read_texts(path).items():
        assert sorted(_HOLE.findall(source)) == sorted(_HOLE.findall(text)), source
        assert len(_KEY.findall(source)) == len(_KEY.findall(text)), source


@pytest.fixture
def german(qapp: QApplication) -> Iterator[None]:
    install_translation(qapp, QLocale("de_DE"))
    yield
    for translator in qapp.findChildren(QTranslator):
        assert isinstance(translator, QTranslator)
        qapp.removeTranslator(translator)
        sip.delete(translator)


def test_windows_speak_it(german: None, qtbot: QtBot) -> None:
    overview = Overview()
    qtbot.addWidget(overview)
    assert overview.close_all_button.text() == "Alles schließen …"
    assert overview.windowTitle() == "Offene Ports"


def test_keys_of_one_form_are_all_different(german: None, qtbot: QtBot) -> None:
    dialog = ForwardDialog("work")
    qtbot.addWidget(dialog)
    texts = [str(each.property("text")) for each in dialog.findChildren(QWidget)]
    keys = [key.casefold() for text in texts for key in _KEY.findall(text)]
    assert len(keys) == len(set(keys)), sorted(keys)


def test_texts_of_qt_itself_are_not_lost(qapp: QApplication, qtbot: QtBot) -> None:
    # A translation that answers with an empty text would hide what others have.
    translation = Translation({}, qapp)
    qapp.installTranslator(translation)
    try:
        assert QCoreApplication.translate("QPlatformTheme", "Cancel") == "Cancel"
        box = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        qtbot.addWidget(box)
        button = box.button(QDialogButtonBox.StandardButton.Cancel)
        assert button.text().replace("&", "") == "Cancel"
    finally:
        qapp.removeTranslator(translation)


def test_a_language_that_is_not_there_is_english(qapp: QApplication) -> None:
    install_translation(qapp, QLocale("eo"))
    assert QCoreApplication.translate("Overview", "Open ports") == "Open ports"


def test_a_file_is_written_as_it_was_read(tmp_path: Path) -> None:
    (german,) = (path for path in FILES if path.stem == "de")
    copy = tmp_path / "de.ts"
    known = dict(read_texts(german))
    assert write_file(copy, "de", known) == 0
    assert copy.read_bytes() == german.read_bytes()
    known.pop(("Overview", "Open ports"))
    assert write_file(copy, "de", known) == 1
    assert ("Overview", "Open ports") not in read_texts(copy)
