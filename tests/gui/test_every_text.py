# SPDX-License-Identifier: GPL-2.0-or-later
"""No window shows a word that translators cannot get at.

The windows speak a language of dots: whatever is left in letters is data, or English
that was put together where no translation reaches it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from PyQt6 import sip
from PyQt6.QtWidgets import QApplication, QFileDialog, QMessageBox, QWidget
from pytestqt.qtbot import QtBot

from qubesforward.gui.forward_draft import Draft
from qubesforward.gui.outbound_dialog import OutboundDialog
from qubesforward.gui.prompt_program import Attendant
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.translation import Translation
from qubesforward.gui.words import say_told
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import Proto
from tests.daemon.gateway_end import wish
from tests.gui.daemon_thread import Computer
from tests.gui.programs import asking
from tests.gui.seen_texts import texts_of
from tests.gui.texts import find_texts

_WORD = re.compile(r"[^\W\d_]+")
_LETTERS = re.compile(r"\{[0-9]\}|%[0-9]|[^\W\d_]+")

_DATA = re.compile(
    r"work|personal|sys-(?:net|firewall|vpn)|dom0|qubes-forwardd|root/\S*|"
    r"tcp|udp|igd|icmp|natpmp|pcp|NAT-PMP|UPnP|"
    # Units, and what stands in for a qube's own words.
    r"\b(?:d|h|min|s|B|kB|MB)\b|Transmission|secret|"
    # Addresses, names of files and what is to be typed.
    r"(?:[0-9a-f]*:)+[0-9a-f]*|fe80|\S+\.sock\b|reboot",
    re.IGNORECASE,
)


def dotted(text: str) -> str:
    """Return a text with a dot for each word; holes and marks of keys stay."""

    def dot(found: re.Match[str]) -> str:
        return found[0] if found[0][0] in "{%" else "·"

    return _LETTERS.sub(dot, text)


@pytest.fixture(autouse=True)
def dots(qapp: QApplication) -> Iterator[None]:
    """Have the program speak in dots."""
    texts = {(context, text): dotted(text) for context, text in find_texts()}
    translation = Translation(texts, qapp)
    qapp.installTranslator(translation)
    yield
    qapp.removeTranslator(translation)
    sip.delete(translation)


@pytest.fixture
def attendant(worker: Worker, qtbot: QtBot) -> Iterator[Attendant]:
    made = Attendant(worker)
    yield made
    for window in made.windows.shown.values():
        window.close()
    made.close()


@pytest.fixture
def furnished(computer: Computer) -> Computer:
    """A computer with forwards in every state that a daemon alone can bring about."""
    external = "forwardtype=external proto=tcp"
    computer.add(
        "work",
        f"{external} srcports=443-443 dstports=8443-8443",
        "forwardtype=external src4=192.168.1.0/24 srcports=5000-5010 expire=reboot",
        "forwardtype=internal proto=udp srcports=53-53 expire=4000000000",
        f"{external} srcports=22-22 reach=internet comment=secret",
    )
    computer.call(
        "Add+forward", "work", f"confirmed=no\naction=forward {external} srcports=99-99"
    )
    computer.call(
        "Add+forward",
        "personal",
        f"force=yes\naction=forward {external} srcports=443-443",
    )
    return computer


def left_in(window: QWidget) -> dict[str, str]:
    """Return what a window says in letters, by where."""
    left = {}
    for place, text in texts_of(window):
        shown = re.sub(r"</?p>", "", text)
        if _WORD.search(_DATA.sub("", shown)):
            left[place] = text
    return left


def test_settings(furnished: Computer, attendant: Attendant, qtbot: QtBot) -> None:
    attendant.windows.show("work")
    window = attendant.windows.shown["work"]
    assert isinstance(window, SettingsWindow)
    pane = window.page.forwards
    rows = pane.table.rows
    qtbot.waitUntil(lambda: pane.isEnabled() and rows.rowCount() == 5)
    for row in range(rows.rowCount()):
        pane.table.selectRow(row)
        qtbot.waitUntil(pane.path.isVisible)
        pane.path.picture.choose("sys-firewall")
        assert left_in(window) == {}
        for action in pane.extend_menu.actions():
            assert not _WORD.search(action.text())
    rule = OutboundDialog(parent=window)
    qtbot.addWidget(rule)
    rule.show()
    assert left_in(rule) == {}


def test_dialog(furnished: Computer, attendant: Attendant, qtbot: QtBot) -> None:
    attendant.windows.show("work")
    window = attendant.windows.shown["work"]
    assert isinstance(window, SettingsWindow)
    qtbot.waitUntil(window.page.forwards.isEnabled)
    window.page.forwards.add_wanted.emit()
    dialog = window.page.desk.dialog
    assert dialog is not None
    assert left_in(dialog) == {}
    # Free, taken, and what no field takes.
    for draft in (
        Draft(port="8080", duration="2h"),
        Draft(port="443"),
        Draft(port="99999"),
        Draft(port="8", source="192.0.2.400"),
    ):
        dialog.form.show_draft(draft, 0)
        dialog.start()
        qtbot.waitUntil(lambda: dialog.sentence.isEnabled())
        assert left_in(dialog) == {}
        assert "·" in dialog.sentence.text()
    dialog.reject()


def test_overview(furnished: Computer, attendant: Attendant, qtbot: QtBot) -> None:
    overview = attendant.windows.show_overview()
    qtbot.waitUntil(lambda: overview.tree.rows.rowCount() == 2)
    overview.tree.expandAll()
    overview.tabs.setCurrentIndex(1)
    furnished.call("Set+forward", "personal")
    qtbot.waitUntil(lambda: overview.tree.rows.rowCount() == 1)
    qtbot.waitUntil(lambda: overview.log.rows.rowCount() > 10)
    assert left_in(overview) == {}
    overview.ask_close_all()
    assert overview.question is not None
    assert left_in(overview.question) == {}
    overview.question.reject()
    menu = attendant.tray.menu
    qtbot.waitUntil(lambda: attendant.tray.state.count > 0)
    assert left_in(menu) == {}
    overview.show_connection(False, say_told("qubes-forwardd ended the connection"))
    assert left_in(overview) == {}


def test_prompt(computer: Computer, attendant: Attendant, qtbot: QtBot) -> None:
    prompt = attendant.prompt
    with asking(computer, portmap="ask", portmap_reach="internet") as ask:
        for inner in (51413, 6881):
            ask(wish(inner, Proto.TCP, name="Transmission"))
        qtbot.waitUntil(lambda: prompt.is_armed, timeout=10_000)
        assert left_in(prompt) == {}


def test_dialogs_of_qt(qtbot: QtBot) -> None:
    kinds = QMessageBox.StandardButton
    box = QMessageBox()
    box.setStandardButtons(kinds.Ok | kinds.Save | kinds.Discard | kinds.Cancel)
    file = QFileDialog()
    file.setOption(QFileDialog.Option.DontUseNativeDialog)
    file.setAcceptMode(QFileDialog.AcceptMode.AcceptSave)
    for window in (box, file):
        qtbot.addWidget(window)
        window.show()
        buttons = [text for place, text in texts_of(window) if "Button.text" in place]
        assert buttons
        assert [text for text in buttons if _WORD.search(text)] == []


def test_a_word_too_many_is_found(qtbot: QtBot) -> None:
    window = QMessageBox()
    qtbot.addWidget(window)
    window.setText("Something in English about work")
    assert "Something in English about work" in left_in(window).values()
