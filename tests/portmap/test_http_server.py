# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.http_server import (
    IDLE_TIME,
    LINGER_TIME,
    MAX_BODY,
    MAX_HEAD,
    MAX_REQUESTS,
    REQUEST_TIME,
    HttpConnection,
    Request,
    Response,
)
from tests.qubes.running import UNHURRIED

HOST = "Host: 10.137.0.6:5000"
GET = f"GET /a HTTP/1.1\r\n{HOST}\r\n\r\n".encode()


def connect() -> HttpConnection:
    return HttpConnection(IPv4Address("10.137.0.6"), 5000, 0.0)


def post(body: bytes, *fields: str, length: object = None) -> bytes:
    length = len(body) if length is None else length
    lines = ["POST /c HTTP/1.1", HOST, f"Content-Length: {length}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def status_of(connection: HttpConnection) -> int:
    output = connection.take_output()
    assert output.startswith(b"HTTP/1.1 ")
    return int(output[9:12])


def refused(untrusted_data: bytes) -> int:
    connection = connect()
    assert connection.receive(untrusted_data, 1.0) is None
    assert connection.is_closing
    assert not connection.is_lost
    return status_of(connection)


def take(connection: HttpConnection, data: bytes, now: float = 1.0) -> Request:
    request = connection.receive(data, now)
    assert request is not None
    return request


def test_request_is_read_however_it_arrives() -> None:
    data = post(b"hello", "X: y ")
    whole = take(connect(), data)
    assert (whole.method, whole.path, whole.untrusted_body) == ("POST", "/c", b"hello")
    assert whole.head.get("x") == "y"
    connection = connect()
    found = [connection.receive(bytes([byte]), 1.0) for byte in data]
    assert found[:-1] == [None] * (len(data) - 1)
    assert found[-1] == whole


def test_answers_follow_requests_on_one_connection() -> None:
    connection = connect()
    for _ in range(3):
        assert take(connection, GET).path == "/a"
        assert connection.take_output() == b""
        connection.respond(Response(200, b"body", (("Ext", ""),)), 2.0)
        output = connection.take_output()
        assert output.startswith(b"HTTP/1.1 200 OK\r\n")
        assert output.endswith(b"\r\n\r\nbody")
        assert b"\r\nContent-Length: 4\r\nConnection: keep-alive\r\n" in output
        assert not connection.is_closing
        # Some programs end their bodies with a line that is not counted.
        assert connection.receive(b"\r\n", 2.0) is None


@pytest.mark.parametrize(
    "data",
    [
        GET.replace(b"1.1\r\n", b"1.1\r\nConnection: x, Close\r\n"),
        GET.replace(b"1.1", b"1.0"),
        GET + GET,
        post(b"a") + b"b",
    ],
)
def test_last_answer_closes(data: bytes) -> None:
    connection = connect()
    take(connection, data)
    connection.respond(Response(200), 1.0)
    assert b"\r\nConnection: close\r\n" in connection.take_output()
    assert connection.is_closing
    assert connection.receive(GET, 1.0) is None
    assert connection.take_output() == b""


def test_requests_of_a_connection_are_counted() -> None:
    connection = connect()
    for left in reversed(range(MAX_REQUESTS)):
        take(connection, GET)
        connection.respond(Response(200), 1.0)
        assert connection.is_closing is (left == 0)


def test_what_comes_while_an_answer_is_awaited_is_not_kept() -> None:
    connection = connect()
    take(connection, GET)
    for _ in range(1000):
        assert connection.receive(bytes(65536), 1.0) is None
    assert connection.take_output() == b""
    connection.respond(Response(200), 1.0)
    assert connection.is_closing


def test_whole_url_is_taken_for_its_path() -> None:
    request = GET.replace(b"/a", b"HTTP://10.137.0.6:5000/a/b")
    assert take(connect(), request).path == "/a/b"
    assert refused(GET.replace(b"/a", b"http://evil.example/a")) == 400
    assert refused(GET.replace(b"/a", b"*")) == 400


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "10.137.0.6:80", "10.137.0.7", "", "[::1]"],
)
def test_host_of_somebody_else_is_refused(host: str) -> None:
    assert refused(GET.replace(b"10.137.0.6:5000", host.encode())) == 403


def test_missing_and_doubled_hosts_are_refused() -> None:
    assert refused(b"GET /a HTTP/1.1\r\n\r\n") == 403
    assert refused(b"GET /a HTTP/1.0\r\n\r\n") == 403
    assert refused(GET.replace(b"Host", HOST.encode() + b"\r\nHost")) == 403


