# SPDX-License-Identifier: GPL-2.0-or-later
"""nftables, as the agent uses it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial

from qubesforward.agent.applier import Applier
from qubesforward.agent.backend import Upset
from qubesforward.agent.conntrack import Conntrack
from qubesforward.agent.foreign import ForeignRules
from qubesforward.agent.kernel import Kernel
from qubesforward.agent.outbound_tables import MakeTables, OutboundTables
from qubesforward.model.entry import Entry
from qubesforward.model.observation import Block
from qubesforward.nft.elements_wire import Counter, Element
from qubesforward.nft.forwards import (
    Place,
    decode_mark,
    door_element,
    encode_mark,
    mark_of,
    place,
)

_NOTHING = Counter(0, 0)


class NftBackend(Applier):
    """Our table, kept as ordered; see `Backend`."""

    goes_by_names = False

    def __init__(
        self,
        upset: Callable[[Upset], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.conntrack = Conntrack()
        super().__init__(Kernel(upset), self.conntrack, clock)

    @property
    def make_tables(self) -> MakeTables:
        """What makes the tables of outbound rules."""
        return partial(OutboundTables, self.kernel.run_nft)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on notice what others change: the kernel tells by netlink."""
        loop.add_reader(self.kernel, self.kernel.take_notices)

    def read_traffic(
        self, entries: Mapping[str, Entry]
    ) -> Mapping[str, Counter | None]:
        """Return what passed by each of these entries, as far as it is there."""
        return count_by_entry(entries, self.kernel.read_counted(time.time()))

    def read_exactly(self, entry_id: str, entry: Entry) -> Counter | None:
        """Return what passed by one entry, None if the kernel does not hold it."""
        asked = Element("live", encode_mark(mark_of(entry_id)))
        if entry.is_door:
            asked = door_element(entry_id, entry)
        element = self.kernel.read_element(asked, time.time())
        return None if element is None else element.counter or _NOTHING

    def read_foreign(self) -> Callable[[str, Entry], Iterator[Block]]:
        """Look at the rules of others; return what finds those in an entry's way."""
        return ForeignRules().find_blocks


def count_by_entry(
    entries: Mapping[str, Entry], counted: Iterable[Element]
) -> dict[str, Counter | None]:
    """Find what the elements counted for each entry."""
    by_mark: dict[int, Counter | None] = {}
    by_door: dict[Place, Counter | None] = {}
    for element in counted:
        if element.set == "live":
            by_mark[decode_mark(element.key)] = element.counter
        else:
            by_door[place(element)] = element.counter
    return {
        one: by_door.get(place(door_element(one, entry)))
        if entry.is_door
        else by_mark.get(mark_of(one))
        for one, entry in entries.items()
    }
