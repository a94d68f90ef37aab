# SPDX-License-Identifier: GPL-2.0-or-later
"""All forwards of the computer as a tree that views show: qubes, and their forwards."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from PyQt6.QtCore import QAbstractItemModel, QModelIndex, QObject, Qt

from qubesforward.cli.status import ForwardStatus, QubeStatus
from qubesforward.gui.exposure_rows import (
    Column,
    cell_text,
    column_title,
    group_text,
    group_value,
    sort_value,
)
from qubesforward.gui.forwards_rows import Key, explain_state, key_of
from qubesforward.gui.painting import label_icon
from qubesforward.gui.plain import plain_tip
from qubesforward.gui.row_changes import find_changes
from qubesforward.gui.states import state_icon
from qubesforward.gui.traffic import Traffic

_ROOT = QModelIndex()
_LAST = len(Column) - 1
SORT_ROLE = int(Qt.ItemDataRole.UserRole)
CURVE_ROLE = SORT_ROLE + 1
_COLUMNS = len(Column)
_ROLES = frozenset(
    (
        int(Qt.ItemDataRole.DisplayRole),
        int(Qt.ItemDataRole.DecorationRole),
        int(Qt.ItemDataRole.ToolTipRole),
        SORT_ROLE,
        CURVE_ROLE,
    )
)
"""Bytes per second at the last looks, the latest last."""

SortValues = list[tuple[tuple[str, float, str], list[tuple[Key, float, str]]]]
"""Of each qube its name and value, and its forwards with theirs."""

_OF_GROUPS = 0


@dataclass
class _Group:
    """A qube with its forwards. `id` is what its forwards' indexes bear."""

    id: int
    name: str
    forwards: list[ForwardStatus] = field(default_factory=list)


