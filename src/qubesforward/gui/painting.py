# SPDX-License-Identifier: GPL-2.0-or-later
"""Drawings on the screen: the data of `cli.drawing`, painted by Qt."""

from __future__ import annotations

from functools import cache

from PyQt6.QtCore import QPointF, QRectF, Qt
from PyQt6.QtGui import (
    QColor,
    QFont,
    QFontDatabase,
    QFontMetricsF,
    QIcon,
    QImage,
    QPainter,
    QPalette,
    QPen,
    QPixmap,
    QPolygonF,
)

from qubesforward.cli.drawing import Box, Drawing, Line, Shape, Text
from qubesforward.cli.path_drawing import (
    DARK,
    LABELS,
    LIGHT,
    UNKNOWN_LABEL,
    Palette,
)

TRANSPARENT = "#00000000"
"""The ground of icons."""

_ICON = 64
"""Pixels of a drawn icon; it is scaled down."""

_DARK_BELOW = 128
"""Lightness of a window's ground below which text on it is light."""


def pick_palette(colours: QPalette) -> Palette:
    """Return the colours for pictures in a window with these colours."""
    base = colours.color(QPalette.ColorRole.Base)
    kind = DARK if base.lightness() < _DARK_BELOW else LIGHT
    return Palette(
        background=base.name(),
        box=colours.color(QPalette.ColorRole.AlternateBase).name(),
        text=colours.color(QPalette.ColorRole.Text).name(),
        faint=kind.faint,
        good=kind.good,
        waiting=kind.waiting,
        bad=kind.bad,
    )


def make_font(size: float, bold: bool) -> QFont:
    """Return the desktop's font in a size in pixels of a drawing."""
    font = QFontDatabase.systemFont(QFontDatabase.SystemFont.GeneralFont)
    font.setPixelSize(round(size))
    font.setBold(bold)
    return font


def measure_text(text: str, size: float, bold: bool) -> float:
    """Return the width of a text in pixels of a drawing."""
    return QFontMetricsF(make_font(size, bold)).horizontalAdvance(text)


@cache
def label_icon(label: str) -> QIcon:
    """Return a square in the colour of a label, seen on light and dark grounds."""
    fill = LABELS.get(label, UNKNOWN_LABEL)
    margin, side = _ICON / 10, _ICON * 0.8
    box = Box(margin, margin, side, side, _ICON / 8, fill, UNKNOWN_LABEL, _ICON / 24)
    image = render_image(Drawing(_ICON, _ICON, (box,)), TRANSPARENT, 1)
    return QIcon(QPixmap.fromImage(image))


def paint_drawing(painter: QPainter, drawing: Drawing) -> None:
    """Paint all shapes, in the painter's coordinates."""
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    for shape in drawing.shapes:
        _paint_shape(painter, shape)


def render_image(drawing: Drawing, background: str, scale: float = 2.0) -> QImage:
    """Return a drawing as a picture, `scale` times as large as it is."""
    width, height = round(drawing.width * scale), round(drawing.height * scale)
    image = QImage(width, height, QImage.Format.Format_ARGB32)
    image.fill(QColor(background))
    painter = QPainter(image)
    painter.scale(scale, scale)
    paint_drawing(painter, drawing)
    painter.end()
    return image


def _paint_shape(painter: QPainter, shape: Shape) -> None:
    if isinstance(shape, Box):
        _paint_box(painter, shape)
    elif isinstance(shape, Line):
        _paint_line(painter, shape)
    else:
        _paint_text(painter, shape)


def _paint_box(painter: QPainter, box: Box) -> None:
    painter.setPen(_make_pen(box.stroke, box.thick, box.dashed))
    painter.setBrush(QColor(box.fill) if box.fill else Qt.BrushStyle.NoBrush)
    rectangle = QRectF(box.x, box.y, box.width, box.height)
    painter.drawRoundedRect(rectangle, box.radius, box.radius)


def _paint_line(painter: QPainter, line: Line) -> None:
    points = QPolygonF([QPointF(x, y) for x, y in line.points])
    if line.closed:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(line.colour))
        painter.drawPolygon(points)
        return
    painter.setPen(_make_pen(line.colour, line.thick, line.dashed))
    painter.drawPolyline(points)


def _make_pen(colour: str, thick: float, dashed: bool) -> QPen:
    if not colour:
        return QPen(Qt.PenStyle.NoPen)
    pen = QPen(QColor(colour), thick)
    pen.setCapStyle(Qt.PenCapStyle.RoundCap)
    if dashed:
        # Qt counts dashes in widths of the pen.
        pen.setDashPattern([4 / thick, 3 / thick])
    return pen


def _paint_text(painter: QPainter, text: Text) -> None:
    painter.setPen(QColor(text.colour))
    painter.setFont(make_font(text.size, text.bold))
    x = text.x
    if text.centred:
        x -= measure_text(text.text, text.size, text.bold) / 2
    painter.drawText(QPointF(x, text.y), text.text)
