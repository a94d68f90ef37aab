# SPDX-License-Identifier: GPL-2.0-or-later
"""What passed by each entry, and whether anything listens behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from qubesforward.model.entry import Entrance, Entry
from qubesforward.nft.elements_wire import Counter, Element
from qubesforward.nft.forwards import (
    Place,
    decode_mark,
    door_element,
    mark_of,
    place,
)

_NET = Path("/proc/self/net")

_Socket = tuple[str, int, int]
"""Protocol, IP version, port."""

# States as /proc/net writes them: TCP_LISTEN; for UDP TCP_CLOSE, not connected.
_WAITING = {"tcp": "0A", "udp": "07"}
_ANY6 = "0" * 32
_LOOPBACK6 = "00000000000000000000000001000000"
_NOTHING = Counter(0, 0)


def compose_report(
    entries: Mapping[str, Entry],
    counted: Iterable[Element],
    listening: frozenset[_Socket],
) -> Iterator[str]:
    """Give a line for each applied entry: ``ID PACKETS BYTES [listening|silent]``."""
    by_mark: dict[int, Counter | None] = {}
    by_door: dict[Place, Counter | None] = {}
    for element in counted:
        if element.set == "live":
            by_mark[decode_mark(element.key)] = element.counter
        else:
            by_door[place(element)] = element.counter
    for entry_id, entry in entries.items():
        word = ""
        if entry.entrance is Entrance.SELF:
            counter = by_door.get(place(door_element(entry_id, entry)))
            word = " listening" if is_listening(entry, listening) else " silent"
        else:
            counter = by_mark.get(mark_of(entry_id))
        packets, size = counter or _NOTHING
        yield f"{entry_id} {packets} {size}{word}"


def is_listening(entry: Entry, listening: frozenset[_Socket]) -> bool:
    """Whether anything listens on any of the entry's ports."""
    return any(
        proto == entry.proto and family == entry.family and port in entry.ports
        for proto, family, port in listening
    )


def read_listening() -> frozenset[_Socket]:
    """Return what sockets of this network namespace wait for from outside."""
    found: set[_Socket] = set()
    for proto in _WAITING:
        for family, name in ((4, proto), (6, f"{proto}6")):
            try:
                table = (_NET / name).read_text("ascii")
            except OSError:
                # No such file where the kernel does without IPv6.
                continue
            found.update(parse_sockets(table, proto, family))
    return frozenset(found)


def parse_sockets(table: str, proto: str, family: int) -> Iterator[_Socket]:
    """Read a table of /proc/net (proc(5)), for sockets that others can reach."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != _WAITING[proto]:
            continue
        address, _colon, port = words[1].rpartition(":")
        # IPv4 addresses are one number in the machine's order: 127.x ends in 7F.
        if address == _LOOPBACK6 or (family == 4 and address.endswith("7F")):
            continue
        yield proto, family, int(port, 16)
        if address == _ANY6:
            # Unless it was told otherwise, which is not shown, it takes both.
            yield proto, 4, int(port, 16)
