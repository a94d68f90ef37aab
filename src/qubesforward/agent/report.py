# SPDX-License-Identifier: GPL-2.0-or-later
"""What passed by each entry, and whether anything listens behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from qubesforward.agent.sockets import Waiting, read_waiting
from qubesforward.model.entry import Entrance, Entry
from qubesforward.nft.elements_wire import Counter

_Socket = tuple[str, int, int]
"""Protocol, IP version, port."""

_NOTHING = Counter(0, 0)


def compose_report(
    entries: Mapping[str, Entry],
    counted: Mapping[str, Counter | None],
    listening: frozenset[_Socket],
) -> Iterator[str]:
    """Give a line for each applied entry: ``ID PACKETS BYTES [listening|silent]``."""
    for entry_id, entry in entries.items():
        word = ""
        # What answers are for has no port of its own.
        if entry.is_door and entry.entrance is not Entrance.ANSWER:
            word = " listening" if is_listening(entry, listening) else " silent"
        packets, size = counted.get(entry_id) or _NOTHING
        yield f"{entry_id} {packets} {size}{word}"


def is_listening(entry: Entry, listening: frozenset[_Socket]) -> bool:
    """Whether anything listens on any of the entry's ports."""
    return any(
        proto == entry.proto and family == entry.family and port in entry.ports
        for proto, family, port in listening
    )


def read_listening() -> frozenset[_Socket]:
    """Return what sockets of this network namespace wait for from outside."""
    return frozenset(find_reachable(read_waiting()))


def find_reachable(waiting: Iterable[Waiting]) -> Iterator[_Socket]:
    """Give those of the sockets that others can reach, by families."""
    for proto, address, port in waiting:
        # ::ffff:127.0.0.1 and the like are of no use to others either.
        mapped = getattr(address, "ipv4_mapped", None) or address
        if not mapped.is_loopback:
            yield proto, mapped.version, port
        if address.version == 6 and address.is_unspecified:
            # Unless it was told otherwise, which is not shown, it takes both.
            yield proto, 4, port
