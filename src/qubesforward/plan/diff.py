# SPDX-License-Identifier: GPL-2.0-or-later
"""The least change that takes a hop from the entries it has to those it must have."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from qubesforward.model.entry import Entry

ID_BITS = 0x0FFFFFFF
"""The part of an ID that a hop's kernel keeps in its marks; unique within a hop."""

_RESERVED = frozenset((0, ID_BITS - 1, ID_BITS))
"""Numbers that a kernel's marks have for what belongs to no single entry."""


@dataclass(frozen=True, slots=True)
class HopDiff:
    """What to change at one hop, by entry ID.

    `remove` closes; `write` opens, or moves the end of what stays open.
    """

    remove: tuple[str, ...] = ()
    write: Mapping[str, Entry] = field(default_factory=dict)


def diff_hop(
    wanted: Iterable[Entry],
    present: Mapping[str, Entry | None],
    untrusted_numbers: Iterator[int],
) -> HopDiff:
    """Compare what a hop must have with what its QubesDB holds.

    `present` has None for a value that is not an entry. An ID stands for one
    content as long as it lives, so an entry whose content is wanted keeps its ID
    (only its end is written anew), and another content always gets a fresh one,
    taken from `untrusted_numbers`: 32-bit numbers, at random, without end.
    """
    wanted_by_content = {entry.content: entry for entry in wanted}
    remove = []
    write: dict[str, Entry] = {}
    used = set(_RESERVED)
    for entry_id, entry in present.items():
        wish = None if entry is None else wanted_by_content.pop(entry.content, None)
        if wish is None:
            remove.append(entry_id)
        elif wish != entry:
            write[entry_id] = wish
        # A removed number is not given again at once: its connections may linger.
        used.add(int(entry_id, 16) & ID_BITS)
    for entry in wanted_by_content.values():
        number = next(n for n in untrusted_numbers if n & ID_BITS not in used)
        used.add(number & ID_BITS)
        write[f"{number:08x}"] = entry
    return HopDiff(tuple(remove), write)


def diff_planned_hop(
    wanted: frozenset[Entry],
    planned: frozenset[Entry],
    ids: Mapping[Entry, str],
    present: Mapping[str, Entry | None],
    taken: Collection[int],
    untrusted_numbers: Iterator[int],
) -> HopDiff:
    """Compare as `diff_hop` does, knowing that `present` holds what was `planned`.

    `ids` gives the ID of every content that is present, `taken` the numbers of all of
    them (`ID_BITS`). What is both planned and wanted is not looked at.
    """
    touched = (wanted - planned) | (planned - wanted)
    near = {
        entry_id: present[entry_id]
        for entry_id in (ids.get(entry.content) for entry in touched)
        if entry_id is not None
    }
    free = (n for n in untrusted_numbers if n & ID_BITS not in taken)
    return diff_hop(wanted - planned, near, free)
