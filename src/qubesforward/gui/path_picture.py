# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a forward's way, live: a hop that is clicked tells about itself."""

from __future__ import annotations

from pathlib import Path

from PyQt6.QtCore import QEvent, QPointF, QSize, Qt, pyqtSignal
from PyQt6.QtGui import (
    QContextMenuEvent,
    QFocusEvent,
    QHelpEvent,
    QKeyEvent,
    QMouseEvent,
    QPainter,
    QPaintEvent,
    QResizeEvent,
)
from PyQt6.QtWidgets import (
    QFileDialog,
    QMenu,
    QMessageBox,
    QSizePolicy,
    QToolTip,
    QWidget,
)

from qubesforward.cli.drawing import Drawing, format_svg
from qubesforward.cli.path_drawing import LIGHT, STATES, add_reasons, draw_path, name_of
from qubesforward.cli.path_model import PathModel, PathNode
from qubesforward.cli.sentences import describe_traffic
from qubesforward.gui.painting import (
    measure_text,
    paint_drawing,
    pick_palette,
    render_image,
)
from qubesforward.gui.plain import plain_tip
from qubesforward.gui.words import say

_EMPTY = Drawing(520, 122, ())
_SMALLEST = 0.5
"""Of its size, to which a picture shrinks where there is no room."""

_ROOM = 480
"""Pixels that it asks for at most."""

_DRAWN_FOR = 12.0
"""Pixels of text height for which lengths of drawings are meant."""


