# SPDX-License-Identifier: GPL-2.0-or-later
"""From the rows that are shown to those that are wanted, with the least changes."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RowChanges:
    """Rows to remove, the last first, and then those to insert, the first first."""

    removed: tuple[int, ...]
    inserted: tuple[int, ...]


def find_changes(
    before: Sequence[Hashable], after: Sequence[Hashable]
) -> RowChanges | None:
    """Return what is to be done; None where rows would have to change places.

    Rows are told apart by their keys; also None if two have the same.
    """
    wanted, present = set(after), set(before)
    if len(wanted) != len(after) or len(present) != len(before):
        return None
    kept = [key for key in before if key in wanted]
    if kept != [key for key in after if key in present]:
        return None
    removed = [row for row, key in enumerate(before) if key not in wanted]
    inserted = [row for row, key in enumerate(after) if key not in present]
    return RowChanges(tuple(reversed(removed)), tuple(inserted))
