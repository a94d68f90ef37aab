# SPDX-License-Identifier: GPL-2.0-or-later
"""How a path is drawn, and the SVG of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from qubesforward.cli.drawing import (
    Box,
    Drawing,
    Line,
    Text,
    format_svg,
    stack_drawings,
)
from qubesforward.cli.path_drawing import (
    DARK,
    LIGHT,
    Palette,
    add_reasons,
    draw_path,
    draw_symbol,
    estimate_width,
)
from qubesforward.cli.path_model import build_path
from qubesforward.cli.status import State
from tests.cli.test_path_model import LABELS, chain
from tests.cli.test_sentences import forward, rule

OPEN = build_path(forward(rule("443", "8443"), path=chain()), "work", LABELS)
WHY = "<b>would & bypass</b> tunnel tun0"
REFUSED = build_path(
    forward(path=chain(state=State.REFUSED, reason=WHY), state=State.REFUSED),
    "work",
    LABELS,
)


def texts_of(drawing: Drawing) -> list[str]:
    return [shape.text for shape in drawing.shapes if isinstance(shape, Text)]


def test_it_shows_names_addresses_ports_and_states() -> None:
    shown = texts_of(draw_path(OPEN, LIGHT))
    for text in ("sys-firewall", "10.137.0.20", "port 443 → 8443", "open", "tcp"):
        assert text in shown
    assert [area.name for area in draw_path(OPEN, LIGHT).areas] == [
        "sys-net",
        "sys-firewall",
        "work",
    ]


def test_places_do_not_overlap() -> None:
    areas = draw_path(OPEN, LIGHT).areas
    for left, right in pairwise(areas):
        assert left.x + left.width < right.x


def test_no_text_is_wider_than_its_box() -> None:
    long = replace(OPEN.nodes[1], name="a" * 200, addresses=("f" * 39, "b", "c"))
    drawing = draw_path(replace(OPEN, nodes=(OPEN.nodes[0], long)), LIGHT)
    (area,) = drawing.areas
    for shape in drawing.shapes:
        if isinstance(shape, Text) and shape.x >= area.x:
            width = estimate_width(shape.text, shape.size, shape.bold)
            assert shape.x + width <= area.x + area.width


def test_states_are_told_apart_without_colours() -> None:
    def outline(state: State) -> tuple[object, ...]:
        grey = Palette("#fff", "#fff", "#000", "#000", "#000", "#000", "#000")
        shapes = draw_symbol(0, 0, state, grey)
        return tuple(
            (type(each), each.fill) if isinstance(each, Box) else type(each)
            for each in shapes
        )

    kinds = [State.ACTIVE, State.PENDING, State.REFUSED]
    assert len({outline(state) for state in kinds}) == 3


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_colours_can_be_read(palette: Palette) -> None:
    # WCAG 2.1, 1.4.3: contrast of texts, at least 4.5 to 1.
    for ground in (palette.background, palette.box):
        for ink in (palette.text, palette.good, palette.waiting, palette.bad):
            assert contrast(ink, ground) >= 4.5, (ink, ground)


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Relative luminance, as WCAG 2.1 defines it."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    line = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * line[0] + 0.7152 * line[1] + 0.0722 * line[2]


def test_the_arrow_to_what_is_not_open_is_broken() -> None:
    def broken(drawing: Drawing) -> int:
        lines = [shape for shape in drawing.shapes if isinstance(shape, Line)]
        return sum(line.dashed for line in lines)

    assert broken(draw_path(OPEN, LIGHT)) == 0
    assert broken(draw_path(REFUSED, LIGHT)) == 1


def test_svg_is_xml_and_escapes_what_hops_say() -> None:
    drawing = add_reasons(draw_path(REFUSED, LIGHT), REFUSED, LIGHT)
    root = ElementTree.fromstring(format_svg(drawing, LIGHT.background))
    texts = [
        "".join(each.itertext()) for each in root.iter() if each.tag[-5:] == "}text"
    ]
    assert f"sys-firewall: {WHY}" in texts
    assert not [each for each in root.iter() if each.tag.endswith("}b")]
    assert float(root.attrib["width"]) == drawing.width


def test_pictures_stand_below_one_another() -> None:
    one = draw_path(OPEN, LIGHT)
    both = stack_drawings([one, one])
    assert both.height == 2 * one.height
    assert both.areas[3].y == one.areas[0].y + one.height
    assert len(texts_of(both)) == 2 * len(texts_of(one))


def test_the_same_is_told_in_words() -> None:
    assert draw_path(OPEN, LIGHT).words == (
        "Local network anyone; sys-net 192.168.1.10 port 443 open;"
        " sys-firewall 10.137.0.6 port 443 → 8443 open;"
        " work 10.137.0.20 port 8443 open"
    )
