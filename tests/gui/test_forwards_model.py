# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards as rows: what stands in them, and what happens to them as they change."""

from __future__ import annotations

from dataclasses import replace

import pytest
from PyQt6.QtCore import Qt
from PyQt6.QtTest import QAbstractItemModelTester
from pytestqt.qtbot import QtBot

from qubesforward.cli.status import ForwardStatus, State
from qubesforward.gui.forwards_model import ForwardsModel
from qubesforward.gui.forwards_rows import Column, cell_text, column_title
from qubesforward.gui.forwards_table import ForwardsTable
from qubesforward.gui.states import forward_word, state_icon
from qubesforward.model.rule import ForwardRule
from qubesforward.model.text import parse_rule

NOW = 1_790_000_000


def forward(
    rest: str = "proto=tcp srcports=443-443", **changes: object
) -> ForwardStatus:
    line = f"action=forward forwardtype=external {rest}"
    rule = parse_rule(line)
    assert isinstance(rule, ForwardRule)
    plain = ForwardStatus(line, rule, "work", State.ACTIVE, "", (), (), None, 0, 0, ())
    return replace(plain, **changes)  # type: ignore[arg-type]


def ports(*numbers: int) -> list[ForwardStatus]:
    return [forward(f"proto=tcp srcports={port}-{port}") for port in numbers]


@pytest.fixture
def model(qtbot: QtBot) -> ForwardsModel:
    """A model under Qt's own watch over what models may do."""
    made = ForwardsModel("work")
    QAbstractItemModelTester(
        made, QAbstractItemModelTester.FailureReportingMode.Fatal, made
    )
    return made


def shown(model: ForwardsModel) -> list[object]:
    return [model.index(row, Column.PORTS).data() for row in range(model.rowCount())]


@pytest.mark.parametrize(
    ("one", "column", "text"),
    [
        (forward(), Column.STATE, "open"),
        (forward(state=State.PENDING, reason="x: not yet"), Column.STATE, "opening…"),
        (forward(state=State.PENDING, reason="x is halted"), Column.STATE, "waiting"),
        (forward(listening=False), Column.STATE, "open, no service"),
        (forward("srcports=80-81 dstports=90-91"), Column.PORTS, "80-81 → 90-91"),
        (forward("srcports=80-80"), Column.PROTO, "TCP+UDP"),
        (forward("src4=10.0.0.0/8 srcports=80-80"), Column.WHO, "10.0.0.0/8"),
        (forward("srcports=80-80 reach=internet"), Column.KIND, "internet"),
        (forward("srcports=80-80 expire=reboot"), Column.UNTIL, "restart"),
        (forward(packets=2, bytes=2500), Column.TRAFFIC, "2.5 kB"),
        (forward(is_mapping=True, vias=("pcp",)), Column.ORIGIN, "a program (pcp)"),
        (forward(owner="dvm"), Column.ORIGIN, "dvm"),
        (forward("srcports=80-80 comment=a <b>"[:-3]), Column.COMMENT, "a"),
    ],
)
def test_a_column_says(one: ForwardStatus, column: Column, text: str) -> None:
    assert cell_text(one, "work", column, NOW).strip() == text


def test_every_column_has_a_title_and_every_state_a_word_and_a_symbol(
    qtbot: QtBot,
) -> None:
    assert len({column_title(column) for column in Column}) == len(Column)
    words = {forward_word(forward(state=state)) for state in State}
    assert len(words) == len(State)
    # Kept, because their bytes go with them.
    images = [state_icon(state).pixmap(32).toImage() for state in State]
    pictures = {bytes(one.bits().asarray(one.sizeInBytes())) for one in images}
    # Refused and no way are both a cross.
    assert len(pictures) == len(State) - 1


def test_rows_keep_their_place_while_others_come_and_go(model: ForwardsModel) -> None:
    model.show_forwards(ports(80, 443, 8080), NOW)
    resets: list[int] = []
    model.modelReset.connect(lambda: resets.append(1))
    model.show_forwards(ports(22, 80, 8080, 9090), NOW)
    assert shown(model) == ["22", "80", "8080", "9090"]
    model.show_forwards([], NOW)
    assert shown(model) == []
    assert resets == []


@pytest.mark.parametrize(
    "after", [ports(443, 80), ports(80, 80), ports(443, 22, 80), ports()]
)
def test_whatever_comes_is_shown(
    model: ForwardsModel, after: list[ForwardStatus]
) -> None:
    model.show_forwards(ports(80, 443), NOW)
    model.show_forwards(after, NOW)
    assert shown(model) == [each.rule.srcports.short for each in after]


def test_only_what_has_changed_is_drawn_anew(model: ForwardsModel) -> None:
    before = ports(80, 443, 8080)
    model.show_forwards(before, NOW)
    rows: list[int] = []
    model.dataChanged.connect(lambda first, _last: rows.append(first.row()))
    model.show_forwards(before, NOW)
    assert rows == []
    after = [before[0], replace(before[1], state=State.REFUSED), before[2]]
    model.show_forwards(after, NOW)
    assert rows == [1]


def test_a_text_from_a_qube_is_no_markup_in_a_tip(model: ForwardsModel) -> None:
    reason = 'sys-net: <img src="file:///x"> & so on' + "x" * 5000
    model.show_forwards([forward(state=State.REFUSED, reason=reason)], NOW)
    tip = model.index(0, Column.STATE).data(Qt.ItemDataRole.ToolTipRole)
    assert "<img" not in tip
    assert "&lt;img" in tip
    assert len(tip) < 1000


def test_ports_and_traffic_are_sorted_as_numbers(qtbot: QtBot) -> None:
    table = ForwardsTable("work")
    qtbot.addWidget(table)
    table.show_forwards(ports(8080, 443, 1000))
    table.sortByColumn(Column.PORTS, Qt.SortOrder.DescendingOrder)
    table.selectAll()
    chosen = [each.rule.srcports.first for each in table.chosen]
    assert chosen == [8080, 1000, 443]


def test_what_is_chosen_stays_chosen_while_rows_come_and_go(qtbot: QtBot) -> None:
    table = ForwardsTable("work")
    qtbot.addWidget(table)
    table.show_forwards(ports(80, 443))
    table.selectRow(1)
    table.show_forwards(ports(22, 443, 8080))
    assert [each.rule.srcports.first for each in table.chosen] == [443]
