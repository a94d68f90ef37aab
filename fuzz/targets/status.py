# SPDX-License-Identifier: GPL-2.0-or-later
"""The daemon's JSON as the tools, and it itself, read it.

Some texts in it began in a qube, and a line of the log may be half a line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields, is_dataclass

from fuzz.target import Target
from qubesforward.cli.diagnosis import decode_diagnosis
from qubesforward.cli.status import decode_plan, decode_status
from qubesforward.daemon.audit_event import (
    AuditEvent,
    Happening,
    decode_event,
    encode_event,
)
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
_FOUND = [{"mark": "bad", "text": "nothing listens \u001b[31m"}]
_DIAGNOSIS = json.dumps(
    {
        "problem": "",
        "unreadable": ["rule 1: bad"],
        "forwards": [
            {
                "rule": "action=forward forwardtype=external srcports=443-443",
                "state": "active",
                "well": False,
                "sentence": "Nothing listens.",
                "findings": _FOUND,
                "hops": [{"qube": "sys-net", "findings": _FOUND}],
            }
        ],
    }
).encode()
_EVENT = encode_event(
    AuditEvent(Happening.REFUSED, "work", "rule", "why", path=("sys-net",), time=1.5)
)
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


def _decode_diagnosis(data: bytes) -> str:
    found = decode_diagnosis(data)
    assert all(text.isprintable() for text in _texts(found))
    return f"{len(found.forwards)} {len(found.unreadable)}"


def _decode_event(data: bytes) -> str:
    event = decode_event(data)
    encode_event(event)
    return f"{event.kind} {len(event.path)} {event.time > 0}"


TARGETS = (
    Target(
        "audit-event",
        _decode_event,
        (MalformedMessage,),
        (_EVENT,),
        (*_WORDS, b"0001-01-01T00:00:00", b"+23:59", b"9999-12-31T23:59:59-23:00"),
    ),
    Target("diagnosis", _decode_diagnosis, (MalformedMessage,), (_DIAGNOSIS,), _WORDS),
    Target("status", _decode_status, (MalformedMessage,), (_STATUS,), _WORDS),
    Target("plan", _decode_plan, (MalformedMessage,), (_PLAN,), _WORDS),
)
