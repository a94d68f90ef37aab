# SPDX-License-Identifier: GPL-2.0-or-later
"""The Admin API: calls as dom0 reads them; replies, events, properties as tools do."""

from __future__ import annotations

from fuzz.target import Target
from qubesforward.daemon.topology import make_qube
from qubesforward.errors import AdminError, MalformedMessage
from qubesforward.qubes.admin_wire import (
    Call,
    Event,
    EventReader,
    Property,
    decode_call,
    decode_properties,
    encode_call,
    encode_event,
    encode_exception,
    encode_properties,
    encode_success,
    read_reply,
)

_PROPERTIES = {
    "ip": Property("10.137.0.5"),
    "ip6": Property("fd09::5"),
    "netvm": Property("sys-firewall", "vm", default=True),
    "note": Property("two\nlines \\ and more"),
    "uuid": Property("11111111-2222-3333-4444-555555555555"),
    "xid": Property("17", "int"),
}
_EVENTS = encode_event(Event("", "connection-established")) + encode_event(
    Event("work", "property-set:netvm", {"newvalue": "sys-net", "oldvalue": ""})
)
_LISTING = b"work class=AppVM state=Running uuid=11111111-2222-3333-4444-555555555555\n"


def _decode_call(data: bytes) -> str:
    call = decode_call(data)
    assert decode_call(encode_call(call)) == call
    return f"{call.method.count('.')} {bool(call.arg)} {bool(call.payload)}"


def _read_reply(data: bytes) -> str:
    try:
        return f"{bool(read_reply(data, 'qubesd'))}"
    except AdminError as raised:
        error = raised
    text = str(error)
    assert all(char.isprintable() or char == "\n" for char in text)
    return f"{min(len(text), 20)} {text.count('%')}"


def _read_events(data: bytes) -> str:
    whole = _take_events([data])
    size = 1 + data[-1] % 7 if data else 1
    start = data[:100]
    cut = [start[at : at + size] for at in range(0, len(start), size)]
    assert _take_events([*cut, data[100:]]) == whole
    return f"{len(whole[0])} {whole[1]}"


def _take_events(pieces: list[bytes]) -> tuple[list[Event], str]:
    reader = EventReader()
    events = []
    try:
        for piece in pieces:
            for event in reader.feed(piece):
                events.append(event)
    except MalformedMessage as error:
        return events, str(error)
    return events, ""


def _decode_properties(data: bytes) -> str:
    found = decode_properties(data)
    return f"{len(found)}"


def _make_qube(data: bytes) -> str:
    listing, _, properties = data.partition(b"\0")
    qube = make_qube("work", listing, properties)
    assert qube.xid >= 0
    return f"{qube.running} {qube.ip is None} {qube.ip6 is None} {qube.netvm is None}"


TARGETS = (
    Target(
        "admin-call",
        _decode_call,
        (MalformedMessage,),
        (
            encode_call(Call("admin.vm.firewall.Get", "", "dom0", "work")),
            encode_call(
                Call("admin.vm.firewall.Add", "forward", "dom0", "work", b"action=x\n")
            ),
            b"admin.vm.List mgmt keyword adminvm\0",
        ),
        (b" name ", b" keyword ", b"+forward", b"\0", b"dom0", b"@adminvm"),
    ),
    Target(
        "admin-reply",
        _read_reply,
        (MalformedMessage,),
        (
            encode_success(b"content"),
            encode_exception("QubesVMNotFoundError", "no %s %r %% %d", "work", "\x1b["),
        ),
        (b"0\0", b"1\0", b"2\0", b"%s", b"%%", b"%(x)s", b"{0}"),
    ),
    Target(
        "admin-events",
        _read_events,
        (),
        (_EVENTS,),
        (b"1\0", b"\0\0", b"domain-start\0"),
    ),
    Target(
        "admin-properties",
        _decode_properties,
        (MalformedMessage,),
        (encode_properties(_PROPERTIES),),
        (b"default=True", b"type=", b"\\n", b"\\\\", b"\\", b"\n"),
    ),
    Target(
        "qube",
        _make_qube,
        (MalformedMessage,),
        (_LISTING + b"\0" + encode_properties(_PROPERTIES),),
        (b"state=", b"class=", b"xid default=False type=int ", b"ip default=True "),
    ),
)
