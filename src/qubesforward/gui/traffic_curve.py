# SPDX-License-Identifier: GPL-2.0-or-later
"""The curve of traffic in a cell of a table."""

from __future__ import annotations

from collections.abc import Sequence

from PyQt6.QtCore import QModelIndex, QPointF, QRectF
from PyQt6.QtGui import QPainter, QPalette, QPen, QPolygonF
from PyQt6.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from qubesforward.gui.exposures_model import CURVE_ROLE
from qubesforward.gui.traffic import MOST


def place_points(rates: Sequence[float], box: QRectF) -> list[QPointF]:
    """Return the points of a curve in a box: the latest at its right end.

    It is as high as the box where it is highest; there are `MOST` steps in its width.
    """
    top = max(rates, default=0.0)
    if top <= 0:
        return []
    step = box.width() / (MOST - 1)
    return [
        QPointF(box.right() - age * step, box.bottom() - rate / top * box.height())
        for age, rate in reversed(list(enumerate(reversed(rates))))
    ]


class CurveDelegate(QStyledItemDelegate):
    """Draws what `CURVE_ROLE` has."""

    def paint(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Paint the cell's ground and the curve on it."""
        super().paint(painter, option, index)
        rates = index.data(CURVE_ROLE) or ()
        points = place_points(rates, QRectF(option.rect).adjusted(4, 4, -4, -4))
        if len(points) < 2:
            return
        is_chosen = bool(option.state & QStyle.StateFlag.State_Selected)
        role = (
            QPalette.ColorRole.HighlightedText
            if is_chosen
            else (QPalette.ColorRole.Link)
        )
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.setPen(QPen(option.palette.color(role), 1.5))
        painter.drawPolyline(QPolygonF(points))
        painter.restore()
