# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import AdminError, MalformedMessage
from qubesforward.qubes.admin_wire import (
    MAX_CALL,
    MAX_EVENT,
    MAX_HEADER,
    NO_ANSWER,
    Call,
    Event,
    EventReader,
    Property,
    decode_call,
    decode_properties,
    decode_property,
    encode_call,
    encode_event,
    encode_exception,
    encode_properties,
    encode_property,
    encode_success,
    format_exception,
    read_reply,
)
from tests.qubes.running import UNHURRIED
from tests.qubes.test_qubesdb_wire import split

NAMES = st.from_regex(r"[A-Za-z0-9_.-]{1,20}", fullmatch=True)
ARGS = st.from_regex(r"[!-~]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
CALLS = st.builds(Call, NAMES, ARGS, NAMES, NAMES, st.binary(max_size=99))
EVENTS = st.builds(
    Event,
    TEXTS,
    TEXTS.filter(bool),
    st.dictionaries(TEXTS.filter(bool), TEXTS, max_size=3),
)
PROPERTIES = st.builds(
    Property, TEXTS, st.sampled_from(["str", "int", "bool", "vm"]), st.booleans()
)


@UNHURRIED
@given(CALLS)
def test_call_survives_the_wire(call: Call) -> None:
    assert decode_call(encode_call(call)) == call


@UNHURRIED
@given(st.binary() | st.from_regex(rb"[a.]\+?[x ]* [b ]* (name|keyword) [c ]*\0.*"))
def test_any_bytes_are_a_call_or_the_documented_error(data: bytes) -> None:
    try:
        call = decode_call(data)
    except MalformedMessage:
        return
    assert decode_call(encode_call(call)) == call


def test_call_is_framed_as_qubesd_reads_it() -> None:
    call = Call("admin.vm.firewall.Get", "forward", "dom0", "work", b"payload")
    framed = b"admin.vm.firewall.Get+forward dom0 name work\0payload"
    assert encode_call(call) == framed
    assert decode_call(framed) == call


def test_admin_qube_may_be_named_by_keyword() -> None:
    found = decode_call(b"admin.vm.List+ mgmt keyword adminvm\0")
    assert found == Call("admin.vm.List", "", "mgmt", "dom0")


def test_payload_may_hold_anything() -> None:
    assert decode_call(b"a b name c\0\0 \xff\0").payload == b"\0 \xff\0"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"admin.vm.List dom0 name dom0",
        b"admin.vm.List dom0 dom0\0",
        b"admin.vm.List dom0 keyword other\0",
        b"admin.vm.List dom0 type dom0\0",
        b"admin.vm.List dom0 name two words\0",
        b"admin.vm.List dom0 name \0",
        b" dom0 name dom0\0",
        b"admin.vm.List d\xc3\xa4m0 name dom0\0",
        b"admin.vm.List+a\nb dom0 name dom0\0",
        b"a" * MAX_HEADER + b" dom0 name dom0\0",
        b"a b name c\0" + bytes(MAX_CALL),
    ],
)
def test_what_is_no_call_is_malformed(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_call(data)


@pytest.mark.parametrize(
    "call",
    [
        Call("", "", "dom0", "work"),
        Call("a b", "", "dom0", "work"),
        Call("a", "x y", "dom0", "work"),
        Call("a", "", "dom0", "w\0rk"),
        Call("a", "", "dom0", "\u00e4"),
        Call("a", "", "dom0", "work", bytes(MAX_CALL)),
    ],
)
def test_what_can_be_no_call_is_not_sent(call: Call) -> None:
    with pytest.raises(MalformedMessage):
        encode_call(call)


@UNHURRIED
@given(st.binary())
def test_content_survives_the_wire(content: bytes) -> None:
    assert read_reply(encode_success(content), "qubesd") == content


@UNHURRIED
@given(
    st.binary()
    | st.builds(lambda data: b"2\0" + data, st.binary())
    | st.builds(lambda parts: b"2\0" + b"\0".join(parts), st.lists(st.binary()))
)
def test_any_bytes_are_a_reply_or_a_documented_error(data: bytes) -> None:
    try:
        assert data == b"0\0" + read_reply(data, "qubesd")
    except (MalformedMessage, AdminError):
        return


def test_exception_is_formatted_from_its_arguments() -> None:
    reply = encode_exception("QubesVMNotFoundError", "no %s, %d tries", "work", "3")
    with pytest.raises(AdminError, match=r"^no work, 3 tries$") as caught:
        read_reply(reply, "qubesd")
    assert caught.value.kind == "QubesVMNotFoundError"


def test_exception_as_qubesd_sends_it_with_a_traceback() -> None:
    reply = b"2\0QubesValueError\0Traceback: %s\0wrong value\0"
    with pytest.raises(AdminError, match=r"^wrong value$"):
        read_reply(reply, "qubesd")


@pytest.mark.parametrize(
    ("text", "args", "shown"),
    [
        ("plain", [], "plain"),
        ("50% of %s", ["it"], "50% of it"),
        ("100%% of %r", ["%s"], "100% of %s"),
        ("%s and %s", ["one"], "one and %s"),
        ("one", ["too many"], "one"),
        ("%99999999999d", ["1"], "%99999999999d"),
        ("%(key)s", ["1"], "%(key)s"),
        ("\x1b[31m%s", ["\x07"], "\ufffd[31m\ufffd"),
        ("two\nlines", [], "two\nlines"),
    ],
)
def test_text_of_an_exception(text: str, args: list[str], shown: str) -> None:
    assert format_exception(text, args) == shown


@UNHURRIED
@given(TEXTS, st.lists(TEXTS))
def test_any_text_of_an_exception_can_be_shown(text: str, args: list[str]) -> None:
    shown = format_exception(text, args)
    assert all(c.isprintable() or c == "\n" for c in shown)


def test_empty_reply_says_what_to_do() -> None:
    with pytest.raises(AdminError, match="journalctl -u qubes-forwardd") as caught:
        read_reply(b"", "qubes-forwardd")
    assert caught.value.kind == NO_ANSWER


@pytest.mark.parametrize(
    "reply", [b"0", b"3\0", b"2\0", b"2\0Kind\0\0cut off", b"2\0\0\0text\0"]
)
def test_what_is_no_reply_is_malformed(reply: bytes) -> None:
    with pytest.raises(MalformedMessage):
        read_reply(reply, "qubesd")


def read_events(pieces: list[bytes]) -> tuple[list[Event], bool]:
    reader = EventReader()
    found: list[Event] = []
    for piece in pieces:
        try:
            for event in reader.feed(piece):
                found.append(event)
        except MalformedMessage:
            return found, True
    return found, False


@UNHURRIED
@given(st.lists(EVENTS), st.lists(st.integers(min_value=0)))
def test_events_survive_any_split(events: list[Event], cuts: list[int]) -> None:
    stream = b"".join(map(encode_event, events))
    assert read_events(split(stream, cuts)) == (events, False)


@UNHURRIED
@given(
    st.lists(EVENTS, max_size=2),
    st.binary() | st.builds(lambda data: b"1\0" + data, st.binary()),
    st.lists(st.integers(min_value=0)),
)
def test_any_bytes_are_events_or_the_documented_error_however_they_arrive(
    events: list[Event], garbage: bytes, cuts: list[int]
) -> None:
    stream = b"".join(map(encode_event, events)) + garbage
    assert read_events(split(stream, cuts)) == read_events([stream])


def test_event_is_framed_as_qubesd_sends_it() -> None:
    framed = b"1\0work\0property-set:netvm\0name\0netvm\0newvalue\0\0\0"
    event = Event("work", "property-set:netvm", {"name": "netvm", "newvalue": ""})
    assert encode_event(event) == framed
    assert read_events([framed]) == ([event], False)


def test_event_without_end_is_not_kept_for_ever() -> None:
    found, is_broken = read_events([b"1\0s\0e\0", *([b"key\0value\0" * 1000] * 8)])
    assert not found
    assert is_broken
    assert read_events([b"1\0" + b"x" * MAX_EVENT]) == ([], True)


@pytest.mark.parametrize("event", [Event("work", ""), Event("work", "e", {"": "x"})])
def test_what_can_be_no_event_is_not_sent(event: Event) -> None:
    with pytest.raises(MalformedMessage):
        encode_event(event)


@UNHURRIED
@given(PROPERTIES)
def test_property_survives_the_wire(found: Property) -> None:
    assert decode_property(encode_property(found)) == found


@UNHURRIED
@given(st.dictionaries(NAMES, PROPERTIES))
def test_properties_survive_the_wire(found: dict[str, Property]) -> None:
    assert decode_properties(encode_properties(found)) == found


@UNHURRIED
@given(st.binary() | st.from_regex(rb"([a-c]+ default=(True|False) type=[a-z]* .*\n)*"))
def test_any_bytes_are_properties_or_the_documented_error(data: bytes) -> None:
    for decode in (decode_property, decode_properties):
        try:
            decode(data)
        except MalformedMessage:
            continue


def test_properties_as_qubesd_sends_them() -> None:
    answer = (
        b"ip default=True type=str 10.137.0.20\n"
        b"netvm default=False type=vm \n"
        b"note default=False type=str two\\nlines and a \\\\ and\ra return\n"
    )
    assert decode_properties(answer) == {
        "ip": Property("10.137.0.20", "str", default=True),
        "netvm": Property("", "vm"),
        "note": Property("two\nlines and a \\ and\ra return"),
    }
    assert encode_properties(decode_properties(answer)) == answer


@pytest.mark.parametrize(
    "answer", [b"", b"default=Maybe type=str x", b"default=True str x", b"True str x"]
)
def test_what_is_no_property_is_malformed(answer: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_property(answer)
