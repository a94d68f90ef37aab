# SPDX-License-Identifier: GPL-2.0-or-later
"""Our area in a window that is built as Qubes' Settings window is, and as it is not.

The stand-in has the names and kinds of widgets of qubes-manager's ``settingsdlg.ui``,
and is made as its programs make theirs.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import TypeVar

import pytest
from PyQt6.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QGridLayout,
    QLabel,
    QRadioButton,
    QTabWidget,
    QTreeView,
    QVBoxLayout,
    QWidget,
)
from pytestqt.qtbot import QtBot

from qubesforward.gui.forwards_area import ForwardsArea
from qubesforward.gui.settings import SettingsWindow
from qubesforward.gui.windows import Windows
from qubesforward.gui.worker import Worker
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press, type_text

_Kind = TypeVar("_Kind", bound=QWidget)

HTTPS = "forwardtype=external proto=tcp srcports=443-443"


class StandIn(QDialog):
    """Qubes' window, as far as its Firewall tab goes."""

    tab, grid = "firewall_tab", True

    def __init__(
        self, vm: object, init_page: str, qapp: QApplication, qubesapp: object
    ) -> None:
        super().__init__()
        self.made_with = vm, init_page, qapp, qubesapp
        tabs = self._name(QTabWidget(self), "tabWidget")
        tabs.addTab(self._name(QWidget(), "basic_tab"), "Basic")
        tabs.addTab(self._make_firewall(), "Firewall rules")
        layout = QVBoxLayout(self)
        layout.addWidget(tabs)
        kinds = QDialogButtonBox.StandardButton
        buttons = QDialogButtonBox(kinds.Ok | kinds.Cancel, self)
        layout.addWidget(self._name(buttons, "buttonBox"))

    def _make_firewall(self) -> QWidget:
        page = self._name(QWidget(), self.tab)
        if not self.grid:
            QVBoxLayout(page).addWidget(self._name(QTreeView(), "rulesTreeView"))
            return page
        grid = QGridLayout(page)
        allow = self._name(QRadioButton("Allow all"), "policy_allow_radio_button")
        grid.addWidget(allow, 4, 0)
        grid.addWidget(self._name(QTreeView(), "rulesTreeView"), 8, 0, 1, 2)
        grid.addWidget(self._name(QLabel("NOTE: …"), "label_22"), 10, 0, 1, 2)
        return page

    def _name(self, widget: _Kind, name: str) -> _Kind:
        widget.setObjectName(name)
        return widget


class Renamed(StandIn):
    """A later one, whose page is called otherwise."""

    tab = "network_tab"


class Rearranged(StandIn):
    """A later one, whose page is laid out otherwise."""

    grid = False


class Broken(StandIn):
    """One that cannot be made."""

    def __init__(self, *_arguments: object) -> None:
        raise RuntimeError("no such property")


class OfOtherQt:
    """One of PyQt5, say."""


@pytest.fixture
def windows(worker: Worker, qtbot: QtBot) -> Windows:
    return Windows(worker)


def install(monkeypatch: pytest.MonkeyPatch, kind: type) -> None:
    """Have the program's modules importable, as in dom0."""
    qubes = SimpleNamespace(domains={"work": "the qube work"})
    modules = {
        "qubesmanager": ModuleType("qubesmanager"),
        "qubesmanager.settings": ModuleType("qubesmanager.settings"),
        "qubesadmin": ModuleType("qubesadmin"),
    }
    vars(modules["qubesmanager.settings"])["VMSettingsWindow"] = kind
    vars(modules["qubesadmin"])["Qubes"] = lambda: qubes
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def show(windows: Windows, qtbot: QtBot) -> QWidget:
    windows.show("work")
    window = windows.shown["work"]
    qtbot.addWidget(window)
    return window


def test_the_area_is_in_the_firewall_tab_and_works(
    windows: Windows,
    computer: Computer,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, StandIn)
    computer.add("work", HTTPS)
    window = show(windows, qtbot)
    assert isinstance(window, StandIn)
    assert window.made_with[:2] == ("the qube work", "firewall")
    page = window.findChild(QWidget, "firewall_tab")
    (area,) = page.findChildren(ForwardsArea)
    assert isinstance(area, ForwardsArea)
    assert area.isVisible()
    rows = area.pane.table.rows
    qtbot.waitUntil(lambda: area.pane.isEnabled() and rows.rowCount() == 1)
    # What was there is there still, above it.
    rules = page.findChild(QTreeView, "rulesTreeView")
    assert isinstance(rules, QTreeView)
    assert rules.isVisible()
    assert rules.geometry().bottom() < area.geometry().top()
    press(area.pane.add_button)
    dialog = area.desk.dialog
    assert dialog is not None
    type_text(dialog.form.port, "8080")
    qtbot.waitUntil(dialog.open_button.isEnabled)
    press(dialog.open_button)
    qtbot.waitUntil(lambda: rows.rowCount() == 2)
    assert "srcports=8080-8080" in computer.call("Get+forward", "work")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Renamed, "no QWidget firewall_tab"),
        (Rearranged, "firewall_tab has no grid"),
        (Broken, "RuntimeError: no such property"),
    ],
)
def test_where_it_is_otherwise_our_window_says_so(
    windows: Windows,
    qtbot: QtBot,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
    said: str,
) -> None:
    install(monkeypatch, kind)
    window = show(windows, qtbot)
    assert isinstance(window, SettingsWindow)
    assert said in window.page.problem.text
    others = [each for each in QApplication.topLevelWidgets() if isinstance(each, kind)]
    assert not any(each.isVisible() for each in others)


def test_a_window_of_another_qt_is_left_alone(
    windows: Windows, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(monkeypatch, OfOtherQt)
    window = show(windows, qtbot)
    assert isinstance(window, SettingsWindow)
    assert window.page.problem.text == ""


def test_without_that_program_our_window_is_shown(
    windows: Windows, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qubesmanager", None)
    window = show(windows, qtbot)
    assert isinstance(window, SettingsWindow)
    assert window.page.problem.text == ""
