# SPDX-License-Identifier: GPL-2.0-or-later
"""A close look at a few entries, for the user who asks why a forward does not work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qubesforward.agent.backend import Backend
from qubesforward.agent.sockets import read_waiting
from qubesforward.errors import ForwardError
from qubesforward.model.entry import Entrance, Entry
from qubesforward.model.observation import Block, Listener, Observation, Traffic

_MOST_IDS = 300
"""Entries that dom0 can name in one value of QubesDB."""

_MOST_LISTENERS = 8
"""Sockets told for one entry; ranges may have thousands."""


def parse_request(untrusted_value: bytes) -> tuple[str, list[str]]:
    """Read ``TOKEN ID ID…``; what is no ID finds no entry."""
    token, *ids = untrusted_value.decode("ascii", "replace").split(" ")
    return token, ids[:_MOST_IDS]


def observe(
    ids: Sequence[str], accepted: Mapping[str, Entry], backend: Backend
) -> Observation:
    """Look at the entries that are named; those not applied are told as missing."""
    entries = {one: accepted[one] for one in ids if one in accepted}
    doors = {
        i: e
        for i, e in entries.items()
        if e.is_door and e.entrance is not Entrance.ANSWER
    }
    held: dict[str, Traffic | None] = dict.fromkeys(ids)
    blocks: dict[str, list[Block]] = {}
    problem = ""
    try:
        for entry_id, entry in entries.items():
            held[entry_id] = _read_traffic(entry_id, entry, backend)
        find_blocks = backend.read_foreign()
        for entry_id, entry in entries.items():
            blocks[entry_id] = list(find_blocks(entry_id, entry))
    except ForwardError as error:
        problem = str(error)
    return Observation(held, _find_listeners(doors), blocks, problem)


def _read_traffic(entry_id: str, entry: Entry, backend: Backend) -> Traffic | None:
    counter = backend.read_exactly(entry_id, entry)
    return None if counter is None else Traffic(counter.packets, counter.bytes)


def _find_listeners(doors: Mapping[str, Entry]) -> dict[str, list[Listener]]:
    """Find the sockets behind doors; those that take both families are of both."""
    found: dict[str, list[Listener]] = {}
    if not doors:
        return found
    for proto, address, port in read_waiting():
        takes_both = address.version == 6 and address.is_unspecified
        for entry_id, door in doors.items():
            if (
                proto == door.proto
                and port in door.ports
                and (address.version == door.family or takes_both)
            ):
                found.setdefault(entry_id, []).append(Listener(address, port))
    return {entry_id: ones[:_MOST_LISTENERS] for entry_id, ones in found.items()}
