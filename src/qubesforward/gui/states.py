# SPDX-License-Identifier: GPL-2.0-or-later
"""States as people see them: a word, and a symbol that is told by its shape too."""

from __future__ import annotations

from functools import cache

from PyQt6.QtCore import QCoreApplication, QPointF, QRectF, QSize, Qt
from PyQt6.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

from qubesforward.cli.status import ForwardStatus, State

# Strong enough beside light and dark grounds; the shape says the same again.
COLOURS = {
    State.ACTIVE: QColor("#1f9d55"),
    State.PENDING: QColor("#d08700"),
    State.REFUSED: QColor("#d64545"),
    State.CONFLICT: QColor("#d64545"),
    State.UNREACHABLE: QColor("#d64545"),
    State.UNCONFIRMED: QColor("#8a63d2"),
    State.EXPIRED: QColor("#8a8f98"),
}

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
    """Return the symbol of a state: a disc, a clock, a cross, a triangle."""
    pixmap = QPixmap(QSize(_SIDE, _SIDE))
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    draw_state(painter, QRectF(4, 4, _SIDE - 8, _SIDE - 8), state)
    painter.end()
    return QIcon(pixmap)


def draw_state(painter: QPainter, box: QRectF, state: State) -> None:
    """Draw the symbol of a state into a square."""
    pen = QPen(COLOURS[state], box.width() / 8)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    pen.setJoinStyle(Qt.PenJoinStyle.RoundJoin)
    painter.setPen(pen)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    inner = box.adjusted(*(box.width() / 8 * sign for sign in (1, 1, -1, -1)))
    middle = inner.center()
    if state is State.ACTIVE:
        painter.setBrush(COLOURS[state])
        painter.drawEllipse(inner)
    elif state is State.PENDING:
        painter.drawEllipse(inner)
        painter.drawLine(middle, QPointF(middle.x(), inner.top() + inner.height() / 5))
        hand = QPointF(middle.x() + inner.width() / 4, middle.y())
        painter.drawLine(middle, hand)
    elif state in (State.REFUSED, State.UNREACHABLE):
        painter.drawLine(inner.topLeft(), inner.bottomRight())
        painter.drawLine(inner.topRight(), inner.bottomLeft())
    elif state is State.CONFLICT:
        top = QPointF(middle.x(), inner.top())
        painter.drawPolygon(QPolygonF([top, inner.bottomRight(), inner.bottomLeft()]))
    elif state is State.UNCONFIRMED:
        painter.drawRect(inner)
    else:
        painter.drawLine(
            QPointF(inner.left(), middle.y()), QPointF(inner.right(), middle.y())
        )
