# SPDX-License-Identifier: GPL-2.0-or-later
"""The icon beside the clock and its menu, with the real daemon."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from PyQt6.QtGui import QAction
from PyQt6.QtWidgets import QMenu
from pytestqt.qtbot import QtBot

from qubesforward.cli.drawing import Box, Line, Text
from qubesforward.cli.status import Extent, QubeStatus, State, Status
from qubesforward.gui.prompt_program import Attendant
from qubesforward.gui.tray_model import Sight, describe_tray, draw_tray
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import Reach
from tests.cli.test_sentences import forward, rule
from tests.gui.daemon_thread import Computer


def status_of(*forwards: object, name: str = "work") -> Status:
    qube = QubeStatus(name, False, "", tuple(forwards), ())  # type: ignore[arg-type]
    return Status((qube,), ())


OPEN = forward()
FAR = forward(rule(reach=Reach.INTERNET), extent=Extent.INTERNET)
WAITING = forward(state=State.PENDING, reason="work is halted")


@pytest.mark.parametrize(
    ("status", "sight", "count"),
    [
        (None, Sight.UNKNOWN, 0),
        (Status((), ()), Sight.CLOSED, 0),
        (status_of(WAITING), Sight.CLOSED, 0),
        (status_of(OPEN, WAITING), Sight.OPEN, 1),
        (status_of(OPEN, FAR), Sight.INTERNET, 2),
        (status_of(replace(FAR, extent=Extent.CARRIER)), Sight.OPEN, 1),
    ],
)
def test_it_tells_whether_anything_is_open_and_to_whom(
    status: Status | None, sight: Sight, count: int
) -> None:
    state = describe_tray(status)
    assert (state.sight, state.count) == (sight, count)


def test_each_sight_has_a_shape_of_its_own() -> None:
    shapes = set()
    for status in (None, Status((), ()), status_of(OPEN), status_of(FAR)):
        drawn = draw_tray(describe_tray(status)).shapes
        texts = [shape.text for shape in drawn if isinstance(shape, Text)]
        boxes = [shape for shape in drawn if isinstance(shape, Box)]
        is_filled = any(box.fill for box in boxes)
        has_corners = any(isinstance(shape, Line) for shape in drawn)
        # Colours left out: the rest must do.
        shapes.add((is_filled, has_corners, tuple(texts)))
    assert len(shapes) == 4


def test_a_count_fits_whatever_it_is() -> None:
    many = describe_tray(status_of(*[OPEN] * 250))
    (text,) = (s for s in draw_tray(many).shapes if isinstance(s, Text))
    assert text.text == "99+"
    assert len(many.ports[0][1]) < 20


@pytest.fixture
def attendant(worker: Worker, qtbot: QtBot) -> Iterator[Attendant]:
    made = Attendant(worker)
    yield made
    made.close()


def actions_of(menu: QMenu, text: str) -> list[QAction]:
    found = []
    for action in menu.actions():
        below = action.menu()
        if below is not None:
            found += actions_of(below, text)
        elif action.text() == text:
            found.append(action)
    return found


def add_both(attendant: Attendant, computer: Computer, qtbot: QtBot) -> None:
    computer.add("work", "forwardtype=external proto=tcp srcports=443-443")
    computer.add("personal", "forwardtype=external proto=tcp srcports=80-80")
    qtbot.waitUntil(lambda: attendant.tray.state.count == 2)


def test_the_menu_lists_what_is_open_and_closes_it_by_qube(
    attendant: Attendant, computer: Computer, qtbot: QtBot
) -> None:
    qtbot.waitUntil(lambda: attendant.tray.state.sight is Sight.CLOSED)
    add_both(attendant, computer, qtbot)
    assert attendant.tray.icon.toolTip() == "2 ports of 2 qubes are open."
    assert attendant.tray.state.ports == (
        ("personal", ("80/tcp",)),
        ("work", ("443/tcp",)),
    )
    personal, _work = actions_of(attendant.tray.menu, "Close its ports")
    personal.trigger()
    qtbot.waitUntil(lambda: attendant.tray.state.count == 1)
    assert attendant.tray.state.ports == (("work", ("443/tcp",)),)


def test_everything_is_closed_after_one_question(
    attendant: Attendant, computer: Computer, qtbot: QtBot
) -> None:
    add_both(attendant, computer, qtbot)
    (close,) = actions_of(attendant.tray.menu, "Close everything…")
    close.trigger()
    question = attendant.question
    assert question is not None
    close.trigger()
    assert attendant.question is question
    (yes,) = (b for b in question.buttons() if b.text() == "Close everything")
    yes.click()
    qtbot.waitUntil(lambda: attendant.tray.state.sight is Sight.CLOSED)
    assert computer.entries("sys-net") == []


def test_it_opens_each_window_once(
    attendant: Attendant, computer: Computer, qtbot: QtBot
) -> None:
    add_both(attendant, computer, qtbot)
    (overview,) = actions_of(attendant.tray.menu, "Open ports…")
    overview.trigger()
    overview.trigger()
    settings, _other = actions_of(attendant.tray.menu, "Firewall of this qube…")
    settings.trigger()
    shown = attendant.windows.shown
    assert sorted(shown) == ["", "personal"]
    assert all(window.isVisible() for window in shown.values())
    for window in shown.values():
        qtbot.addWidget(window)


def test_a_daemon_that_is_gone_is_not_taken_for_nothing_open(
    apart: Computer, apart_worker: Worker, qtbot: QtBot
) -> None:
    attendant = Attendant(apart_worker)
    try:
        apart.add("work", "forwardtype=external proto=tcp srcports=443-443")
        qtbot.waitUntil(lambda: attendant.tray.state.sight is Sight.OPEN)
        apart.stop_daemon()
        qtbot.waitUntil(lambda: attendant.tray.state.sight is Sight.UNKNOWN)
        apart.start_daemon()
        qtbot.waitUntil(lambda: attendant.tray.state.sight is Sight.OPEN)
    finally:
        attendant.close()
