# SPDX-License-Identifier: GPL-2.0-or-later
"""The window that asks the user about programs that want ports. One, however many ask.

It comes up without taking the keys from where they go, and its buttons do nothing
until the user had a moment to see it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from PyQt6.QtCore import QEvent, Qt, QTimer, pyqtSignal
from PyQt6.QtGui import QCloseEvent, QKeyEvent
from PyQt6.QtWidgets import (
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.request import Request
from qubesforward.gui.notice import Notice
from qubesforward.gui.painting import label_icon
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.prompt_queue import PromptQueue
from qubesforward.gui.prompt_words import (
    count_seconds,
    count_waiting,
    describe_outer,
    describe_question,
    describe_reach,
    describe_via,
    show_words,
)
from qubesforward.gui.words import say

_PATIENCE = 60
"""Seconds for which dom0 keeps a question open."""

_TICK = 100
"""Milliseconds between looks at the time left."""

_GRACE = 3
"""Seconds after the end of a question at which it is taken away here too, should
nobody tell: dom0 has answered it with no by then."""


class PromptWindow(QWidget):
    """Data in, signals out. `answered` has a request, the call and its scope."""

    answered = pyqtSignal(object, str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle(self.tr("A program asks for a port"))
        self.setWindowFlags(
            Qt.WindowType.Window
            | Qt.WindowType.WindowStaysOnTopHint
            | Qt.WindowType.CustomizeWindowHint
            | Qt.WindowType.WindowTitleHint
            | Qt.WindowType.WindowCloseButtonHint
        )
        self.setAttribute(Qt.WidgetAttribute.WA_ShowWithoutActivating)
        self._queue = PromptQueue()
        self._labels: Mapping[str, str] = {}
        self._is_armed = False
        self._make_parts()
        self._make_buttons()
        self._lay_out()
        self._ticker = QTimer(self)
        self._ticker.setInterval(_TICK)
        self._ticker.timeout.connect(self._tick)

    @property
    def is_armed(self) -> bool:
        """Whether buttons and keys answer now."""
        return self._is_armed

    @property
    def request(self) -> Request | None:
        """The question that is shown."""
        asked = self._queue.shown()
        return None if asked is None else asked.request

    def _make_parts(self) -> None:
        self.label = QLabel(self)
        self.qube = PlainLabel(parent=self)
        font = self.qube.font()
        font.setBold(True)
        font.setPointSizeF(font.pointSizeF() * 1.25)
        self.qube.setFont(font)
        self.question = PlainLabel(parent=self)
        self.who = PlainLabel(parent=self)
        self.outer = PlainLabel(parent=self)
        self.via = PlainLabel(parent=self)
        self.words = PlainLabel(parent=self)
        self.words.setToolTip(self.tr("Nobody vouches for what a program calls itself"))
        self.problem = Notice(parent=self)
        self.waiting = PlainLabel(parent=self)
        self.left = PlainLabel(parent=self)
        for label in (self.waiting, self.left):
            # Their texts change all the time; the window must not move for that.
            label.setWordWrap(False)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setMaximum(_PATIENCE * 10)
        self.bar.setFixedHeight(max(4, self.fontMetrics().height() // 3))
        self.bar.setAccessibleName(self.tr("Time left"))

    def _make_buttons(self) -> None:
        self.once = QPushButton(self.tr("Allow this port"), self)
        self.reboot = QPushButton(self.tr("Allow all until restart"), self)
        self.always = QPushButton(self.tr("Always allow all"), self)
        self.deny = QPushButton(self.tr("Deny"), self)
        self.never = QPushButton(self.tr("Never ask again"), self)
        self._answers = {
            self.once: ("Grant", "once"),
            self.reboot: ("Grant", "reboot"),
            self.always: ("Grant", "always"),
            self.deny: ("Deny", "once"),
            self.never: ("Deny", "never"),
        }
        tips = {
            self.once: self.tr("This port only, for as long as the program keeps it"),
            self.reboot: self.tr(
                "Whatever programs of this qube ask for, until this computer restarts"
            ),
            self.always: self.tr("Whatever programs of this qube ask for, for good"),
            self.deny: self.tr("No; this qube may ask again after a while"),
            self.never: self.tr("No, and programs of this qube get no ports at all"),
        }
        for button, tip in tips.items():
            button.setToolTip(tip)
            button.setAccessibleDescription(tip)
            # Enter is for the one default: no.
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, b=button: self._press(b))

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self.label)
        head.addWidget(self.qube, 1)
        form = QFormLayout()
        form.addRow(self.tr("Who could connect:"), self.who)
        form.addRow(self.tr("Outer port:"), self.outer)
        form.addRow(self.tr("Asked by:"), self.via)
        form.addRow(self.tr("The program's own words:"), self.words)
        box = QFrame(self)
        box.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(box)
        inside.addLayout(head)
        inside.addWidget(self.question)
        inside.addLayout(form)
        yes, no = QHBoxLayout(), QHBoxLayout()
        for button in (self.once, self.reboot, self.always):
            yes.addWidget(button)
        for button in (self.never, self.deny):
            no.addWidget(button)
        timing = QHBoxLayout()
        timing.addWidget(self.left, 1)
        timing.addWidget(self.waiting)
        layout = QVBoxLayout(self)
        layout.addWidget(self.problem)
        layout.addWidget(box)
        layout.addLayout(timing)
        layout.addWidget(self.bar)
        layout.addLayout(yes)
        layout.addLayout(no)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 76)

    def show_requests(self, requests: Sequence[Request]) -> None:
        """Show the oldest of these; hide when there is none."""
        self._queue.show_requests(requests, time.monotonic())
        self._show()

    def show_labels(self, labels: Mapping[str, str]) -> None:
        """Show qubes in the colours of these labels."""
        self._labels = labels
        self._show()

    def show_failure(self, request: Request, reason: str) -> None:
        """Say that an answer was not taken."""
        self._queue.take_back(request.id)
        self.problem.say(reason)
        if not self.isVisible() and self._queue.shown() is None:
            # There is nothing else to ask, and nothing was opened.
            self.problem.say("")

    def _show(self) -> None:
        asked = self._queue.shown()
        if asked is None:
            self._ticker.stop()
            self._arm(False)
            self.problem.say("")
            self.hide()
            return
        request = asked.request
        side = self.fontMetrics().height() * 2
        icon = label_icon(self._labels.get(request.qube, ""))
        self.label.setPixmap(icon.pixmap(side, side))
        label = self._labels.get(request.qube, "")
        self.label.setAccessibleName(self.tr("Label: {0}").format(say(label)))
        self.qube.show_text(request.qube)
        self.question.show_text(describe_question(request))
        self.who.show_text(describe_reach(request))
        self.outer.show_text(describe_outer(request))
        self.via.show_text(describe_via(request))
        self.words.show_text(show_words(request) or self.tr("none"))
        self.waiting.show_text(count_waiting(asked.waiting))
        self.setAccessibleDescription(self.question.text())
        self._tick()
        if not self.isVisible():
            self._queue.restart(time.monotonic())
            self._arm(False)
            self._ticker.start()
            self.show()

    def _tick(self) -> None:
        request = self.request
        if request is None:
            return
        left = request.until - time.time()
        if left < -_GRACE:
            self._queue.answer(request.id, time.monotonic())
            self._show()
            return
        self.bar.setValue(round(max(left, 0) * 10))
        self.left.show_text(count_seconds(int(left)))
        self._arm(self._queue.is_armed(time.monotonic()) and left > 0)

    def _arm(self, is_armed: bool) -> None:
        self._is_armed = is_armed
        if self.deny.isEnabled() == is_armed and self.once.isEnabled() == is_armed:
            return
        for button in self._answers:
            button.setEnabled(is_armed)
        if is_armed:
            # So that whoever goes on typing says no, and never yes.
            self.deny.setFocus()

    def _press(self, button: QPushButton) -> None:
        request = self.request
        if request is None or not self._is_armed:
            return
        call, scope = self._answers[button]
        self._arm(False)
        self._queue.answer(request.id, time.monotonic())
        self.answered.emit(request, call, scope)
        self._show()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Say no by Escape or Enter; Enter on a button that was gone to presses it."""
        if event.isAutoRepeat():
            return
        if event.key() == Qt.Key.Key_Escape:
            self._press(self.deny)
        elif event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            chosen = [each for each in self._answers if each.hasFocus()]
            self._press(chosen[0] if chosen else self.deny)
        else:
            super().keyPressEvent(event)

    def changeEvent(self, event: QEvent) -> None:
        """Begin anew when the keys come here: what is being typed was for others."""
        super().changeEvent(event)
        if event.type() == QEvent.Type.ActivationChange and self.isActiveWindow():
            self._queue.restart(time.monotonic())
            self._arm(False)

    def closeEvent(self, event: QCloseEvent) -> None:
        """Say no to what is shown, and only to that."""
        event.ignore()
        self._press(self.deny)