class ExposuresModel(QAbstractItemModel):
    """Rows keep their places while they change; qubes without forwards have none."""

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._ids = itertools.count(1)
        self._groups: list[_Group] = []
        self._by_id: dict[int, _Group] = {}
        self._labels: Mapping[str, str] = {}
        self._traffic = Traffic()
        self._noted_at = float("-inf")
        self.now = 0

    @property
    def groups(self) -> list[tuple[str, list[ForwardStatus]]]:
        """The qubes that have forwards, with these."""
        return [(group.name, group.forwards) for group in self._groups]

    def show_qubes(
        self, qubes: Sequence[QubeStatus], now: int, looked_at: float
    ) -> None:
        """Show these. `looked_at` is when, in seconds of a clock that only goes on.

        Age, traffic and curve are other ones with every look: of these no row tells,
        as a thousand would take Qt longer than to draw what is seen of them.
        """
        self.now = now
        wanted = {qube.name: qube.forwards for qube in qubes if qube.forwards}
        names = sorted(wanted)
        changes = find_changes([group.name for group in self._groups], names)
        for row in changes.removed if changes else ():
            self.beginRemoveRows(_ROOT, row, row)
            del self._by_id[self._groups.pop(row).id]
            self.endRemoveRows()
        for row in changes.inserted if changes else ():
            self.beginInsertRows(_ROOT, row, row)
            group = _Group(next(self._ids), names[row])
            self._groups.insert(row, group)
            self._by_id[group.id] = group
            self.endInsertRows()
        self._note_traffic(wanted, looked_at)
        for group in self._groups:
            self._move_to(group, wanted[group.name])

    def _note_traffic(
        self, wanted: Mapping[str, Sequence[ForwardStatus]], looked_at: float
    ) -> None:
        if looked_at - self._noted_at < 1:
            # It would pass over what comes so soon.
            return
        self._noted_at = looked_at
        counters: dict[Hashable, int] = {}
        for name, forwards in wanted.items():
            counters[name] = sum(each.bytes for each in forwards)
            counters |= {(name, key_of(each)): each.bytes for each in forwards}
        self._traffic.note(counters, looked_at)

    def _move_to(self, group: _Group, wanted: Sequence[ForwardStatus]) -> None:
        parent = self._index_of(group)
        changes = find_changes(*_keys_of(group.forwards, wanted))
        removed = changes.removed if changes else range(len(group.forwards) - 1, -1, -1)
        inserted = changes.inserted if changes else range(len(wanted))
        for row in removed:
            self.beginRemoveRows(parent, row, row)
            del group.forwards[row]
            self.endRemoveRows()
        for row in inserted:
            self.beginInsertRows(parent, row, row)
            group.forwards.insert(row, wanted[row])
            self.endInsertRows()
        # By now they are rows of the same forwards, one to one.
        changed = [
            row
            for row, (old, new) in enumerate(zip(group.forwards, wanted, strict=True))
            if _what_is_told(old) != _what_is_told(new)
        ]
        group.forwards = list(wanted)
        self.dataChanged.emit(parent, parent.siblingAtColumn(_LAST))
        for row in changed:
            index = self.index(row, 0, parent)
            self.dataChanged.emit(index, index.siblingAtColumn(_LAST))

    def sort_values(self, column: Column) -> SortValues:
        """Return by what all rows are sorted in a column, qubes and their forwards."""
        return [
            (
                (
                    group.name,
                    *group_value(group.name, group.forwards, column, self.now),
                ),
                [
                    (key_of(each), *sort_value(each, group.name, column, self.now))
                    for each in group.forwards
                ],
            )
            for group in self._groups
        ]

    def show_labels(self, labels: Mapping[str, str]) -> None:
        """Show qubes in the colours of these labels."""
        self._labels = dict(labels)
        if self._groups:
            last = len(self._groups) - 1
            self.dataChanged.emit(self.index(0, 0), self.index(last, 0))

    def forward_at(self, index: QModelIndex) -> tuple[str, ForwardStatus] | None:
        """Return the qube and the forward of a row; None for that of a qube."""
        group = self._by_id.get(index.internalId()) if index.isValid() else None
        return None if group is None else (group.name, group.forwards[index.row()])

    def group_at(self, index: QModelIndex) -> tuple[str, list[ForwardStatus]] | None:
        """Return the qube and all its forwards of a row of a qube, else None."""
        if not index.isValid() or index.internalId() != _OF_GROUPS:
            return None
        group = self._groups[index.row()]
        return group.name, group.forwards

    def _index_of(self, group: _Group) -> QModelIndex:
        return self.createIndex(self._groups.index(group), 0, _OF_GROUPS)

    def index(self, row: int, column: int, parent: QModelIndex = _ROOT) -> QModelIndex:
        """Return the index of a qube, or of a forward below one."""
        # Asked a thousand times for each frame: hasIndex would ask back twice.
        if not (0 <= row < self.rowCount(parent) and 0 <= column <= _LAST):
            return QModelIndex()
        if not parent.isValid():
            return self.createIndex(row, column, _OF_GROUPS)
        return self.createIndex(row, column, self._groups[parent.row()].id)

    def parent(self, index: QModelIndex) -> QModelIndex:  # type: ignore[override]
        """Return the index of a forward's qube."""
        group = self._by_id.get(index.internalId()) if index.isValid() else None
        return QModelIndex() if group is None else self._index_of(group)

    def rowCount(self, parent: QModelIndex = _ROOT) -> int:
        """Return the number of qubes, or of forwards of one."""
        if not parent.isValid():
            return len(self._groups)
        if parent.column() != 0 or parent.internalId() != _OF_GROUPS:
            return 0
        return len(self._groups[parent.row()].forwards)

    def columnCount(self, _parent: QModelIndex = _ROOT) -> int:
        """Return the number of columns."""
        return _COLUMNS

    def headerData(
        self,
        section: int,
        orientation: Qt.Orientation,
        role: int = Qt.ItemDataRole.DisplayRole,
    ) -> object:
        """Return the title of a column."""
        is_title = orientation is Qt.Orientation.Horizontal
        if is_title and role == Qt.ItemDataRole.DisplayRole:
            return column_title(Column(section))
        return None

    def data(
        self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole
    ) -> object:
        """Return what a cell shows."""
        # Qt asks for fonts, colours and marks of each cell as well.
        if role not in _ROLES:
            return None
        told = self.forward_at(index)
        if told is not None:
            return self._forward_data(*told, Column(index.column()), role)
        group = self.group_at(index)
        if group is not None:
            return self._group_data(*group, Column(index.column()), role)
        return None

    def _forward_data(
        self, qube: str, forward: ForwardStatus, column: Column, role: int
    ) -> object:
        if role == Qt.ItemDataRole.DisplayRole:
            return cell_text(forward, qube, column, self.now)
        if role == Qt.ItemDataRole.DecorationRole and column is Column.STATE:
            return state_icon(forward.state)
        if role == CURVE_ROLE and column is Column.CURVE:
            return self._traffic.rates((qube, key_of(forward)))
        if role == SORT_ROLE:
            return sort_value(forward, qube, column, self.now)
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self._explain(forward, qube, column))
        return None

    def _explain(self, forward: ForwardStatus, qube: str, column: Column) -> str:
        if column is not Column.STATE:
            return cell_text(forward, qube, column, self.now)
        return explain_state(forward, qube)

    def _group_data(
        self, name: str, forwards: list[ForwardStatus], column: Column, role: int
    ) -> object:
        if role == Qt.ItemDataRole.DisplayRole:
            return group_text(name, forwards, column)
        if role == Qt.ItemDataRole.DecorationRole and column is Column.WHAT:
            return label_icon(self._labels.get(name, ""))
        if role == CURVE_ROLE and column is Column.CURVE:
            return self._traffic.rates(name)
        if role == SORT_ROLE:
            return group_value(name, forwards, column, self.now)
        return None


def _keys_of(
    before: Sequence[ForwardStatus], after: Sequence[ForwardStatus]
) -> tuple[Sequence[Hashable], Sequence[Hashable]]:
    """Return by what rows are found again; nothing where they are the same for sure."""
    lines = [[(each.line, each.owner) for each in some] for some in (before, after)]
    if lines[0] == lines[1]:
        return (), ()
    return [key_of(each) for each in before], [key_of(each) for each in after]


def _what_is_told(forward: ForwardStatus) -> tuple[object, ...]:
    """Return what of a forward changes by events, not with time and traffic."""
    return (
        forward.rule,
        forward.state,
        forward.reason,
        forward.extent,
        forward.edge,
        forward.listening,
        forward.dial,
        forward.has_agent,
    )
