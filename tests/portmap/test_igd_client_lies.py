# SPDX-License-Identifier: GPL-2.0-or-later
"""Routers that answer oddly, lie, or never end; and neighbours that play the router."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from qubesforward.portmap.client_events import NoAnswer
from qubesforward.portmap.igd_client import EXCHANGE_TIME
from tests.portmap.igd_router import (
    DESCRIPTION,
    FOUND,
    OPENED,
    ROUTER,
    Pair,
    Scripted,
    opened,
    render_http,
)


def test_connection_that_is_up_is_taken() -> None:
    router = Scripted()
    first, rest = router.body.decode().split("<service>")
    down = rest.partition("</service>")[0].replace(
        "WANIPConnection", "WANPPPConnection"
    )
    router.body = f"{first}<service>{down}</service><service>{rest}".encode()
    is_up = {"ppp": False}

    def answer(exchange: object) -> bytes | None:
        assert hasattr(exchange, "request")
        if b"WANPPPConnection:1#GetStatusInfo" in exchange.request and not is_up["ppp"]:
            return render_http(b"", "404 Not Found")
        return router(exchange)  # type: ignore[arg-type]

    pair = Pair(answer)
    pair.open()
    assert pair.find()[-1] == OPENED
    assert {call.service.split(":")[-2] for call in router.calls} == {"WANIPConnection"}


def test_router_that_never_says_it_is_connected_is_tried_all_the_same() -> None:
    router = Scripted()
    router.answers["GetStatusInfo"] = (("NewConnectionStatus", "Up"),)
    opened(router)


HOSTILE_PLACES = [
    FOUND.replace(b"192.168.1.1:49152", b"192.168.1.77:49152"),
    FOUND.replace(b"192.168.1.1:49152", b"evil.example"),
    FOUND.replace(b"InternetGatewayDevice", b"MediaServer"),
    FOUND.replace(b"200 OK", b"404 Not Found"),
    FOUND.replace(b"HTTP/1.1 200 OK", b"NOTIFY * HTTP/1.1"),
    FOUND[:-2],
    b"",
    b"\xff" * 9000,
]


@pytest.mark.parametrize("untrusted", HOSTILE_PLACES)
def test_answer_that_leads_elsewhere_is_ignored(untrusted: bytes) -> None:
    pair = Pair(Scripted())
    pair.open()
    assert pair.find(untrusted) == []
    assert pair.exchanges == 0


def test_answer_of_somebody_else_is_ignored() -> None:
    pair = Pair(Scripted())
    pair.open()
    pair.client.receive_datagram(FOUND, IPv4Address("192.168.1.77"))
    assert pair.turn() == []
    assert pair.exchanges == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<a/>",
        b"\xff" * 100,
        b"x" * 70_000,
        DESCRIPTION.replace("/ctl", "http://192.168.1.77/ctl").encode(),
        DESCRIPTION.replace("<device>", "<URLBase>http://10.0.0.1/</URLBase><device>")
        .replace("{version}", "1")
        .encode(),
        DESCRIPTION.replace("{version}", "9").encode(),
        b"<a>" * 30_000,
    ],
)
def test_description_of_no_use_is_given_up(body: bytes) -> None:
    router = Scripted()
    router.body = body
    pair = Pair(router)
    pair.open()
    assert pair.find() == [NoAnswer()]
    assert router.calls == []


def test_second_place_of_a_router_is_tried() -> None:
    router = Scripted()

    def answer(exchange: object) -> bytes | None:
        assert hasattr(exchange, "port")
        if exchange.port == 8200:
            return render_http(b"<root/>")
        return router(exchange)  # type: ignore[arg-type]

    pair = Pair(answer)
    pair.open()
    pair.client.receive_datagram(FOUND.replace(b":49152", b":8200"), ROUTER)
    assert pair.find()[-1] == OPENED


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"\xff" * 20_000,
        render_http(b"<a/>"),
        render_http(b"", "302 Found"),
        render_http(b"", "401 Unauthorized"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
    ],
)
def test_answers_of_no_use_count_as_silence(output: bytes) -> None:
    router = Scripted()
    pair = opened(router)
    pair.answer = lambda exchange: output
    assert NoAnswer() in pair.pass_time(3590 + 60)


def test_answer_that_does_not_end_is_cut_off() -> None:
    router = Scripted()
    pair = Pair(lambda exchange: None)
    pair.open()
    pair.find()
    (exchange,) = pair.silent
    pair.now += EXCHANGE_TIME / 2
    pair.client.receive(exchange, b"HTTP/1.1 200 OK\r\n\r\n<", pair.now)
    pair.pass_time(EXCHANGE_TIME)
    assert exchange.is_done
    pair.client.receive(exchange, router.body, pair.now)
    pair.client.receive_end(exchange, pair.now)
    pair.client.fail(exchange, pair.now)
