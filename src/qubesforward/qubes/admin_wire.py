# SPDX-License-Identifier: GPL-2.0-or-later
"""The wire format of the Admin API: calls, replies, events, properties. No I/O.

A call is `METHOD+ARG SOURCE name DEST`, NUL, payload; the end of the stream ends it.
Source of the formats: qubes/api of qubes-core-admin, base.py of its client.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from qubesforward.errors import AdminError, MalformedMessage

MAX_CALL = 65536
"""Bytes of a whole call."""

MAX_HEADER = 4096
"""Bytes of a call before its payload."""

MAX_EVENT = 65536
"""Bytes of one event."""

NO_ANSWER = "QubesDaemonAccessError"
"""The kind that clients give to a reply without a byte: a refusal, or a failure."""

_OK = b"0\0"
_EVENT = b"1\0"
_EXCEPTION = b"2\0"

_METHOD = re.compile(r"[A-Za-z0-9_.-]{1,256}")
_ARG = re.compile(r"[!-~]{0,2048}")
_NAME = re.compile(r"[A-Za-z0-9@_.:-]{1,256}")
_KIND = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_CONVERSION = re.compile(r"%([sdiru%])")
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)


@dataclass(frozen=True)
class Call:
    """One call: names are ASCII without spaces; what they mean is not checked."""

    method: str
    arg: str
    source: str
    dest: str
    payload: bytes = b""


@dataclass(frozen=True)
class Event:
    """Something happened to the qube `subject` (empty: to the computer as such)."""

    subject: str
    name: str
    kwargs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Property:
    """A property as the API tells it. `type` is str, int, bool, vm or label.

    A `value` of no text stands for "none" or "not set".
    """

    value: str
    type: str = "str"
    default: bool = False


def encode_call(call: Call) -> bytes:
    """Return the bytes of a call. Raises MalformedMessage if there can be no such."""
    for text, pattern in (
        (call.method, _METHOD),
        (call.arg, _ARG),
        (call.source, _NAME),
        (call.dest, _NAME),
    ):
        if not pattern.fullmatch(text):
            raise MalformedMessage(
                f"Admin API: cannot be part of a call: {text[:80]!a}"
            )
    service = f"{call.method}+{call.arg}" if call.arg else call.method
    encoded = f"{service} {call.source} name {call.dest}\0".encode("ascii")
    if len(encoded) > MAX_HEADER or len(encoded) + len(call.payload) > MAX_CALL:
        raise MalformedMessage(f"Admin API: a call has at most {MAX_CALL} bytes")
    return encoded + call.payload


def decode_call(untrusted_call: bytes) -> Call:
    """Return the call that these bytes are. Raises MalformedMessage."""
    if len(untrusted_call) > MAX_CALL:
        raise MalformedMessage(f"Admin API: a call has at most {MAX_CALL} bytes")
    untrusted_header, end, payload = untrusted_call.partition(b"\0")
    if not end or len(untrusted_header) >= MAX_HEADER:
        raise MalformedMessage("Admin API: a call without end of its header")
    untrusted_words = untrusted_header.decode("ascii", "replace").split(" ")
    if len(untrusted_words) != 4:
        raise MalformedMessage("Admin API: a header has four words")
    untrusted_service, untrusted_source, untrusted_type, untrusted_dest = (
        untrusted_words
    )
    if (untrusted_type, untrusted_dest) == ("keyword", "adminvm"):
        untrusted_type, untrusted_dest = "name", "dom0"
    untrusted_method, _, untrusted_arg = untrusted_service.partition("+")
    if not (
        untrusted_type == "name"
        and _METHOD.fullmatch(untrusted_method)
        and _ARG.fullmatch(untrusted_arg)
        and _NAME.fullmatch(untrusted_source)
        and _NAME.fullmatch(untrusted_dest)
    ):
        raise MalformedMessage(f"Admin API: not a call: {untrusted_words!a:.200}")
    return Call(
        untrusted_method, untrusted_arg, untrusted_source, untrusted_dest, payload
    )


def encode_success(content: bytes) -> bytes:
    """Return the reply that gives `content`."""
    return _OK + content


def encode_exception(kind: str, text: str, *args: str) -> bytes:
    """Return the reply that raises `kind`; clients fill in `args` for ``%s``."""
    fields = [_encode_field(part) for part in (kind, "", text, *args)]
    return _EXCEPTION + b"".join(fields)


def encode_event(event: Event) -> bytes:
    """Return the bytes of an event. Raises MalformedMessage if there can be no such."""
    if not event.name or "" in event.kwargs:
        raise MalformedMessage(f"Admin API: not an event: {event!a:.200}")
    fields = [_encode_field(event.subject), _encode_field(event.name)]
    for key, value in event.kwargs.items():
        fields += [_encode_field(key), _encode_field(value)]
    return _EVENT + b"".join(fields) + b"\0"


def _encode_field(text: str) -> bytes:
    # A NUL would end the field, and a lone surrogate has no encoding.
    return text.replace("\0", "?").encode("utf-8", "replace") + b"\0"


def read_reply(untrusted_reply: bytes, service: str) -> bytes:
    """Return the content of a whole reply of `service`.

    Raises AdminError for an exception, with kind NO_ANSWER for a reply that is
    empty, and MalformedMessage for anything else.
    """
    if not untrusted_reply:
        raise AdminError(
            NO_ANSWER,
            f"{service} refused the call, or failed at it:"
            f" `journalctl -u {service}` in dom0 says why",
        )
    if untrusted_reply.startswith(_OK):
        return untrusted_reply[len(_OK) :]
    if not untrusted_reply.startswith(_EXCEPTION):
        raise MalformedMessage("Admin API: not a reply")
    fields = untrusted_reply.split(b"\0")
    # Marker, kind, traceback, text, arguments, and nothing behind the last NUL.
    if len(fields) < 5 or fields[-1]:
        raise MalformedMessage("Admin API: an exception that is cut off")
    kind, _traceback, text, *args = (
        part.decode("utf-8", "replace") for part in fields[1:-1]
    )
    if not _KIND.fullmatch(kind):
        raise MalformedMessage("Admin API: an exception without a name")
    raise AdminError(kind, format_exception(text, args))


def format_exception(text: str, args: list[str]) -> str:
    """Fill arguments into the text of an exception; nothing unprintable comes out.

    What has no argument stays as it is: a text that is not a format is shown too.
    """
    rest = iter(args)

    def fill(match: re.Match[str]) -> str:
        return "%" if match[1] == "%" else next(rest, match[0])

    filled = _CONVERSION.sub(fill, text)
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in filled)


class EventReader:
    """Cuts a stream of bytes into events."""

    def __init__(self) -> None:
        self._untrusted_buffer = bytearray()

    def feed(self, untrusted_data: bytes) -> Iterator[Event]:
        """Take in bytes; iterate to get the events that are complete.

        Raises MalformedMessage, after the events before the fault.
        """
        self._untrusted_buffer += untrusted_data
        return self._cut()

    def _cut(self) -> Iterator[Event]:
        buffer = self._untrusted_buffer
        while buffer:
            if not buffer.startswith(_EVENT[: len(buffer)]):
                raise MalformedMessage("Admin API: not an event")
            fields, size = _cut_fields(buffer)
            if size > MAX_EVENT:
                raise MalformedMessage(f"Admin API: an event of over {MAX_EVENT} bytes")
            if fields is None:
                return
            del buffer[:size]
            yield _decode_event(fields)


def _cut_fields(untrusted_buffer: bytearray) -> tuple[list[bytes] | None, int]:
    """Return the fields of the first event, and its size; None while incomplete."""
    fields: list[bytes] = []
    start = len(_EVENT)
    while (end := untrusted_buffer.find(b"\0", start, MAX_EVENT + 1)) >= 0:
        untrusted_field = bytes(untrusted_buffer[start:end])
        start = end + 1
        # Subject and name come first; then pairs, until a key is empty.
        if not untrusted_field and len(fields) >= 2 and len(fields) % 2 == 0:
            return fields, start
        fields.append(untrusted_field)
    return None, len(untrusted_buffer)


def _decode_event(untrusted_fields: list[bytes]) -> Event:
    try:
        subject, name, *rest = (part.decode("utf-8") for part in untrusted_fields)
    except UnicodeDecodeError:
        raise MalformedMessage("Admin API: an event that is not UTF-8") from None
    return Event(subject, name, dict(zip(rest[::2], rest[1::2], strict=True)))


def encode_property(found: Property) -> bytes:
    """Return what `admin.vm.property.Get` answers."""
    text = f"default={found.default} type={found.type} {found.value}"
    return text.encode("utf-8", "replace")


def decode_property(untrusted_answer: bytes) -> Property:
    """Read what `admin.vm.property.Get` answers. Raises MalformedMessage."""
    untrusted_words = untrusted_answer.decode("utf-8", "replace").split(" ", 2)
    if len(untrusted_words) == 3:
        default, kind, value = untrusted_words
        is_default = {"default=True": True, "default=False": False}.get(default)
        if is_default is not None and kind.startswith("type="):
            return Property(value, kind.removeprefix("type="), is_default)
    raise MalformedMessage(f"Admin API: not a property: {untrusted_answer[:80]!a}")


def encode_properties(properties: Mapping[str, Property]) -> bytes:
    """Return what `admin.vm.property.GetAll` answers: a line each, sorted by name."""
    return b"".join(
        name.encode("ascii") + b" " + _escape(encode_property(properties[name])) + b"\n"
        for name in sorted(properties)
    )


def decode_properties(untrusted_answer: bytes) -> dict[str, Property]:
    """Read what `admin.vm.property.GetAll` answers. Raises MalformedMessage."""
    found = {}
    # Not splitlines(): a value may hold what it takes for the end of a line.
    for untrusted_line in untrusted_answer.removesuffix(b"\n").split(b"\n"):
        if not untrusted_line:
            continue
        untrusted_name, _, untrusted_value = untrusted_line.partition(b" ")
        name = untrusted_name.decode("ascii", "replace")
        found[name] = decode_property(_unescape(untrusted_value))
    return found


def _escape(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")


def _unescape(untrusted_value: bytes) -> bytes:
    def replace(match: re.Match[str]) -> str:
        found = {"n": "\n", "\\": "\\"}.get(match[1])
        if found is None:
            raise MalformedMessage("Admin API: an escape that there is not")
        return found

    text = untrusted_value.decode("utf-8", "replace")
    return _ESCAPE.sub(replace, text).encode("utf-8")
