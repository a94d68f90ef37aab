# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.http_client import (
    Answer,
    AnswerReader,
    MalformedResponse,
    Url,
    parse_url,
)
from tests.qubes.running import UNHURRIED

OK = b"HTTP/1.1 200 OK\r\n"
HERE = Url(IPv4Address("192.168.1.1"), 49152, "/igd/root.xml")


def read(data: bytes, end: bool = True) -> Answer:
    reader = AnswerReader(100)
    answer = reader.receive(data)
    if answer is None and end:
        answer = reader.receive_end()
    assert answer is not None
    bytewise = AnswerReader(100)
    pieces = [bytewise.receive(bytes([byte])) for byte in data]
    again = next((one for one in pieces if one is not None), None)
    assert answer == (again or bytewise.receive_end())
    return answer


def test_body_ends_by_its_length_in_pieces_or_with_the_connection() -> None:
    assert read(OK + b"Content-Length: 3\r\n\r\nabcde", False) == Answer(200, b"abc")
    assert read(OK + b"\r\nabc") == Answer(200, b"abc")
    chunked = (
        OK + b"Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n02;x=y\r\nde\r\n0\r\n"
    )
    assert read(chunked, False) == Answer(200, b"abcde")
    assert read(b"HTTP/1.0 500 x\r\nContent-Length: 0\r\n\r\n", False) == Answer(
        500, b""
    )
    assert read(b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\n") == Answer(200, b"")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        OK,
        b"HTTP/2 200 OK\r\n\r\n",
        b"SSH-2.0-x\r\n\r\n",
        OK + b"Content-Length: 101\r\n\r\n",
        OK + b"Content-Length: -1\r\n\r\n",
        OK + b"Content-Length: 5\r\n\r\nabc",
        OK + b"\r\n" + bytes(101),
        OK + b"a: " + b"b" * 9000,
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcde\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\nfffffff\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"x" * 300,
        OK
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"32\r\n"
        + bytes(50)
        + b"\r\n33\r\n",
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        read(data)


@UNHURRIED
@given(st.binary(max_size=200), st.booleans())
def test_any_bytes_are_an_answer_or_the_documented_error(
    untrusted: bytes, has_head: bool
) -> None:
    reader = AnswerReader(100)
    with contextlib.suppress(MalformedResponse):
        reader.receive((OK if has_head else b"") + untrusted)
        assert len(reader.receive_end().untrusted_body) <= 100


@pytest.mark.parametrize(
    ("text", "port", "path"),
    [
        ("http://192.168.1.1:5000/a?b", 5000, "/a?b"),
        (" HTTP://192.168.1.1 ", 80, "/"),
        ("http://192.168.1.1:80/", 80, "/"),
    ],
)
def test_url_is_read(text: str, port: int, path: str) -> None:
    assert parse_url(text) == Url(HERE.address, port, path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://192.168.1.1/",
        "http://router/",
        "http://user@192.168.1.1/",
        "http://192.168.1.1@evil.example/",
        "http://192.168.1.1:0/",
        "http://192.168.1.1:65536/",
        "http://192.168.1.256/",
        "http://192.168.1.1/\r\nX: y",
        "http://192.168.1.1/ a",
        "http://192.168.1.1/ä",
        "http://[::1]/",
        "http://192.168.1.1/" + "a" * 600,
        "/a",
    ],
)
def test_url_that_is_not_usable_is_none(text: str) -> None:
    assert parse_url(text) is None


def test_reference_leads_to_the_same_address_only() -> None:
    def resolve(text: str) -> tuple[int, str] | None:
        url = HERE.resolve(text)
        return (url.port, url.path) if url is not None else None

    assert resolve("/ctl/IPConn") == (49152, "/ctl/IPConn")
    assert resolve(" ctl/IPConn\n") == (49152, "/igd/ctl/IPConn")
    assert resolve("http://192.168.1.1:5000/x") == (5000, "/x")
    assert resolve("") == (49152, "/igd/")
    assert resolve("http://192.168.1.2/x") is None
    assert resolve("http://evil.example/x") is None
    assert resolve("/a b") is None
    assert resolve("/a\r\nX: y") is None
    assert resolve("/" + "a" * 600) is None
