# SPDX-License-Identifier: GPL-2.0-or-later
"""The real overview and the real daemon: what is open is seen, found and closed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from PyQt6.QtCore import QItemSelectionModel, QModelIndex, Qt
from PyQt6.QtWidgets import QAbstractButton, QMessageBox
from pytestqt.qtbot import QtBot

from qubesforward.gui.exposure_rows import Column, Show
from qubesforward.gui.overview import Overview, open_overview
from qubesforward.gui.worker import Worker
from tests.daemon.gateway_end import wish
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press, press_key, type_text
from tests.gui.programs import asking

HTTPS = "forwardtype=external proto=tcp srcports=443-443"
DNS = "forwardtype=internal proto=udp srcports=53-53 comment=names for all"


@pytest.fixture
def overview(worker: Worker, qtbot: QtBot) -> Overview:
    made = open_overview(worker)
    qtbot.addWidget(made)
    made.show()
    return made


@pytest.fixture
def filled(overview: Overview, computer: Computer, qtbot: QtBot) -> Overview:
    """An overview with two ports of work and one of personal."""
    computer.add("work", HTTPS, DNS)
    computer.add("personal", "forwardtype=external proto=tcp srcports=80-80")
    qtbot.waitUntil(lambda: cells(overview, Column.STATE).count("open") == 3)
    return overview


def walk(window: Overview) -> Iterator[QModelIndex]:
    """Every row as it is shown, qubes before their forwards."""
    model = window.tree.model()
    for row in range(model.rowCount()):
        qube = model.index(row, 0)
        yield qube
        for below in range(model.rowCount(qube)):
            yield model.index(below, 0, qube)


def cells(window: Overview, column: Column) -> list[str]:
    return [str(index.siblingAtColumn(column).data()) for index in walk(window)]


def choose(window: Overview, *texts: str) -> None:
    """Choose the rows that begin with these texts."""
    selection = window.tree.selectionModel()
    flags = QItemSelectionModel.SelectionFlag
    selection.clear()
    for index in walk(window):
        if str(index.data()) in texts:
            selection.select(index, flags.Select | flags.Rows)


def test_what_is_open_is_seen_by_qube(filled: Overview) -> None:
    assert cells(filled, Column.WHAT) == [
        *("personal", "80 TCP"),
        *("work", "53 UDP", "443 TCP"),
    ]
    assert cells(filled, Column.REACH) == [
        *("", "local network"),
        *("", "other qubes, VPN", "local network"),
    ]
    assert filled.summary.text() == "3 ports of 2 qubes are open."


def test_columns_sort_numbers_as_numbers(filled: Overview, qtbot: QtBot) -> None:
    filled.tree.sortByColumn(Column.WHAT, Qt.SortOrder.DescendingOrder)
    assert cells(filled, Column.WHAT) == ["work", "443 TCP", "53 UDP", *PERSONAL]


PERSONAL = ("personal", "80 TCP")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("443", ["work", "443 TCP"]),
        ("PERSONAL", [*PERSONAL]),
        ("names", ["work", "53 UDP"]),
        ("work udp", ["work", "53 UDP"]),
        ("192.168.1.10 80", [*PERSONAL]),
        ("nobody has this", []),
    ],
)
def test_a_text_is_found_wherever_it_stands(
    filled: Overview, text: str, found: list[str]
) -> None:
    type_text(filled.filter, text)
    assert cells(filled, Column.WHAT) == found


def test_what_is_not_open_is_found(
    filled: Overview, computer: Computer, qtbot: QtBot
) -> None:
    computer.do(lambda: computer.world.halted.add("personal"))
    computer.do(lambda: computer.world.tell("personal", "domain-shutdown"))
    filled.kind.setCurrentIndex(filled.kind.findData(Show.CLOSED))
    qtbot.waitUntil(lambda: cells(filled, Column.WHAT) == [*PERSONAL])
    assert filled.summary.text().endswith("Wanted, but not open: 1.")


def test_the_path_of_the_chosen_port_is_drawn_and_explained(
    filled: Overview, qtbot: QtBot
) -> None:
    choose(filled, "443 TCP")
    names = [area.name for area in filled.path.picture.drawing.areas]
    assert names == ["sys-net", "sys-firewall", "work"]
    assert filled.path.isVisible()
    assert "can reach tcp port 443 of work" in filled.sentence.text()
    choose(filled)
    assert not filled.path.isVisible()


def test_the_chosen_ports_are_closed_by_a_key(
    filled: Overview, computer: Computer, qtbot: QtBot
) -> None:
    choose(filled, "443 TCP", "80 TCP")
    press_key(filled.tree, Qt.Key.Key_Delete)
    qtbot.waitUntil(lambda: cells(filled, Column.WHAT) == ["work", "53 UDP"])
    assert computer.entries("sys-net") == []


def test_a_qube_is_closed_as_a_whole(filled: Overview, qtbot: QtBot) -> None:
    choose(filled, "work")
    press(filled.close_button)
    qtbot.waitUntil(lambda: cells(filled, Column.WHAT) == [*PERSONAL])


def test_everything_is_closed_after_one_question(
    filled: Overview, computer: Computer, qtbot: QtBot
) -> None:
    press(filled.close_all_button)
    question = overview_asks(filled)
    assert question is not None
    # Enter is no yes.
    press_key(question, Qt.Key.Key_Return)
    assert overview_asks(filled) is None
    assert len(cells(filled, Column.WHAT)) == 5
    press(filled.close_all_button)
    press(destructive_of(overview_asks(filled)))
    qtbot.waitUntil(lambda: filled.summary.text() == "No port is open.")
    assert not filled.close_all_button.isEnabled()
    for hop in ("sys-net", "sys-firewall", "work", "personal"):
        assert computer.entries(hop) == []


def overview_asks(window: Overview) -> QMessageBox | None:
    return window.question


def destructive_of(question: QMessageBox | None) -> QAbstractButton:
    assert question is not None
    role = QMessageBox.ButtonRole.DestructiveRole
    (button,) = (b for b in question.buttons() if question.buttonRole(b) == role)
    return button


def test_everything_includes_what_programs_have(
    overview: Overview, computer: Computer, qtbot: QtBot
) -> None:
    with asking(computer, portmap="allow") as ask:
        ask(wish(5000))
        qtbot.waitUntil(lambda: "5000 UDP" in cells(overview, Column.WHAT))
        assert "a program (natpmp)" in cells(overview, Column.ORIGIN)
        overview.close_all_wanted.emit()
        qtbot.waitUntil(lambda: overview.summary.text() == "No port is open.")


def test_what_is_chosen_stays_chosen_while_others_come_and_go(
    filled: Overview, computer: Computer, qtbot: QtBot
) -> None:
    choose(filled, "443 TCP")
    computer.add("work", "forwardtype=external proto=tcp srcports=22-22")
    computer.call("Set+forward", "personal")
    qtbot.waitUntil(
        lambda: cells(filled, Column.WHAT) == ["work", "22 TCP", "53 UDP", "443 TCP"]
    )
    ((qube, forward),) = filled.tree.chosen
    assert (qube, forward.rule.srcports.first) == ("work", 443)


def test_the_log_tells_what_happened_while_it_is_seen(
    filled: Overview, computer: Computer, qtbot: QtBot
) -> None:
    filled.tabs.setCurrentIndex(1)
    rows = filled.log.rows
    qtbot.waitUntil(lambda: rows.rowCount() > 0)
    computer.call("Set+forward", "work")
    qtbot.waitUntil(lambda: events(filled)[:1] == ["closed"])
    type_text(filled.filter, "personal")
    assert set(events(filled)) == {"added", "opened"}


def events(window: Overview) -> list[str]:
    model = window.log.model()
    return [str(model.index(row, 1).data()) for row in range(model.rowCount())]


def test_a_daemon_that_is_gone_is_said_and_found_again(
    apart: Computer, apart_worker: Worker, qtbot: QtBot
) -> None:
    overview = open_overview(apart_worker)
    qtbot.addWidget(overview)
    overview.show()
    apart.stop_daemon()
    qtbot.waitUntil(overview.gone.isVisible)
    assert not overview.tree.isEnabled()
    apart.start_daemon()
    apart.add("work", HTTPS)
    qtbot.waitUntil(lambda: "443 TCP" in cells(overview, Column.WHAT))
    assert not overview.gone.isVisible()


def test_a_double_click_asks_for_the_settings_of_the_qube(
    filled: Overview, qtbot: QtBot
) -> None:
    asked: list[str] = []
    filled.settings_wanted.connect(asked.append)
    choose(filled, "80 TCP")
    press(filled.settings_button)
    assert asked == ["personal"]
