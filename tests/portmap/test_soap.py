# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.soap import (
    ERRORS,
    Call,
    Fault,
    MalformedSoap,
    Markup,
    parse_answer,
    parse_call,
    render_answer,
    render_call,
    render_fault,
)
from tests.qubes.running import UNHURRIED

SERVICE = "urn:schemas-upnp-org:service:WANIPConnection:1"
ACTION = f'"{SERVICE}#Do"'
ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"

# As programs write it: with types of arguments, a header, and a namespace by default.
TYPED = f"""<?xml version="1.0"?>
<SOAP-ENV:Envelope xmlns:SOAP-ENV="{ENVELOPE}"
 SOAP-ENV:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"><SOAP-ENV:Header/>
<SOAP-ENV:Body><m:Do xmlns:m="{SERVICE}">
<NewPort xmlns:dt="urn:schemas-microsoft-com:datatypes" dt:dt="ui2">80</NewPort>
</m:Do></SOAP-ENV:Body></SOAP-ENV:Envelope>"""
PLAIN = f"""<Envelope xmlns="{ENVELOPE}"><Body><Do xmlns="{SERVICE}">
<NewPort>80</NewPort></Do></Body></Envelope>"""


@pytest.mark.parametrize("text", [TYPED, PLAIN])
@pytest.mark.parametrize("action", [ACTION, ACTION.strip('"')])
def test_call_is_read_as_programs_write_it(text: str, action: str) -> None:
    assert parse_call(action, text.encode()) == Call(SERVICE, "Do", {"NewPort": "80"})


REFUSED = {
    "another action": PLAIN.replace("<Do", "<Du").replace("</Do", "</Du"),
    "another service": PLAIN.replace("Connection:1", "Connection:2"),
    "no namespace": PLAIN.replace(f' xmlns="{SERVICE}"', ""),
    "another envelope": PLAIN.replace("envelope/", "envelop/"),
    "no body": f'<Envelope xmlns="{ENVELOPE}"/>',
    "two bodies": PLAIN.replace("<Body>", "<Body/><Body>"),
    "body of another kind": PLAIN.replace("<Body>", "<Body xmlns='urn:x'>"),
    "empty body": f'<Envelope xmlns="{ENVELOPE}"><Body/></Envelope>',
    "two calls": PLAIN.replace("<Body>", "<Body><x/>"),
    "argument twice": PLAIN.replace("<NewPort>", "<NewPort/><NewPort>"),
    "element in an argument": PLAIN.replace("80", "<x/>"),
    "too many arguments": PLAIN.replace(
        "<NewPort>", "".join(f"<a{n}/>" for n in range(16)) + "<NewPort>"
    ),
    "not XML": "NewPort=80",
    "doctype": f"<!DOCTYPE Envelope>{PLAIN}",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_no_call_is_refused(text: str) -> None:
    with pytest.raises(MalformedSoap):
        parse_call(ACTION, text.encode())


@pytest.mark.parametrize("action", ["", "#", f"{SERVICE}#", "#Do", f"{SERVICE}#D o"])
def test_call_without_the_field_is_refused(action: str) -> None:
    with pytest.raises(MalformedSoap):
        parse_call(action, PLAIN.encode())


@UNHURRIED
@given(st.dictionaries(st.from_regex("[A-Z][a-z]{1,9}", fullmatch=True), st.text()))
def test_arguments_survive_both_ways(arguments: dict[str, str]) -> None:
    arguments = {
        name: "".join(each for each in text if each.isprintable())
        for name, text in list(arguments.items())[:16]
    }
    listed = tuple(arguments.items())
    call = parse_call(ACTION, render_call(SERVICE, "Do", listed))
    assert call.untrusted_arguments == arguments
    assert parse_answer("Do", render_answer(SERVICE, "Do", listed)) == arguments


@pytest.mark.parametrize("code", ERRORS)
def test_fault_survives(code: int) -> None:
    with pytest.raises(Fault, match=ERRORS[code]) as raised:
        parse_answer("Do", render_fault(code))
    assert raised.value.code == code


def test_answer_to_another_call_is_refused() -> None:
    with pytest.raises(MalformedSoap):
        parse_answer("Do", render_answer(SERVICE, "Du", ()))
    with pytest.raises(MalformedSoap):
        parse_answer("Do", render_fault(718).replace(b"718", b"-1"))


def test_document_in_an_answer_is_kept_as_it_is() -> None:
    answer = render_answer(SERVICE, "Do", (("List", Markup("<a>&lt;</a>")),))
    assert b"<List><![CDATA[<a>&lt;</a>]]></List>" in answer


@UNHURRIED
@given(st.text(), st.binary(max_size=300))
def test_any_bytes_are_a_call_or_the_documented_error(
    action: str, untrusted: bytes
) -> None:
    for parse in (parse_call, parse_answer):
        with pytest.raises(MalformedSoap):
            parse(action, untrusted)
