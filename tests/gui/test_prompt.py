# SPDX-License-Identifier: GPL-2.0-or-later
"""The real prompt and the real daemon: programs ask, and the user answers or not."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtWidgets import QApplication, QLabel, QPushButton, QWidget
from pytestqt.qtbot import QtBot

from qubesforward.cli.request import Request
from qubesforward.gui.labels import Labels
from qubesforward.gui.prompt_desk import PromptDesk
from qubesforward.gui.prompt_window import PromptWindow
from qubesforward.gui.worker import Worker
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import FromGateway
from tests.daemon.gateway_end import wish
from tests.gui.daemon_thread import Computer
from tests.gui.hands import press, press_key
from tests.gui.programs import asking

Ask = Callable[[FromGateway], None]
NO = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)


@pytest.fixture
def prompt(worker: Worker, qtbot: QtBot) -> PromptWindow:
    made = PromptWindow()
    qtbot.addWidget(made)
    PromptDesk(worker, Labels(worker, made), made)
    return made


@pytest.fixture
def ask(computer: Computer) -> Iterator[Ask]:
    """Programs of work, which the user is asked about."""
    with asking(computer, portmap="ask", portmap_reach="lan") as made:
        yield made


def wait_for(prompt: PromptWindow, qtbot: QtBot, inner: int) -> Request:
    """Wait until the prompt asks about a port."""
    qtbot.waitUntil(lambda: _port_of(prompt) == inner)
    request = prompt.request
    assert request is not None
    assert prompt.isVisible()
    return request


def _port_of(prompt: PromptWindow) -> int:
    return 0 if prompt.request is None else prompt.request.inner


def log_of(computer: Computer) -> str:
    return computer.call("Log+forward", "work", "0")


def test_a_yes_opens_the_port(
    prompt: PromptWindow, ask: Ask, computer: Computer, qtbot: QtBot
) -> None:
    ask(wish(5000, name="torrents"))
    wait_for(prompt, qtbot, 5000)
    assert prompt.qube.text() == "work"
    assert "port 5000 (UDP) of work" in prompt.question.text()
    assert prompt.who.text() == "Every device of the local network."
    assert prompt.via.text() == "NAT-PMP"
    assert prompt.words.text() == "“torrents”"
    qtbot.waitUntil(prompt.once.isEnabled)
    press(prompt.once)
    qtbot.waitUntil(lambda: len(computer.entries("sys-net")) == 1)
    assert not prompt.isVisible()
    assert computer.do(lambda: computer.world.features["work"]["portmap"]) == "ask"


@pytest.mark.parametrize(
    ("name", "feature", "entries"),
    [
        ("reboot", "ask", 1),
        ("always", "allow", 1),
        ("deny", "ask", 0),
        ("never", "", 0),
    ],
)
def test_an_answer_holds_for_as_long_as_it_says(
    prompt: PromptWindow,
    ask: Ask,
    computer: Computer,
    qtbot: QtBot,
    name: str,
    feature: str,
    entries: int,
) -> None:
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    qtbot.waitUntil(prompt.deny.isEnabled)
    press(getattr(prompt, name))
    known = computer.world.features["work"]
    qtbot.waitUntil(lambda: computer.do(lambda: known["portmap"]) == feature)
    answered = "granted" if entries else "declined"
    qtbot.waitUntil(lambda: answered in log_of(computer))
    qtbot.waitUntil(lambda: len(computer.entries("sys-net")) == entries)


@pytest.mark.parametrize(
    "key", [Qt.Key.Key_Return, Qt.Key.Key_Space, Qt.Key.Key_Escape]
)
def test_a_stray_key_answers_nothing(
    prompt: PromptWindow, ask: Ask, qtbot: QtBot, key: Qt.Key
) -> None:
    answers: list[object] = []
    prompt.answered.connect(lambda *answer: answers.append(answer))
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    assert not prompt.is_armed
    for widget in (prompt, prompt.deny, prompt.once):
        press_key(widget, key)
    prompt.close()
    assert prompt.isVisible()
    assert answers == []


@pytest.mark.parametrize(
    "key", [Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape]
)
def test_a_key_says_no_once_the_question_was_seen(
    prompt: PromptWindow, ask: Ask, computer: Computer, qtbot: QtBot, key: Qt.Key
) -> None:
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    qtbot.waitUntil(lambda: prompt.is_armed)
    press_key(prompt, key)
    qtbot.waitUntil(lambda: "declined" in log_of(computer))
    assert computer.entries("sys-net") == []


def test_closing_the_window_says_no_to_one_question(
    prompt: PromptWindow, ask: Ask, computer: Computer, qtbot: QtBot
) -> None:
    ask(wish(5000))
    ask(wish(5001))
    wait_for(prompt, qtbot, 5000)
    qtbot.waitUntil(lambda: prompt.waiting.text() == "One more question waits.")
    qtbot.waitUntil(lambda: prompt.is_armed)
    prompt.close()
    wait_for(prompt, qtbot, 5001)
    assert not prompt.is_armed


def test_a_question_that_grows_is_disarmed(
    prompt: PromptWindow, ask: Ask, qtbot: QtBot
) -> None:
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    qtbot.waitUntil(lambda: prompt.is_armed)
    ask(wish(5000, Proto.TCP))
    qtbot.waitUntil(lambda: "TCP+UDP" in prompt.question.text())
    assert not prompt.is_armed


def test_what_is_answered_elsewhere_is_asked_no_more(
    prompt: PromptWindow, ask: Ask, computer: Computer, qtbot: QtBot
) -> None:
    ask(wish(5000))
    request = wait_for(prompt, qtbot, 5000)
    computer.call("Deny+forward", "work", request.id)
    qtbot.waitUntil(lambda: not prompt.isVisible())


def test_a_flood_is_one_window_that_does_not_grow(
    prompt: PromptWindow, ask: Ask, qtbot: QtBot
) -> None:
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    size, count = prompt.size(), len(visible_windows())
    for port in range(5001, 5200):
        ask(wish(port))
    qtbot.waitUntil(lambda: prompt.waiting.text() == "2 more questions wait.")
    assert prompt.size() == size
    assert len(visible_windows()) == count


def visible_windows() -> list[QWidget]:
    return [each for each in QApplication.topLevelWidgets() if each.isVisible()]


def test_a_daemon_that_goes_takes_its_questions_with_it(
    apart: Computer, apart_worker: Worker, qtbot: QtBot
) -> None:
    prompt = PromptWindow()
    qtbot.addWidget(prompt)
    PromptDesk(apart_worker, Labels(apart_worker, prompt), prompt)
    with asking(apart, portmap="ask") as ask:
        ask(wish(5000))
        wait_for(prompt, qtbot, 5000)
        apart.stop_daemon()
        qtbot.waitUntil(lambda: not prompt.isVisible())


# What a qube could write into it. The daemon lets nothing but a few signs through; the
# window must not depend on that.

HOSTILE = [
    "<h1>Qubes update</h1><img src='file:///etc/passwd'>",
    "a" * 5000,
    "line\nline\nline\nline",
    "&Allow",
    "\u202egnp.exe",
    "“ Allowed. ” yes",
    "\x1b[31m\x00",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_programs_words_are_plain_bounded_and_in_one_place(
    prompt: PromptWindow, qtbot: QtBot, name: str
) -> None:
    until = int(time.time()) + 60
    plain = Request("a" * 8, "work", 5000, {"udp": 0}, ("pcp",), "torrents", until)
    prompt.show_requests([plain])
    size = prompt.sizeHint()
    titles = [prompt.windowTitle(), *(b.text() for b in buttons_of(prompt))]
    hostile = Request("b" * 8, "work", 5000, {"udp": 0}, ("pcp",), name, until)
    prompt.show_requests([hostile])
    shown = prompt.words.text()
    assert shown.startswith("“")
    assert shown.endswith("”")
    assert shown.count("”") == 1
    assert len(shown) <= 64
    assert "\n" not in shown
    assert all(sign.isprintable() for sign in shown)
    assert prompt.words.textFormat() == Qt.TextFormat.PlainText
    assert titles == [prompt.windowTitle(), *(b.text() for b in buttons_of(prompt))]
    assert prompt.sizeHint().height() <= size.height() * 1.3
    labels = [each for each in prompt.findChildren(QLabel) if isinstance(each, QLabel)]
    others = [each for each in labels if each is not prompt.words]
    assert not any(name[:20] in each.text() for each in others)


def buttons_of(prompt: PromptWindow) -> list[QPushButton]:
    return [prompt.once, prompt.reboot, prompt.always, prompt.deny, prompt.never]


def test_a_question_whose_time_is_over_cannot_be_granted(
    prompt: PromptWindow, qtbot: QtBot
) -> None:
    over = int(time.time()) - 1
    prompt.show_requests([Request("a" * 8, "work", 80, {"tcp": 0}, (), "", over)])
    qtbot.wait(1200)
    assert not prompt.is_armed
    assert not prompt.once.isEnabled()
    qtbot.waitUntil(lambda: not prompt.isVisible())


def test_it_does_not_take_the_keys(prompt: PromptWindow) -> None:
    assert prompt.testAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)


def test_keys_that_come_along_with_the_focus_answer_nothing(
    prompt: PromptWindow, ask: Ask, qtbot: QtBot
) -> None:
    ask(wish(5000))
    wait_for(prompt, qtbot, 5000)
    other = QWidget()
    qtbot.addWidget(other)
    other.show()
    with qtbot.waitActive(other):
        other.activateWindow()
    qtbot.waitUntil(lambda: prompt.is_armed)
    with qtbot.waitActive(prompt):
        prompt.activateWindow()
    assert not prompt.is_armed
    press_key(prompt, Qt.Key.Key_Return)
    assert prompt.isVisible()
    # As ever, it is armed when it was seen for a moment.
    qtbot.waitUntil(lambda: prompt.is_armed)