@pytest.mark.parametrize("origin", ["null", "http://10.137.0.6:5000", ""])
def test_origin_is_refused(origin: str) -> None:
    assert refused(post(b"a", f"Origin: {origin}")) == 403


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post(b"", length=200 * 1024 * 1024), 413),
        (post(b"", length=MAX_BODY + 1), 413),
        (post(b"", length="9" * 30), 413),
        (post(b"", length="-1"), 400),
        (post(b"", length="+1"), 400),
        (post(b"", length="0x10"), 400),
        (post(b"", length="5\r\nContent-Length: 6"), 400),
        (post(b"5\r\nhello", "Transfer-Encoding: chunked"), 411),
        (post(b"").replace(b"Content-Length: 0\r\n", b""), 411),
        (post(b"a", "Expect: the unexpected"), 417),
        (GET.replace(b"1.1", b"2.0"), 505),
        (GET.replace(b"GET", b"get"), 400),
        (GET.replace(b" /a", b"  /a"), 400),
        (GET.replace(b"/a", b"/\xe4"), 400),
        (GET.replace(b"/a", b"/" + b"a" * 300), 400),
        (GET.replace(b"Host:", b"Host :"), 400),
        (GET.replace(b"Host", b" Host"), 400),
        (GET.replace(b"\r\nHost", b"\nHost"), 400),
        (GET.replace(b"\r\n\r\n", b"\r\na: \0\r\n\r\n"), 400),
        (GET.replace(b"\r\n\r\n", b"\r\n" + b"a: b\r\n" * 60 + b"\r\n"), 400),
        (b"GET /a HTTP/1.1\r\nHost: " + b"a" * MAX_HEAD, 431),
        (b"\x16\x03\x01" + bytes(MAX_HEAD), 431),
    ],
)
def test_what_is_no_request_is_refused(data: bytes, status: int) -> None:
    assert refused(data) == status


def test_continue_is_said_before_the_body() -> None:
    connection = connect()
    head, body = post(b"", "Expect: 100-continue", length=2), b"ab"
    assert connection.receive(head, 1.0) is None
    assert connection.take_output() == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert take(connection, body).untrusted_body == body
    assert connect().receive(head + body, 1.0) is not None


def test_body_that_is_too_large_is_refused_and_not_continued() -> None:
    data = post(b"", "Expect: 100-continue", length=MAX_BODY + 1)
    assert refused(data) == 413


def test_slow_request_is_refused_and_given_up() -> None:
    connection = connect()
    for second in range(9):
        connection.receive(b"GET /a HTTP"[second : second + 1], float(second))
        connection.handle_timer(float(second))
    assert connection.get_timer() == REQUEST_TIME
    connection.handle_timer(REQUEST_TIME)
    assert status_of(connection) == 408
    assert connection.is_closing
    connection.handle_timer(REQUEST_TIME + LINGER_TIME)
    assert connection.is_lost
    assert connection.get_timer() is None


def test_slow_body_does_not_get_more_time() -> None:
    connection = connect()
    connection.receive(post(b"", length=100), 9.0)
    connection.handle_timer(REQUEST_TIME)
    assert status_of(connection) == 408


def test_idle_connection_is_closed_without_a_word() -> None:
    connection = connect()
    connection.handle_timer(REQUEST_TIME)
    assert connection.is_closing
    connection = connect()
    take(connection, GET)
    assert connection.get_timer() is None
    connection.respond(Response(200), 100.0)
    assert connection.get_timer() == 100.0 + IDLE_TIME
    connection.take_output()
    connection.receive(b"G", 110.0)
    assert connection.get_timer() == 110.0 + REQUEST_TIME
    connection = connect()
    take(connection, GET)
    connection.respond(Response(200), 100.0)
    connection.take_output()
    connection.handle_timer(100.0 + IDLE_TIME)
    assert connection.is_closing
    assert connection.take_output() == b""


def test_end_of_what_the_client_sends_leaves_the_answer() -> None:
    connection = connect()
    take(connection, GET)
    connection.receive_end(1.0)
    connection.respond(Response(200), 2.0)
    assert status_of(connection) == 200
    assert connection.is_closing
    connection = connect()
    connection.receive(GET[:9], 1.0)
    connection.receive_end(1.0)
    assert connection.is_closing
    assert connection.take_output() == b""


def test_answer_without_a_request_is_none() -> None:
    connection = connect()
    connection.respond(Response(200), 1.0)
    assert connection.take_output() == b""


PIECES = st.sampled_from(
    [
        GET,
        post(b"hello"),
        post(b"", length=10),
        post(b"", length=10**9),
        *(b"\r\n", b"\r\n\r\n", b"GET /a HTTP/1.1\r\n", HOST.encode() + b"\r\n"),
        *(b"Origin: null\r\n", b"Content-Length: 5\r\n", b"hello", b"a" * 5000),
    ]
)


@UNHURRIED
@given(st.lists(PIECES | st.binary(max_size=50), max_size=12), st.booleans())
def test_any_bytes_are_answered_and_nothing_grows(
    pieces: list[bytes], is_answered: bool
) -> None:
    connection = connect()
    for at, piece in enumerate(pieces):
        request = connection.receive(piece, float(at))
        assert request is None or len(request.untrusted_body) <= MAX_BODY
        assert len(connection.take_output()) < 500
        if is_answered:
            connection.respond(Response(200), float(at))
        connection.handle_timer(float(at))
        timer = connection.get_timer()
        assert timer is None or timer <= at + IDLE_TIME
        assert timer is not None or connection.is_held or connection.is_lost
