# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's JSON as the tools read it; some texts in it began in a qube."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from fuzz.target import Target
from qubesforward.cli.status import decode_plan, decode_status
from qubesforward.errors import MalformedMessage

_STEP = {
    "qube": "sys-net",
    "in": "external",
    "proto": "tcp",
    "ports": "443-443",
    "src": "0.0.0.0/0",
    "to": "10.137.0.6",
    "toports": "443-443",
    "until": None,
    "state": "refused",
    "reason": "no \u001b[31m",
    "packets": 1,
    "bytes": 60,
}
_FORWARD = {
    "rule": "action=forward forwardtype=external srcports=443-443",
    "state": "active",
    "reason": "",
    "created": 1,
    "origin": "user",
    "from": "work",
    "dial": ["192.168.1.10"],
    "tunnels": [],
    "listening": None,
    "packets": 1,
    "bytes": 60,
    "path": [_STEP],
}
_HOP = {"name": "sys-net", "state": "ok", "reason": "", "outside": ["192.168.1.10"]}
_QUBE = {
    "name": "work",
    "unconfirmed": False,
    "problem": "",
    "forwards": [_FORWARD],
    "unreadable": ["rule 1: bad"],
}
_STATUS = json.dumps({"qubes": [_QUBE], "hops": [_HOP]}).encode()
_PLAN = json.dumps({"forwards": [_FORWARD], "hops": [_HOP]}).encode()
_WORDS = (
    b'"\\u001b[2J"',
    b'"\\ud800"',
    b"null",
    b"true",
    b"1e999",
    b"NaN",
    b"[[[[",
    b'{"a":',
    b'"state":"silent"',
)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _texts(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _texts(getattr(value, field.name))


def _decode_status(data: bytes) -> str:
    found = decode_status(data)
    assert all(text.isprintable() for text in _texts(found))
    return f"{len(found.qubes)} {len(found.hops)}"


def _decode_plan(data: bytes) -> str:
    found = decode_plan(data, "work")
    assert all(text.isprintable() for text in _texts(found))
    return f"{len(found.find_qube('work').forwards)} {len(found.hops)}"


TARGETS = (
    Target("status", _decode_status, (MalformedMessage,), (_STATUS,), _WORDS),
    Target("plan", _decode_plan, (MalformedMessage,), (_PLAN,), _WORDS),
)
