# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines between gateways and dom0, which are hostile to one another."""

from __future__ import annotations

from fuzz.target import Target
from qubesforward.errors import MalformedMessage
from qubesforward.qubes.mapping_wire import (
    LONGEST_LINE,
    clean_name,
    format_message,
    parse_from_dom0,
    parse_from_gateway,
)

_MAP = b"map client=10.137.0.20 proto=udp inner=5000 outer=5000 lifetime=3600"
_FROM_GATEWAY = (
    _MAP + b" holder=pcp:0a0a0a0a0a0a0a0a0a0a0a0a exact=yes name=some%20program",
    _MAP + b" holder=natpmp src=192.0.2.0/24,192.0.2.9/32",
    b"unmap client=fd09::20 proto=tcp inner=1",
    b"opened proto=tcp port=80 outer=8080 lifetime=60 address=198.51.100.1",
    b"failed proto=udp port=80 reason=silent",
)
_FROM_DOM0 = (
    b"client address=10.137.0.20 mappings=128 outside=198.51.100.1",
    b"held client=10.137.0.20 proto=udp inner=5000 outer=5001 lifetime=60"
    b" holder=natpmp,igd:c0000201 src=192.0.2.1/32",
    b"denied client=10.137.0.20 proto=udp inner=5000 reason=quota retry=0",
    b"open proto=udp port=5000 lifetime=60",
)
_WORDS = (b" exact=yes", b" src=::/0", b" name=", b" holder=igd", b" outer=0", b"%20")


def _read_gateway(data: bytes) -> str:
    message = parse_from_gateway(data)
    line = format_message(message)
    assert len(line) <= LONGEST_LINE + 1
    assert parse_from_gateway(line[:-1]) == message
    return type(message).__name__


def _read_dom0(data: bytes) -> str:
    message = parse_from_dom0(data)
    assert parse_from_dom0(format_message(message)[:-1]) == message
    return type(message).__name__


def _clean(data: bytes) -> str:
    name = clean_name(data.decode("utf-8", "replace"))
    assert name.isascii()
    assert name.isprintable()
    return str(min(len(name), 9))


TARGETS = (
    Target("map-gateway", _read_gateway, (MalformedMessage,), _FROM_GATEWAY, _WORDS),
    Target("map-dom0", _read_dom0, (MalformedMessage,), _FROM_DOM0, _WORDS),
    Target("map-name", _clean, (), (b"some program", b"\x1b[2J"), (b"%20", b"\xff")),
)
