# SPDX-License-Identifier: GPL-2.0-or-later
"""What the agent of a hop says through QubesDB, as dom0 reads it.

Whoever controls that qube may write anything in its place. Nothing here raises: what
cannot be read says nothing. How much is read is bounded by what dom0 itself wrote.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from dataclasses import dataclass

from qubesforward.errors import InvalidRule
from qubesforward.model.entry import Entry, parse_entry
from qubesforward.model.hosts import Address, parse_address

LAST_NUMBER = 10**18 - 1
"""What has more digits is no number of ours: packets, bytes or generations."""

LINES_PER_REPORT = 48
"""Lines that an agent puts into one value of a report, at the least: it fills 3072
bytes with lines of at most 8 + 18 + 18 + 9 characters and what is between them."""

_MOST_OUTSIDE = 32
_LONGEST_OUTSIDE = _MOST_OUTSIDE * 50
_LONGEST_REASON = 200
_LONGEST_TUNNEL = 64
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}")
"""Up to 15 characters (IFNAMSIZ); of those that the kernel takes, the plain ones."""

_LONGEST_NUMBER = len(str(LAST_NUMBER))


@dataclass(frozen=True, slots=True)
class Counter:
    """What a hop says of one entry; `listening` None where it does not say."""

    packets: int
    bytes: int
    listening: bool | None = None


def parse_present(untrusted_value: bytes) -> Entry | None:
    """Read what QubesDB holds under an ID; None if it is no entry."""
    try:
        return parse_entry(untrusted_value.decode("ascii", "replace"))
    except InvalidRule:
        return None


def parse_count(untrusted_value: bytes | None) -> int | None:
    """Read a number from 0 to LAST_NUMBER; None if it is none."""
    if untrusted_value is None or len(untrusted_value) > _LONGEST_NUMBER:
        return None
    return int(untrusted_value) if untrusted_value.isdigit() else None


def parse_reason(untrusted_value: bytes) -> str:
    """Read why an entry was refused: one line of printable ASCII, cut to 200."""
    text = untrusted_value[:_LONGEST_REASON].decode("ascii", "replace")
    return "".join(c if " " <= c <= "~" else "?" for c in text)


def parse_outside(untrusted_value: bytes) -> tuple[Address, ...]:
    """Read addresses with spaces between them; at most 32 are taken."""
    untrusted_text = untrusted_value[:_LONGEST_OUTSIDE].decode("ascii", "replace")
    addresses: dict[Address, None] = {}
    for untrusted_word in untrusted_text.split(" "):
        try:
            addresses[parse_address(untrusted_word)] = None
        except InvalidRule:
            continue
    return tuple(addresses)[:_MOST_OUTSIDE]


def parse_tunnel(untrusted_value: bytes) -> str:
    """Read the name of a tunnel, which may be followed by others; empty for none.

    What is no name still says that there is one.
    """
    untrusted_text = untrusted_value[:_LONGEST_TUNNEL].decode("ascii", "replace")
    untrusted_name = untrusted_text.partition(" ")[0]
    if _INTERFACE.fullmatch(untrusted_name):
        return untrusted_name
    return "tun" if untrusted_value else ""


def parse_report(
    untrusted_values: Iterable[bytes], present: Container[str]
) -> dict[str, Counter]:
    """Read lines `ID PACKETS BYTES [listening|silent]` about the entries `present`."""
    found = {}
    for untrusted_value in untrusted_values:
        for untrusted_line in untrusted_value.split(b"\n"):
            words = untrusted_line.split(b" ", 4)
            entry_id = words[0].decode("ascii", "replace")
            if entry_id not in present or len(words) < 3:
                continue
            packets, size = parse_count(words[1]), parse_count(words[2])
            if packets is None or size is None:
                continue
            listening = {b"listening": True, b"silent": False}.get(b"".join(words[3:4]))
            found[entry_id] = Counter(packets, size, listening)
    return found