class PathPicture(QWidget):
    """The picture. `hop_clicked` has the name of a qube or of the router."""

    hop_clicked = pyqtSignal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: PathModel | None = None
        self._drawing = _EMPTY
        self.chosen = ""
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMouseTracking(True)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName(self.tr("Path of the forward"))

    @property
    def model(self) -> PathModel | None:
        """What is shown."""
        return self._model

    @property
    def drawing(self) -> Drawing:
        """What is drawn."""
        return self._drawing

    def set_path(self, model: PathModel | None) -> None:
        """Show a path, or nothing; what was chosen stays so if it is still there."""
        self._model = model
        if model is None or model.find(self.chosen) is None:
            self.chosen = ""
        self._draw()

    def choose(self, name: str) -> None:
        """Mark a place and tell of it."""
        if self._model is not None and self._model.find(name) is not None:
            self.chosen = name
            self._draw()
            self.hop_clicked.emit(name)

    def find_place(self, position: QPointF) -> str:
        """Return the name of what is at a point of the widget, or nothing."""
        scale = self._scale()
        x, y = position.x() / scale, position.y() / scale
        for area in self._drawing.areas:
            if 0 <= x - area.x < area.width and 0 <= y - area.y < area.height:
                return area.name
        return ""

    def save(self, path: str) -> None:
        """Write the picture as SVG or PNG, as the file is named; raise OSError."""
        if self._model is None:
            return
        drawing = draw_path(self._model, LIGHT, measure_text, say)
        drawing = add_reasons(drawing, self._model, LIGHT, say)
        if path.lower().endswith(".png"):
            if not render_image(drawing, LIGHT.background).save(path, "PNG"):
                raise OSError(self.tr("The picture cannot be written there."))
        else:
            svg = format_svg(drawing, LIGHT.background)
            Path(path).write_text(svg, encoding="utf-8")

    def sizeHint(self) -> QSize:
        """Return its full size."""
        scale = self._wanted_scale()
        width, height = self._drawing.width * scale, self._drawing.height * scale
        return QSize(round(width), round(height))

    def minimumSizeHint(self) -> QSize:
        """Return the size below which nothing could be read."""
        return QSize(min(round(self.sizeHint().width() * _SMALLEST), _ROOM), 60)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """At another width, it needs another height."""
        super().resizeEvent(event)
        self._fit()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        """Paint it as large as there is room."""
        painter = QPainter(self)
        painter.fillRect(self.rect(), self.palette().base())
        scale = self._scale()
        painter.scale(scale, scale)
        paint_drawing(painter, self._drawing)
        if self.hasFocus():
            painter.resetTransform()
            painter.setPen(self.palette().highlight().color())
            painter.setBrush(Qt.BrushStyle.NoBrush)
            painter.drawRect(self.rect().adjusted(0, 0, -1, -1))

    def changeEvent(self, event: QEvent) -> None:
        """Follow a change of colours or of the font."""
        if event.type() in (
            QEvent.Type.PaletteChange,
            QEvent.Type.FontChange,
            QEvent.Type.LanguageChange,
        ):
            self._draw()
        super().changeEvent(event)

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        """Choose what is clicked."""
        if event is not None and event.button() == Qt.MouseButton.LeftButton:
            self.choose(self.find_place(event.position()))

    def mouseMoveEvent(self, event: QMouseEvent | None) -> None:
        """Show what can be clicked."""
        if event is not None and self.find_place(event.position()):
            self.setCursor(Qt.CursorShape.PointingHandCursor)
        else:
            self.unsetCursor()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Go from place to place with the arrow keys."""
        steps: dict[int, int] = {Qt.Key.Key_Right: 1, Qt.Key.Key_Left: -1}
        step = steps.get(event.key())
        names = [area.name for area in self._drawing.areas]
        if step is None or not names:
            super().keyPressEvent(event)
        elif self.chosen in names:
            place = names.index(self.chosen) + step
            self.choose(names[min(max(place, 0), len(names) - 1)])
        else:
            self.choose(names[0 if step > 0 else -1])

    def focusInEvent(self, event: QFocusEvent) -> None:
        """Show that the arrow keys go here."""
        super().focusInEvent(event)
        self.update()

    def event(self, event: QEvent) -> bool:
        """Tell about the place below the pointer."""
        if isinstance(event, QHelpEvent) and event.type() == QEvent.Type.ToolTip:
            node = self._find_node(self.find_place(QPointF(event.pos())))
            tip = "" if node is None else plain_tip(describe_node(node))
            QToolTip.showText(event.globalPos(), tip, self)
            return True
        return super().event(event)

    def contextMenuEvent(self, event: QContextMenuEvent | None) -> None:
        """Offer to save the picture."""
        if event is None or self._model is None:
            return
        menu = QMenu(self)
        save = menu.addAction(self.tr("Save the picture…"))
        if save is not None and menu.exec(event.globalPos()) is save:
            self.ask_and_save()

    def ask_and_save(self) -> None:
        """Ask for a file and write the picture to it."""
        kinds = self.tr("Pictures (*.svg *.png)")
        path, _kind = QFileDialog.getSaveFileName(
            self, self.tr("Save the picture"), "path.svg", kinds
        )
        if not path:
            return
        try:
            self.save(path)
        except OSError as error:
            QMessageBox.warning(self, self.tr("Save the picture"), str(error))

    def _find_node(self, name: str) -> PathNode | None:
        return None if self._model is None or not name else self._model.find(name)

    def _draw(self) -> None:
        palette = pick_palette(self.palette())
        if self._model is None:
            self._drawing = _EMPTY
        else:
            self._drawing = draw_path(
                self._model, palette, measure_text, say, self.chosen
            )
        self.setAccessibleDescription(self._drawing.words)
        self._fit()
        self.updateGeometry()
        self.update()

    def _fit(self) -> None:
        self.setFixedHeight(round(self._drawing.height * self._scale()))

    def _wanted_scale(self) -> float:
        return max(1.0, self.fontMetrics().height() / 1.35 / _DRAWN_FOR)

    def _scale(self) -> float:
        room = self.width() / self._drawing.width
        return min(self._wanted_scale(), max(room, _SMALLEST))


def describe_node(node: PathNode) -> str:
    """Tell about a place: its state, why, where it is dialled, what came through."""
    name = name_of(node, say)
    said = f"{name}: {say(STATES[node.state])}" if node.state else name
    if node.reason:
        said += f" ({say(node.reason)})"
    if node.addresses:
        said += f"\n{', '.join(node.addresses)}"
    traffic = say(describe_traffic(node.packets, node.bytes))
    return f"{said}\n{traffic}" if traffic else said
