# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines between a gateway and dom0."""

from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.errors import MalformedMessage
from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import (
    LONGEST_LINE,
    Client,
    Close,
    Closed,
    Denial,
    Denied,
    Failed,
    Failure,
    FromDom0,
    FromGateway,
    Gone,
    GrantedMap,
    Held,
    Map,
    NoClient,
    Open,
    Opened,
    Outside,
    Seed,
    Unmap,
    Watch,
    clean_name,
    format_message,
    parse_from_dom0,
    parse_from_gateway,
)

WORK = ip_address("10.137.0.20")
EDGE = ip_address("198.51.100.1")
NONCE = "pcp:" + "0a" * 12

FROM_GATEWAY: list[tuple[str, FromGateway]] = [
    (
        "map client=10.137.0.20 proto=udp inner=5000 outer=0 lifetime=3600 holder=igd",
        Map(WORK, Proto.UDP, 5000, 0, 3600, "igd"),
    ),
    (
        "map client=fd09::20 proto=tcp inner=1 outer=65535 lifetime=4294967295"
        f" holder={NONCE} exact=yes src=192.0.2.0/24,192.0.2.9/32 name=my%20program",
        Map(
            ip_address("fd09::20"),
            Proto.TCP,
            1,
            65535,
            2**32 - 1,
            NONCE,
            exact=True,
            src=(ip_network("192.0.2.0/24"), ip_network("192.0.2.9/32")),
            name="my program",
        ),
    ),
    (
        "map client=10.137.0.20 proto=udp inner=5000 outer=0 lifetime=1 holder=igd"
        " again=yes",
        Map(WORK, Proto.UDP, 5000, 0, 1, "igd", again=True),
    ),
    ("unmap client=10.137.0.20 proto=udp inner=5000", Unmap(WORK, Proto.UDP, 5000)),
    (
        "opened proto=tcp port=80 outer=8080 lifetime=60 address=198.51.100.1",
        Opened(Proto.TCP, 80, 8080, 60, EDGE),
    ),
    (
        "failed proto=tcp port=80 reason=silent",
        Failed(Proto.TCP, 80, Failure.SILENT),
    ),
    ("closed proto=tcp port=80", Closed(Proto.TCP, 80)),
    ("outside address=198.51.100.1", Outside(EDGE)),
    ("outside", Outside()),
]
FROM_DOM0: list[tuple[str, FromDom0]] = [
    ("client address=10.137.0.20 mappings=128", Client(WORK, 128)),
    (
        "client address=10.137.0.20 mappings=0 outside=198.51.100.1",
        Client(WORK, 0, EDGE),
    ),
    (
        "client address=10.137.0.20 mappings=1 beside=yes",
        Client(WORK, 1, beside=True),
    ),
    ("watch wanted=yes", Watch(True)),
    ("watch", Watch()),
    ("seed value=" + "0a" * 32, Seed("0a" * 32)),
    ("noclient address=10.137.0.20", NoClient(WORK)),
    (
        "granted client=10.137.0.20 proto=udp inner=5000 outer=5001 lifetime=60",
        GrantedMap(WORK, Proto.UDP, 5000, 5001, 60),
    ),
    (
        "held client=10.137.0.20 proto=udp inner=5000 outer=5001 lifetime=60"
        f" holder=natpmp,{NONCE},igd:c0000201 src=192.0.2.1/32",
        Held(
            WORK,
            Proto.UDP,
            5000,
            5001,
            60,
            ("natpmp", NONCE, "igd:c0000201"),
            (ip_network("192.0.2.1/32"),),
        ),
    ),
    (
        "denied client=10.137.0.20 proto=udp inner=5000 reason=quota retry=0",
        Denied(WORK, Proto.UDP, 5000, Denial.QUOTA, 0),
    ),
    ("gone client=10.137.0.20 proto=udp inner=5000", Gone(WORK, Proto.UDP, 5000)),
    ("open proto=udp port=5000 lifetime=60", Open(Proto.UDP, 5000, 60)),
    ("close proto=udp port=5000", Close(Proto.UDP, 5000)),
    ("close proto=udp port=5000 outer=1", Close(Proto.UDP, 5000, 1)),
]
MAP = FROM_GATEWAY[0][0]


@pytest.mark.parametrize(("line", "message"), FROM_GATEWAY)
def test_what_a_gateway_says(line: str, message: FromGateway) -> None:
    assert parse_from_gateway(line.encode()) == message
    assert format_message(message) == line.encode() + b"\n"


@pytest.mark.parametrize(("line", "message"), FROM_DOM0)
def test_what_dom0_says(line: str, message: FromDom0) -> None:
    assert parse_from_dom0(line.encode()) == message
    # The order of words is that of the fields.
    assert parse_from_dom0(format_message(message).rstrip()) == message


@pytest.mark.parametrize(
    "line",
    [
        "",
        "map",
        "granted client=10.137.0.20 proto=udp inner=5000 outer=5001 lifetime=60",
        MAP + " ",
        MAP + " inner=5000",
        MAP + " until=5",
        MAP + " exact=no",
        MAP + " src=" + ",".join(f"192.0.2.{n}/32" for n in range(9)),
        MAP + " name=a;b&c",
        MAP + " name=" + "x" * 65,
        MAP + " name=\x1b[2J",
        MAP.replace("udp", "icmp"),
        MAP.replace("udp", "sctp"),
        MAP.replace("inner=5000", "inner=0"),
        MAP.replace("inner=5000", "inner=65536"),
        MAP.replace("inner=5000", "inner=\u0661"),
        MAP.replace("outer=0", "outer=-1"),
        MAP.replace("lifetime=3600", "lifetime=0"),
        MAP.replace("lifetime=3600", "lifetime=" + "9" * 900),
        MAP.replace("10.137.0.20", "work"),
        MAP.replace("igd", "pcp"),
        MAP.replace("igd", "pcp:" + "0A" * 12),
        MAP + " name=" + "x" * LONGEST_LINE,
    ],
)
def test_what_is_no_line_of_a_gateway(line: str) -> None:
    with pytest.raises(MalformedMessage):
        parse_from_gateway(line.encode())


@given(st.binary(max_size=1100))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_from_gateway, parse_from_dom0):
        with suppress(MalformedMessage):
            message = parse(data)
            assert parse(format_message(message).rstrip(b"\n")) == message


@given(st.text(max_size=200))
def test_any_name_can_be_sent_once_it_is_cleaned(name: str) -> None:
    message = Map(WORK, Proto.UDP, 1, 0, 1, "igd", name=clean_name(name))
    assert parse_from_gateway(format_message(message).rstrip(b"\n")) == message
