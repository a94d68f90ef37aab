# SPDX-License-Identifier: GPL-2.0-or-later
"""The dialog to open a port, or to change how it is open."""

from __future__ import annotations

import time

from PyQt6.QtCore import QTimer, pyqtSignal
from PyQt6.QtWidgets import (
    QCheckBox,
    QDialog,
    QDialogButtonBox,
    QFrame,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from qubesforward.cli.phrase import Start
from qubesforward.cli.sentences import (
    When,
    describe_silence,
    explain_forwards,
    is_unlimited,
)
from qubesforward.cli.status import ForwardStatus, State, Status
from qubesforward.gui.forward_draft import (
    Case,
    Draft,
    Field,
    Problems,
    place_problem,
    read_draft,
)
from qubesforward.gui.forward_form import ForwardForm
from qubesforward.gui.path_view import PathView
from qubesforward.gui.plain import PlainLabel
from qubesforward.gui.scroll import FittingScroll
from qubesforward.gui.words import say
from qubesforward.model.rule import ForwardRule

_PAUSE = 150
"""Milliseconds after the last key until it is asked what the fields would do."""


class ForwardDialog(QDialog):
    """Asks for a forward. Data in, signals out; it stays until it is told `stored`.

    `planned` has the rule that is to be planned, or None when what was planned is
    stale; `wanted` the rule, and whether it may wait for a port that is taken.
    `present` is the forward that is changed, if it is one.
    """

    planned = pyqtSignal(object)
    wanted = pyqtSignal(object, bool)

    def __init__(
        self,
        qube: str,
        draft: Draft | None = None,
        present: ForwardRule | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._qube = qube
        self.present = present
        self.rule: ForwardRule | None = None
        self._problems: Problems = {}
        self._state: State | None = None
        self._is_sent = False
        self.form = ForwardForm(qube, self)
        self.sentence = PlainLabel(parent=self)
        self.path = PathView(self, qube, planned=True)
        self.wait = QCheckBox(self.tr("&Wait until the port is free"), self)
        self._make_buttons()
        self._lay_out()
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(_PAUSE)
        self._pause.timeout.connect(self._plan)
        self.form.edited.connect(self._read)
        self.wait.toggled.connect(self._show_buttons)
        if draft is not None:
            self.form.show_draft(draft, int(time.time()))
        self.form.port.setFocus()

    def start(self) -> None:
        """Read the fields for the first time; signals are connected by now."""
        self._read()

    def _make_buttons(self) -> None:
        is_new = self.present is None
        new, old = self.tr("Open a port of {0}"), self.tr("Change a port of {0}")
        self.setWindowTitle((new if is_new else old).format(self._qube))
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Cancel, parent=self
        )
        text = self.tr("Open the port") if is_new else self.tr("Change")
        self.open_button = QPushButton(text, self)
        self.open_button.setDefault(True)
        role = QDialogButtonBox.ButtonRole.AcceptRole
        self.buttons.addButton(self.open_button, role)
        self.buttons.accepted.connect(self._want)
        self.buttons.rejected.connect(self.reject)

    def _lay_out(self) -> None:
        self.sentence.setAccessibleName(self.tr("What will happen"))
        outcome = QFrame(self)
        outcome.setFrameShape(QFrame.Shape.StyledPanel)
        inside = QVBoxLayout(outcome)
        inside.addWidget(self.sentence)
        inside.addWidget(self.path)
        inside.addStretch()
        outcome.setMinimumHeight(self.fontMetrics().height() * 8)
        self.wait.hide()
        page = QWidget(self)
        column = QVBoxLayout(page)
        column.addWidget(self.form)
        column.addWidget(outcome, 1)
        column.addWidget(self.wait)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(FittingScroll(page, is_whole=True, parent=self), 1)
        margins = QVBoxLayout()
        margins.setContentsMargins(9, 0, 9, 9)
        margins.addWidget(self.buttons)
        layout.addLayout(margins)
        self.setMinimumWidth(self.fontMetrics().averageCharWidth() * 112)

    def _read(self) -> None:
        """Take in what the fields say now; what was planned before is stale."""
        self.rule, self._problems = read_draft(self.form.draft, int(time.time()))
        self._state = None
        self.planned.emit(None)
        self.form.show_problems(self._problems)
        self._pause.stop()
        self._show_stale(True)
        if self.rule is not None:
            self._pause.start()
        elif not self._problems:
            self._say(self.tr("Which port do you want to open?"))
        else:
            self._say(self.tr("Something above cannot be read yet."))
        self._show_buttons()

    def _plan(self) -> None:
        if self.rule is not None:
            self.planned.emit(self.rule)

    def show_plan(self, plan: Status) -> None:
        """Show what the fields would do, as the daemon says."""
        forwards = plan.find_qube(self._qube).forwards
        if not forwards or self.rule is None:
            return
        forward = forwards[0]
        self._state = forward.state
        self._problems = place_problem(forward)
        if silence := describe_silence(forward, self._qube):
            # Nothing is wrong with the port: it is where the way ends.
            self._problems[Field.INNER] = say(Start(silence))
        self.form.show_problems(self._problems)
        self._say(self._explain(forward))
        self.path.show_forward(forward, plan.hops)
        self.wait.setVisible(forward.state is State.CONFLICT)
        self._show_buttons()

    def _explain(self, forward: ForwardStatus) -> str:
        now = int(time.time())
        text = say(explain_forwards([forward], self._qube, now, When.LATER))
        if forward.state not in (State.ACTIVE, State.PENDING):
            return text
        if self.form.draft.case is Case.VPN and not forward.tunnels:
            text += " " + self.tr(
                "There is no tunnel now: until there is, only qubes can connect."
            )
        elif self.form.draft.case is Case.LAN and is_unlimited(forward.rule.srchost):
            text += " " + self.tr("To limit who, see the details.")
        return text

    def show_refusal(self, reason: str) -> None:
        """Show why it cannot be planned, or was not done."""
        self._is_sent = False
        self._say(reason)
        self._show_buttons()

    def stored(self) -> None:
        """Close: it has been done."""
        self.accept()

    def _show_stale(self, is_stale: bool) -> None:
        """Grey out what was said of other fields than there are now."""
        for part in (self.sentence, self.path):
            part.setEnabled(not is_stale)
        if is_stale:
            self.wait.hide()

    def _say(self, text: str) -> None:
        self._show_stale(False)
        self.sentence.show_text(text)
        self.path.clear()
        self.wait.hide()

    def _show_buttons(self) -> None:
        is_taken = self._state is State.CONFLICT and not self.wait.isChecked()
        is_ready = self.rule is not None and not is_taken and not self._is_sent
        self.open_button.setEnabled(is_ready)

    def _want(self) -> None:
        # A duration begins when it is wanted, not when it was typed.
        rule, _problems = read_draft(self.form.draft, int(time.time()))
        if rule is None:
            self._read()
            return
        self._is_sent = True
        self._show_buttons()
        is_patient = self._state is State.CONFLICT and self.wait.isChecked()
        self.wanted.emit(rule, is_patient)
