# SPDX-License-Identifier: GPL-2.0-or-later
"""Which sockets of this network namespace wait for clients, and at which address."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from qubesforward.model.hosts import Address

_NET = Path("/proc/self/net")

# States as /proc/net writes them: TCP_LISTEN; for UDP TCP_CLOSE, not connected.
_WAITING = {"tcp": "0A", "udp": "07"}

Waiting = tuple[str, Address, int]
"""Protocol, address and port; the address may be that of anybody."""


def read_waiting() -> Iterator[Waiting]:
    """Give every socket that waits, those that only this qube can reach included."""
    for proto in _WAITING:
        for name in (proto, f"{proto}6"):
            try:
                table = (_NET / name).read_text("ascii")
            except OSError:
                # No such file where the kernel does without IPv6.
                continue
            yield from parse_waiting(table, proto)


def parse_waiting(table: str, proto: str) -> Iterator[Waiting]:
    """Read a table of /proc/net (proc(5))."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) >= 4 and words[3] == _WAITING[proto]:
            address, _colon, port = words[1].rpartition(":")
            yield proto, _parse_address(address), int(port, 16)


def _parse_address(digits: str) -> Address:
    # Groups of four bytes, each written as one number in the machine's order.
    packed = b"".join(
        struct.pack("=I", int(digits[start : start + 8], 16))
        for start in range(0, len(digits), 8)
    )
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)
