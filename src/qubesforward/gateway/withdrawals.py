# SPDX-License-Identifier: GPL-2.0-or-later
"""What the router is to close, until it has said so or is not asked any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from qubesforward.portmap.mapping import Key


class By(StrEnum):
    """In which way a router is asked."""

    DATAGRAMS = "datagrams"
    IGD = "igd"


@dataclass
class _Withdrawal:
    outer: int
    left: set[By] = field(default_factory=set)
    is_confirmed: bool = False


class Withdrawals:
    """All of them. `outer` is the router's port that leads to a key, or may."""

    def __init__(self) -> None:
        self._open: dict[Key, _Withdrawal] = {}

    def __bool__(self) -> bool:
        return bool(self._open)

    def __iter__(self) -> Iterator[tuple[Key, int]]:
        return iter([(key, each.outer) for key, each in self._open.items()])

    def begin(self, key: Key, outer: int, asked: Iterable[By]) -> None:
        """Take in that the router is asked in these ways; in none, it is later."""
        self._open[key] = _Withdrawal(outer, set(asked))

    def drop(self, key: Key) -> None:
        """Take in that it is wanted again."""
        self._open.pop(key, None)

    def clear(self) -> None:
        """Forget all."""
        self._open.clear()

    def finish(self, key: Key, by: By, *, is_confirmed: bool) -> bool:
        """Take in how one way ended; True if all have, and the router has closed it."""
        found = self._open.get(key)
        if found is None or by not in found.left:
            return False
        found.left.discard(by)
        found.is_confirmed |= is_confirmed
        if found.left:
            return False
        del self._open[key]
        return found.is_confirmed
