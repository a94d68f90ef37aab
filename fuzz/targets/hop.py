# SPDX-License-Identifier: GPL-2.0-or-later
"""What stands in QubesDB: dom0's orders as the agent reads them, answers as dom0 does.

All of it may be written by whoever has taken over the qube.
"""

from __future__ import annotations

from fuzz.target import Target
from qubesforward.agent.outbound_source import parse_source
from qubesforward.daemon.answers import (
    LAST_NUMBER,
    parse_count,
    parse_outside,
    parse_present,
    parse_reason,
    parse_report,
    parse_tunnel,
)
from qubesforward.errors import InvalidRule
from qubesforward.model.entry import format_entry, parse_entry
from qubesforward.model.observation import format_observation, parse_observation

_ENTRIES = (
    b"in=external proto=tcp ports=443-443 src=0.0.0.0/0 to=10.137.0.6 toports=443-443",
    b"in=uplink proto=udp ports=5000-5009 src=192.168.1.0/24 to=10.137.0.20"
    b" toports=6000-6009 until=1790000000 bypass=yes",
    b"in=local proto=tcp ports=80-80 src=fd09::/64 to=fd09::5 toports=8080-8080",
    b"in=self proto=tcp ports=8443-8443 src=192.168.1.7/32",
    b"in=serve proto=udp ports=5351-5351 src=10.137.0.20/32",
    b"in=answer proto=udp ports=1900-1900 src=10.137.0.1/32",
    b"in=uplink proto=udp ports=6000-6000 src=::/0 to=fd09::5 toports=5-5 mapped=yes",
)
_PRESENT = frozenset({"0a0b0c0d", "ffffffff"})


def _parse_entry(data: bytes) -> str:
    entry = parse_entry(data.decode("ascii", "replace"))
    text = format_entry(entry)
    assert parse_entry(text) == entry
    assert parse_present(data) == entry
    assert len(text) < 3072
    return f"{entry.entrance} {entry.proto} {entry.family} {entry.until is None}"


def _parse_source(data: bytes) -> str:
    pairs = (line.partition(b"=") for line in data.split(b"\n"))
    keys = {key.decode("latin-1"): value for key, _, value in pairs}
    found = parse_source(keys)
    assert str(found.rules[-1].action) in ("accept", "drop")
    return f"{min(len(found.rules), 9)} {min(len(found.problems), 9)}"


def _parse_answers(data: bytes) -> str:
    count = parse_count(data)
    assert count is None or 0 <= count <= LAST_NUMBER
    reason = parse_reason(data)
    assert len(reason) <= 200
    assert reason.isascii()
    assert reason.isprintable()
    outside = parse_outside(data)
    assert len(outside) <= 32
    tunnel = parse_tunnel(data)
    assert len(tunnel) <= 15
    assert bool(tunnel) == bool(data)
    assert tunnel.isascii()
    report = parse_report([data, data], _PRESENT)
    assert report.keys() <= _PRESENT
    assert all(0 <= c.packets <= LAST_NUMBER for c in report.values())
    assert all(0 <= c.bytes <= LAST_NUMBER for c in report.values())
    listening = [counter.listening for counter in report.values()]
    return f"{count is None} {len(outside)} {listening}"


def _parse_observation(data: bytes) -> str:
    seen = parse_observation(data.split(b"\0"))
    text = "\n".join(format_observation(seen))
    assert text.isascii()
    assert all(line.isprintable() for line in text.split("\n"))
    return f"{len(seen.held)} {len(seen.listeners)} {len(seen.blocks)}"


TARGETS = (
    Target(
        "entry",
        _parse_entry,
        (InvalidRule,),
        _ENTRIES,
        (
            *(b" until=", b" bypass=yes", b" mapped=yes", b"in=self", b"in=serve"),
            *(b" toports=", b" src=::/0", b"%eth0"),
        ),
    ),
    Target(
        "outbound-keys",
        _parse_source,
        (),
        (
            b"policy=drop\n0000=action=accept dst4=10.0.0.0/8 proto=tcp dstports=1-8\n"
            b"0001=action=accept dsthost=example.com\n10000=action=drop",
        ),
        (b"policy=accept", b"\n0002=", b"specialtarget=dns", b"icmptype=8", b"expire="),
    ),
    Target(
        "answers",
        _parse_answers,
        (),
        (
            b"17",
            b"192.168.1.10 fd09::5 not-one",
            b"tun0 4 6",
            b"refused: would bypass tunnel tun0",
            b"0a0b0c0d 12 3456 listening\nffffffff 0 0 silent\n11111111 1 1",
        ),
        (b"0a0b0c0d ", b"\n", b" listening", b" silent", b"ffffffff 1 1 ", b" ::1"),
    ),
    Target(
        "observation",
        _parse_observation,
        (InvalidRule,),
        (
            b"entry 0a0b0c0d 12 3456\nentry ffffffff missing\n"
            b"listen 0a0b0c0d 127.0.0.1 8443\nlisten 0a0b0c0d ::1 80\0"
            b"block 0a0b0c0d certain forward inet mine custom drop tcp\n"
            b"problem it is broken",
        ),
        (b"\nentry ", b"\nblock ", b"\nlisten ", b" missing", b"problem ", b"likely"),
    ),
)
