# SPDX-License-Identifier: GPL-2.0-or-later
"""The real window and the real daemon: outbound rules, saved and never overwritten."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication, QDialogButtonBox, QMessageBox
from pytestqt.qtbot import QtBot

from qubesforward.gui.outbound_dialog import OutboundDialog
from qubesforward.gui.outbound_pane import OutboundPane
from qubesforward.gui.outbound_rules import RuleField
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.worker import Worker
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press, press_key, type_text

ONLY = "action=accept dsthost=a.org proto=tcp dstports=443-443\naction=drop\n"
THEIRS = "action=accept dst4=192.0.2.0/24\naction=drop\n"
ORDERED = "action=drop dst4=10.0.0.1/32\naction=accept dst4=10.0.0.0/8\naction=drop\n"

_BUTTON = QDialogButtonBox.StandardButton


@pytest.fixture
def window(
    worker: Worker, computer: Computer, qtbot: QtBot
) -> Iterator[SettingsWindow]:
    """The window for `work`, whose rules allow one host only."""
    computer.call("Set", "work", ONLY)
    made = SettingsWindow(worker, "work")
    qtbot.addWidget(made)
    made.show()
    qtbot.waitUntil(made.page.outbound.isEnabled)
    yield made
    made.page.outbound.discard()


def pane_of(window: SettingsWindow) -> OutboundPane:
    return window.page.outbound


def rows(window: SettingsWindow) -> list[str]:
    table = pane_of(window).form.table
    found = [table.item(row, 0) for row in range(table.rowCount())]
    return [item.text() for item in found if item is not None]


def rule_dialog(qtbot: QtBot) -> OutboundDialog:
    qtbot.waitUntil(
        lambda: isinstance(QApplication.activeModalWidget(), OutboundDialog)
    )
    dialog = QApplication.activeModalWidget()
    assert isinstance(dialog, OutboundDialog)
    return dialog


def question(qtbot: QtBot) -> QMessageBox:
    qtbot.waitUntil(lambda: isinstance(QApplication.activeModalWidget(), QMessageBox))
    box = QApplication.activeModalWidget()
    assert isinstance(box, QMessageBox)
    return box


def wait_rules(computer: Computer, qtbot: QtBot, text: str) -> None:
    qtbot.waitUntil(lambda: computer.call("Get", "work") == text)


def test_a_rule_is_added_by_keys_and_saved(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    apply = window.buttons.button(_BUTTON.Apply)
    assert rows(window) == ["a.org"]
    assert not apply.isEnabled()
    press(pane_of(window).form.add_button)
    dialog = rule_dialog(qtbot)
    type_text(dialog.host, "10.0.0.0/8")
    type_text(dialog.port, "ssh")
    press_key(dialog.host, Qt.Key.Key_Return)
    assert rows(window) == ["a.org", "10.0.0.0/8"]
    # Nothing holds before it is saved.
    assert computer.call("Get", "work") == ONLY
    press(apply)
    added = "action=accept dst4=10.0.0.0/8 proto=tcp dstports=22-22\naction=drop\n"
    wait_rules(computer, qtbot, ONLY.replace("action=drop\n", added))
    qtbot.waitUntil(lambda: not apply.isEnabled())


def test_a_problem_stands_beside_the_field_of_a_rule(
    window: SettingsWindow, qtbot: QtBot
) -> None:
    press(pane_of(window).form.add_button)
    dialog = rule_dialog(qtbot)
    type_text(dialog.host, "a b")
    okay = dialog.buttons.button(_BUTTON.Ok)
    assert "give an address" in dialog._form.problem(RuleField.HOST)
    assert not okay.isEnabled()
    dialog.reject()


def test_a_rule_is_edited_and_removed(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    form = pane_of(window).form
    form.table.selectRow(0)
    press(form.edit_button)
    dialog = rule_dialog(qtbot)
    assert dialog.port.text() == "443"
    dialog.port.clear()
    press(dialog.buttons.button(_BUTTON.Ok))
    press(window.buttons.button(_BUTTON.Apply))
    wait_rules(computer, qtbot, "action=accept dsthost=a.org proto=tcp\naction=drop\n")
    qtbot.waitUntil(lambda: not window.page.is_changed)
    form.table.selectRow(0)
    press(form.remove_button)
    press(window.buttons.button(_BUTTON.Apply))
    wait_rules(computer, qtbot, "action=drop\n")


def test_switches_become_rules(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    form = pane_of(window).form
    assert (form.dns.isChecked(), form.ping.isChecked()) == (False, False)
    form.dns.click()
    form.ping.click()
    press(window.buttons.button(_BUTTON.Apply))
    more = "action=accept specialtarget=dns\naction=accept proto=icmp\naction=drop\n"
    wait_rules(computer, qtbot, ONLY.replace("action=drop\n", more))


def test_full_access_ends_by_itself(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    form = pane_of(window).form
    form.full.click()
    form.minutes.setValue(10)
    before = int(time.time())
    press(window.buttons.button(_BUTTON.Apply))
    qtbot.waitUntil(lambda: "expire=" in computer.call("Get", "work"))
    _, full, last = computer.call("Get", "work").splitlines()
    assert last == "action=drop"
    action, end = full.split(" expire=")
    assert action == "action=accept"
    assert before + 600 <= int(end) <= int(time.time()) + 600
    qtbot.waitUntil(lambda: "until" in form.full.text())
    form.full.click()
    press(window.buttons.button(_BUTTON.Apply))
    wait_rules(computer, qtbot, ONLY)


def test_allowing_all_but_some_turns_the_rules_around(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    form = pane_of(window).form
    form.allow.click()
    form.dns.click()
    form.ping.click()
    press(window.buttons.button(_BUTTON.Apply))
    wait_rules(
        computer,
        qtbot,
        "action=drop dsthost=a.org proto=tcp dstports=443-443\naction=accept\n",
    )


def test_rules_beyond_the_form_are_shown_and_stay_as_they_are(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.call("Set", "work", ORDERED)
    pane = pane_of(window)
    qtbot.waitUntil(pane.listing.isVisible)
    assert not pane.form.isVisible()
    assert "qvm-firewall" in pane.foreign.text
    shown = [pane.listing.table.item(row, 1) for row in range(3)]
    assert [item and item.text() for item in shown] == ["10.0.0.1", "10.0.0.0/8", "*"]
    press(window.buttons.button(_BUTTON.Ok))
    qtbot.waitUntil(window.isHidden)
    assert computer.call("Get", "work") == ORDERED


def test_a_change_made_elsewhere_is_shown_when_nothing_was_edited(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    computer.call("Set", "work", THEIRS)
    qtbot.waitUntil(lambda: rows(window) == ["192.0.2.0/24"])
    assert not pane_of(window).meanwhile.isVisible()


def test_a_change_made_elsewhere_does_not_take_what_is_not_saved(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    pane = pane_of(window)
    pane.form.ping.click()
    computer.call("Set", "work", THEIRS)
    qtbot.waitUntil(pane.meanwhile.isVisible)
    assert rows(window) == ["a.org"]
    press(pane.meanwhile.buttons[0])
    assert rows(window) == ["192.0.2.0/24"]
    assert not window.page.is_changed


def test_a_change_made_elsewhere_is_not_overwritten_unless_the_user_says_so(
    window: SettingsWindow, computer: Computer, qtbot: QtBot
) -> None:
    pane = pane_of(window)
    pane.form.ping.click()
    # As if the event had not come yet: saving itself finds out.
    window.page.firewall.blockSignals(True)
    computer.call("Set", "work", THEIRS)
    qtbot.wait(200)
    window.page.firewall.blockSignals(False)
    with qtbot.waitSignal(window.page.not_saved):
        press(window.buttons.button(_BUTTON.Apply))
    qtbot.waitUntil(pane.meanwhile.isVisible)
    assert computer.call("Get", "work") == THEIRS
    press(pane.meanwhile.buttons[1])
    press(window.buttons.button(_BUTTON.Apply))
    mine = "action=accept proto=icmp\naction=drop\n"
    wait_rules(computer, qtbot, ONLY.replace("action=drop\n", mine))


@pytest.mark.parametrize("answer", ["Save", "Discard", "Cancel"])
def test_changes_that_are_not_saved_are_asked_about(
    window: SettingsWindow, computer: Computer, qtbot: QtBot, answer: str
) -> None:
    pane_of(window).form.ping.click()
    press(window.buttons.button(_BUTTON.Cancel))
    box = question(qtbot)
    assert window.isVisible()
    press(box.button(QMessageBox.StandardButton[answer]))
    if answer == "Cancel":
        qtbot.waitUntil(lambda: QApplication.activeModalWidget() is None)
        assert window.isVisible()
        assert window.page.is_changed
        return
    qtbot.waitUntil(window.isHidden)
    assert ("icmp" in computer.call("Get", "work")) == (answer == "Save")


def test_rules_that_the_daemon_refuses_are_not_lost_from_the_window(
    apart: Computer, apart_worker: Worker, qtbot: QtBot
) -> None:
    window = SettingsWindow(apart_worker, "work")
    qtbot.addWidget(window)
    window.show()
    qtbot.waitUntil(window.page.outbound.isEnabled)
    window.page.outbound.form.ping.click()
    apart.stop_daemon()
    qtbot.waitUntil(window.page.gone.isVisible)
    with qtbot.waitSignal(window.page.not_saved):
        press(window.buttons.button(_BUTTON.Ok))
    assert "not saved" in window.page.problem.text
    assert window.isVisible()
    assert window.page.is_changed
    apart.start_daemon()
    qtbot.waitUntil(lambda: not window.page.gone.isVisible())
    press(window.buttons.button(_BUTTON.Ok))
    qtbot.waitUntil(window.isHidden)
    assert apart.call("Get", "work") == "action=drop proto=icmp\naction=accept\n"
