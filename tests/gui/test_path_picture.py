# SPDX-License-Identifier: GPL-2.0-or-later
"""The picture of a path as a widget: what is clicked tells, and files can be made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PyQt6.QtCore import QPoint, Qt
from PyQt6.QtGui import QColor, QImage, QPalette
from PyQt6.QtTest import QTest
from pytestqt.qtbot import QtBot

from qubesforward.cli.path_model import PathModel, build_path
from qubesforward.cli.status import State
from qubesforward.gui.path_picture import PathPicture
from qubesforward.gui.path_view import PathView
from tests.cli.test_path_model import LABELS, chain
from tests.cli.test_sentences import forward, rule
from tests.gui.hands import press_key

# Its stubs of PyQt 6.4 say that static methods have a self.
_hands: Any = QTest

WHY = "would bypass tunnel tun0"
ASKED = forward(
    rule("443", "8443"),
    path=chain(state=State.REFUSED, reason=WHY),
    state=State.REFUSED,
    reason=f"sys-firewall: {WHY}",
)


def model() -> PathModel:
    return build_path(ASKED, "work", LABELS)


@pytest.fixture
def picture(qtbot: QtBot) -> PathPicture:
    made = PathPicture()
    qtbot.addWidget(made)
    made.set_path(model())
    made.resize(made.sizeHint())
    made.show()
    return made


def middle_of(picture: PathPicture, name: str) -> QPoint:
    """Where a place is, in the widget's pixels."""
    (area,) = (each for each in picture.drawing.areas if each.name == name)
    scale = picture.width() / picture.drawing.width
    x, y = area.x + area.width / 2, area.y + area.height / 2
    return QPoint(round(x * scale), round(y * scale))


def click(picture: PathPicture, point: QPoint) -> None:
    _hands.mouseClick(picture, Qt.MouseButton.LeftButton, pos=point)


def test_a_hop_that_is_clicked_is_told(picture: PathPicture) -> None:
    clicked: list[str] = []
    picture.hop_clicked.connect(clicked.append)
    for name in ("work", "sys-net"):
        click(picture, middle_of(picture, name))
    click(picture, QPoint(2, 2))
    assert clicked == ["work", "sys-net"]


def test_a_hop_tells_its_state_why_and_what_came(qtbot: QtBot) -> None:
    view = PathView(qube="work")
    qtbot.addWidget(view)
    view.show_forward(ASKED)
    view.resize(view.sizeHint())
    assert not view.details.isVisible()
    click(view.picture, middle_of(view.picture, "sys-firewall"))
    assert view.details.isVisible()
    assert view.details.text().splitlines() == [
        f"sys-firewall: refused ({WHY})",
        "10.137.0.6",
        "1 packet (100 B)",
    ]


def test_arrow_keys_go_from_place_to_place(picture: PathPicture) -> None:
    for key, name in (
        (Qt.Key.Key_Right, "sys-net"),
        (Qt.Key.Key_Right, "sys-firewall"),
        (Qt.Key.Key_Right, "work"),
        (Qt.Key.Key_Right, "work"),
        (Qt.Key.Key_Left, "sys-firewall"),
    ):
        press_key(picture, key)
        assert picture.chosen == name


def test_what_was_chosen_stays_so_while_the_path_changes(picture: PathPicture) -> None:
    picture.choose("sys-firewall")
    picture.set_path(model())
    assert picture.chosen == "sys-firewall"
    picture.set_path(None)
    assert picture.chosen == ""


def test_it_is_told_in_words_to_those_who_do_not_see_it(picture: PathPicture) -> None:
    words = picture.accessibleDescription()
    assert f"refused: {WHY}" in words
    assert "work 10.137.0.20 port 8443 open" in words


def test_it_shrinks_where_there_is_no_room(picture: PathPicture) -> None:
    picture.resize(picture.minimumSizeHint())
    for name in ("sys-net", "sys-firewall", "work"):
        assert picture.find_place(middle_of(picture, name).toPointF()) == name


def test_dark_windows_have_dark_pictures(picture: PathPicture) -> None:
    light = set(_colours_of(picture))
    colours = QPalette()
    colours.setColor(QPalette.ColorRole.Base, QColor("#101010"))
    colours.setColor(QPalette.ColorRole.Text, QColor("#fafafa"))
    picture.setPalette(colours)
    assert picture.grab().toImage().pixelColor(1, picture.height() - 3).lightness() < 40
    assert set(_colours_of(picture)) != light


def _colours_of(picture: PathPicture) -> list[str]:
    return [getattr(shape, "colour", "") for shape in picture.drawing.shapes]


def test_it_is_saved_as_svg_and_as_png(picture: PathPicture, tmp_path: Path) -> None:
    svg, png = tmp_path / "way.svg", tmp_path / "way.png"
    picture.save(str(svg))
    picture.save(str(png))
    assert f"sys-firewall: {WHY}" in svg.read_text()
    image = QImage(str(png))
    # Sharp on large screens, too.
    assert image.width() >= 2 * picture.drawing.width
    with pytest.raises(OSError, match="cannot be written"):
        picture.save(str(tmp_path / "no" / "way.png"))
    with pytest.raises(OSError, match="No such file"):
        picture.save(str(tmp_path / "no" / "way.svg"))
