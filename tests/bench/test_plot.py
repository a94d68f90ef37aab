# SPDX-License-Identifier: GPL-2.0-or-later
"""Plots are SVG, and everything in them is on the paper."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.plot import Axis, Point, draw_bars, draw_lines

SVG = "{http://www.w3.org/2000/svg}"


def coordinates(text: str) -> list[tuple[float, float]]:
    """Return every point that is drawn."""
    found = []
    for one in ElementTree.fromstring(text).iter():
        for x, y in (("x", "y"), ("x1", "y1"), ("x2", "y2"), ("cx", "cy")):
            if x in one.attrib:
                found.append((float(one.attrib[x]), float(one.attrib[y])))
        for pair in one.attrib.get("points", "").split():
            x, y = pair.split(",")
            found.append((float(x), float(y)))
    return found


LINES = {
    "ours & <theirs>": [Point(n, 2.0 * n, 1.0 * n, 3.0 * n) for n in (1, 100, 60_000)],
    "flat": [Point(n, 5, 5, 5) for n in (1, 100, 60_000)],
    "from nothing": [Point(n, 0.1, 0.0, 0.2) for n in (1, 100)],
}


@pytest.mark.parametrize(
    "text",
    [
        draw_lines("title", "forwards", "ms", LINES),
        draw_lines("title", "forwards", "ms", {"one": [Point(1, 1, 1, 1)]}),
        draw_bars(
            "title", "ms", {"1": {"a": Point(0, 3, 2, 4), "b": Point(0, 9, 9, 9)}}
        ),
    ],
)
def test_all_is_on_the_paper(text: str) -> None:
    root = ElementTree.fromstring(text)
    _x, _y, width, height = map(float, root.attrib["viewBox"].split())
    points = coordinates(text)
    assert len(points) > 10
    assert all(0 <= x <= width and 0 <= y <= height for x, y in points)


def test_more_is_higher_and_further_right() -> None:
    (line, *_) = ElementTree.fromstring(
        draw_lines("", "", "", {"a": LINES["ours & <theirs>"]})
    ).iter(f"{SVG}polyline")
    places = [tuple(map(float, p.split(","))) for p in line.attrib["points"].split()]
    assert places == sorted(places)
    assert [y for _x, y in places] == sorted((y for _x, y in places), reverse=True)


def test_ticks_are_round_and_within() -> None:
    assert Axis(1, 20_000, 0, 1, log=True).ticks() == [1, 10, 100, 1_000, 10_000]
    ticks = Axis(0, 37, 0, 1, log=False).ticks()
    assert ticks == [0, 5, 10, 15, 20, 25, 30, 35]
