# SPDX-License-Identifier: GPL-2.0-or-later
"""Everybody can use the windows: by keys alone, by ear, with large letters."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtGui import QFont, QPalette
from PyQt6.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qubesforward.gui.forward_dialog import ForwardDialog
from qubesforward.gui.outbound_dialog import OutboundDialog
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.settings_program import parse_arguments
from qubesforward.gui.worker import Worker
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press_key
from tests.qubes.running import short_directory

_FIELDS = (
    QAbstractButton,
    QAbstractItemView,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
)


_ACTIVE = QPalette.ColorGroup.Active
_BY_TAB = (
    Qt.FocusPolicy.TabFocus,
    Qt.FocusPolicy.StrongFocus,
    Qt.FocusPolicy.WheelFocus,
)


@pytest.fixture(params=["settings", "forward", "outbound"])
def window(
    request: pytest.FixtureRequest, worker: Worker, computer: Computer, qtbot: QtBot
) -> QWidget:
    """Every window of a qube's firewall in turn."""
    if request.param == "settings":
        computer.add("work", "forwardtype=external srcports=80-80")
        computer.call("Set", "work", "action=accept dst4=10.0.0.1\naction=drop\n")
        settings = SettingsWindow(worker, "work")
        settings.show()
        rows = settings.page.forwards.table.rows
        qtbot.waitUntil(lambda: rows.rowCount() == 1)
        qtbot.waitUntil(settings.page.outbound.isEnabled)
        settings.page.forwards.table.selectRow(0)
        settings.page.outbound.form.table.selectRow(0)
        made: QWidget = settings
    elif request.param == "forward":
        dialog = ForwardDialog("work")
        dialog.form.show_details(True)
        dialog.show()
        made = dialog
    else:
        made = OutboundDialog()
        made.show()
    qtbot.addWidget(made)
    qtbot.waitExposed(made)
    return made


def name_of(field: QWidget) -> str:
    """Return what Qt tells screen readers."""
    text = field.text() if isinstance(field, QAbstractButton) else ""
    return field.accessibleName() or text.replace("&", "")


def widgets(window: QWidget) -> list[QWidget]:
    found = window.findChildren(QWidget)
    return [widget for widget in found if isinstance(widget, QWidget)]


def fields(window: QWidget) -> list[QWidget]:
    """What takes keys; the edit line in a spin box is part of that."""
    return [
        widget
        for widget in widgets(window)
        if isinstance(widget, _FIELDS)
        and widget.isVisible()
        and widget.isEnabled()
        and widget.focusPolicy() in _BY_TAB
        and not isinstance(widget.parent(), QAbstractSpinBox)
    ]


def test_every_field_has_a_name_for_screen_readers(window: QWidget) -> None:
    found = fields(window)
    assert len(found) >= 5
    for field in found:
        assert name_of(field), f"{field} has no name"


def test_two_buttons_of_a_window_never_have_the_same_name(window: QWidget) -> None:
    names = [
        name_of(field) for field in fields(window) if isinstance(field, QAbstractButton)
    ]
    assert sorted(set(names)) == sorted(names)


def test_every_field_is_reached_by_tab(window: QWidget, qtbot: QtBot) -> None:
    window.activateWindow()
    qtbot.waitUntil(window.isActiveWindow)
    reached: set[QWidget] = set()
    for _ in range(60):
        focus = QApplication.focusWidget() or window
        reached.add(focus)
        press_key(focus, Qt.Key.Key_Tab)
    # One button of a group is reached by Tab, the others by arrows.
    left = [
        field
        for field in fields(window)
        if field not in reached
        and not (isinstance(field, QAbstractButton) and field.autoExclusive())
    ]
    assert left == []


def test_nothing_is_cut_off_with_large_letters(window: QWidget, qtbot: QtBot) -> None:
    font = QFont(window.font())
    font.setPointSize(font.pointSize() * 2)
    window.setFont(font)
    window.adjustSize()
    qtbot.wait(10)
    for field in fields(window):
        if isinstance(field, QAbstractButton):
            assert field.width() >= field.minimumSizeHint().width(), field.text()
            assert field.height() >= field.minimumSizeHint().height(), field.text()


def test_no_colour_of_a_text_is_our_own(window: QWidget) -> None:
    for widget in widgets(window):
        assert widget.styleSheet() == ""
        role = widget.foregroundRole()
        usual = QApplication.palette(widget).color(_ACTIVE, role)
        assert widget.palette().color(_ACTIVE, role) == usual


def test_a_qube_is_asked_for_by_name() -> None:
    assert parse_arguments(["work"]).qube == "work"
    # Without one it is about the computer.
    assert parse_arguments([]).qube == ""


def test_the_program_comes_up_and_asks_the_daemon() -> None:
    with short_directory() as root, socket.socket(socket.AF_UNIX) as served:
        path = str(root / "s")
        served.bind(path)
        served.listen()
        served.settimeout(20)
        start = "from qubesforward.gui.settings_program import main; main()"
        options = ["work", "--qubesd", path, "--forwardd", path]
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        process = subprocess.Popen(
            [sys.executable, "-c", start, *options], env=environment
        )
        try:
            asked: set[bytes] = set()
            while not any(b"admin.vm.firewall.Status+forward" in c for c in asked):
                connection, _ = served.accept()
                with connection, suppress(ConnectionError):
                    asked.add(connection.recv(4096))
            assert any(b" name work" in call for call in asked)
        finally:
            process.kill()
            process.wait()
