# SPDX-License-Identifier: GPL-2.0-or-later
"""States as people see them: a word, and a symbol that is told by its shape too."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from PyQt6.QtCore import QCoreApplication
from PyQt6.QtGui import QIcon, QPixmap

from qubesforward.cli.drawing import Drawing
from qubesforward.cli.path_drawing import LIGHT, draw_symbol
from qubesforward.cli.status import ForwardStatus, State
from qubesforward.gui.painting import TRANSPARENT, render_image

# Strong enough beside light and dark grounds; the shape says the same again.
_COLOURS = replace(LIGHT, good="#1f9d55", waiting="#d08700", bad="#d64545")

_SIDE = 64
"""Pixels of a drawn symbol; icons are scaled down from it."""


def state_word(state: State) -> str:
    """Return the state in a word of the user's language."""
    words = {
        State.ACTIVE: QCoreApplication.translate("State", "open"),
        State.PENDING: QCoreApplication.translate("State", "opening…"),
        State.REFUSED: QCoreApplication.translate("State", "refused"),
        State.CONFLICT: QCoreApplication.translate("State", "port taken"),
        State.UNCONFIRMED: QCoreApplication.translate("State", "not confirmed"),
        State.EXPIRED: QCoreApplication.translate("State", "over"),
        State.UNREACHABLE: QCoreApplication.translate("State", "no way"),
    }
    return words[state]


def forward_word(forward: ForwardStatus) -> str:
    """Return what a table says of a forward's state.

    What waits for a qube to start is not about to be open; of what is, it is told how
    many hops have acknowledged it.
    """
    if forward.state is State.PENDING and "halted" in forward.reason:
        return QCoreApplication.translate("State", "waiting")
    if forward.state is State.PENDING and forward.path:
        hops = {step.qube for step in forward.path}
        late = {s.qube for s in forward.path if s.state is not State.ACTIVE}
        text = QCoreApplication.translate("State", "opening… {0} of {1}")
        return text.format(len(hops - late), len(hops))
    if forward.state is State.ACTIVE and forward.listening is False:
        return QCoreApplication.translate("State", "open, no service")
    return state_word(forward.state)


@cache
def state_icon(state: State) -> QIcon:
    """Return the symbol of a state: the same as in pictures of paths."""
    middle = _SIDE / 2
    symbol = draw_symbol(middle, middle, state, _COLOURS, _SIDE / 2.8)
    drawing = Drawing(_SIDE, _SIDE, tuple(symbol))
    pixmap = QPixmap.fromImage(render_image(drawing, TRANSPARENT, 1))
    icon = QIcon(pixmap)
    # Qt would tint it in rows that are chosen, and its colour says something.
    icon.addPixmap(pixmap, QIcon.Mode.Selected)
    return icon
