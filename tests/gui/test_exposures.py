# SPDX-License-Identifier: GPL-2.0-or-later
"""Rows of the overview as data: traffic over time, reach, age, order, and how many."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PyQt6.QtCore import QRectF, Qt
from PyQt6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from qubesforward.cli.status import Extent, ForwardStatus, QubeStatus, State
from qubesforward.gui.exposure_rows import Column, cell_text, describe_reach, sum_up
from qubesforward.gui.exposures_model import CURVE_ROLE, ExposuresModel
from qubesforward.gui.exposures_tree import ExposuresTree
from qubesforward.gui.row_changes import find_changes
from qubesforward.gui.traffic import MOST, Traffic
from qubesforward.gui.traffic_curve import place_points
from qubesforward.model.rule import ForwardType, Reach
from tests.cli.test_sentences import NOW, forward, rule


def port(number: int, **more: object) -> ForwardStatus:
    values: dict[str, object] = {"packets": 1, "line": str(number)}
    return forward(rule(str(number)), **(values | more))


def qube(name: str, *forwards: ForwardStatus) -> QubeStatus:
    return QubeStatus(name, False, "", forwards, ())


def test_traffic_is_bytes_per_second_between_looks() -> None:
    traffic = Traffic()
    for moment, size in ((0, 1000), (5, 1000), (10, 6000), (10.5, 9000), (12, 8000)):
        traffic.note({"a": size}, moment)
    assert traffic.rates("a") == (0, 1000, 1000)
    # A counter that begins anew has counted from nothing.
    traffic.note({"a": 30}, 22)
    assert traffic.rates("a")[-1] == 3
    traffic.note({}, 30)
    assert traffic.rates("a") == ()


def test_only_the_last_looks_are_remembered() -> None:
    traffic = Traffic()
    for moment in range(3 * MOST):
        traffic.note({"a": moment}, moment)
    assert len(traffic.rates("a")) == MOST


@given(st.lists(st.floats(0, 1e12), max_size=MOST))
def test_a_curve_stays_in_its_cell(rates: list[float]) -> None:
    box = QRectF(10, 20, 100, 30)
    points = place_points(rates, box)
    for point in points:
        assert box.left() - 1e-6 <= point.x() <= box.right() + 1e-6
        assert box.top() - 1e-6 <= point.y() <= box.bottom() + 1e-6
    if points:
        assert min(point.y() for point in points) == pytest.approx(box.top())
        assert points[-1].x() == box.right()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (forward(), "local network"),
        (forward(rule(kind=ForwardType.INTERNAL)), "other qubes"),
        (forward(rule(kind=ForwardType.INTERNAL), tunnels=("10.8.0.2",)), "VPN"),
        (forward(rule(reach=Reach.INTERNET), extent=Extent.INTERNET), "internet"),
        (forward(rule(reach=Reach.INTERNET), extent=Extent.CARRIER), "carrier"),
        (forward(rule(reach=Reach.INTERNET), extent=Extent.LAN), "if it can"),
    ],
)
def test_how_far_it_reaches_is_said(asked: ForwardStatus, said: str) -> None:
    assert said in describe_reach(asked)


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (7300, "2 h"), (200_000, "2 d"), (None, "")]
)
def test_age_is_told_in_its_larger_unit(seconds: int | None, text: str) -> None:
    created = 0 if seconds is None else (NOW - seconds) * 1_000_000
    assert cell_text(port(443, created=created), "work", Column.AGE, NOW) == text


def test_what_the_internet_reaches_is_counted() -> None:
    far = forward(rule(reach=Reach.INTERNET), extent=Extent.INTERNET)
    carrier = replace(far, extent=Extent.CARRIER)
    waiting = port(80, state=State.PENDING)
    summary = sum_up([("work", [far, carrier]), ("personal", [waiting])])
    assert (summary.open, summary.qubes) == (2, 1)
    assert (summary.internet, summary.waiting) == (1, 1)
    assert sum_up([]).text == "No port is open."


def test_the_tree_holds_together_while_rows_come_and_go(qtbot: QtBot) -> None:
    model = ExposuresModel()
    tester = QAbstractItemModelTester(
        model, QAbstractItemModelTester.FailureReportingMode.Warning
    )
    work = [port(80), port(443), port(22)]
    for step, qubes in enumerate(
        [
            [qube("work", *work[:1])],
            [qube("work", *work), qube("personal", port(53))],
            [qube("work", work[1], work[2]), qube("vault")],
            # In another order, and one there twice.
            [qube("work", work[2], work[0], work[0])],
            [],
            [qube("a", port(1)), qube("b", port(2)), qube("c", port(3))],
        ]
    ):
        model.show_qubes(qubes, NOW, step * 5.0)
        wanted = {each.name: list(each.forwards) for each in qubes if each.forwards}
        assert dict(model.groups) == wanted
    assert tester.model() is model


def test_a_curve_is_of_the_looks_while_it_was_there(qtbot: QtBot) -> None:
    model = ExposuresModel()
    for step, size in enumerate((0, 500, 500)):
        model.show_qubes([qube("work", port(80, bytes=size))], NOW, step * 5.0)
    row = model.index(0, Column.CURVE, model.index(0, 0))
    assert row.data(CURVE_ROLE) == (100, 0)
    assert model.index(0, Column.CURVE).data(CURVE_ROLE) == (100, 0)


def test_rows_are_sorted_anew_when_values_change(qtbot: QtBot) -> None:
    tree = ExposuresTree()
    qtbot.addWidget(tree)
    tree.sortByColumn(Column.TRAFFIC, Qt.SortOrder.DescendingOrder)
    tree.show_qubes([qube("work", port(80, bytes=9), port(443, bytes=1))])
    assert ports_of(tree) == ["80 TCP", "443 TCP"]
    tree.show_qubes([qube("work", port(80, bytes=9), port(443, bytes=99))])
    assert ports_of(tree) == ["443 TCP", "80 TCP"]
    tree.show_qubes(
        [qube("work", port(80, bytes=9), port(443, bytes=99), port(22, bytes=50))]
    )
    assert ports_of(tree) == ["443 TCP", "22 TCP", "80 TCP"]


def ports_of(tree: ExposuresTree) -> list[str]:
    model = tree.model()
    first = model.index(0, 0)
    return [str(model.index(n, 0, first).data()) for n in range(model.rowCount(first))]


KEYS = st.lists(st.integers(0, 9), unique=True)


@given(KEYS, KEYS)
def test_changes_lead_from_rows_to_rows(before: list[int], after: list[int]) -> None:
    changes = find_changes(before, after)
    if changes is None:
        common = [key for key in before if key in after]
        assert common != [key for key in after if key in before]
        return
    rows = list(before)
    for row in changes.removed:
        del rows[row]
    for row in changes.inserted:
        rows.insert(row, after[row])
    assert rows == after
