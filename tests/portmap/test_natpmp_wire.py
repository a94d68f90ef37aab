# SPDX-License-Identifier: GPL-2.0-or-later
"""NAT-PMP's octets, laid out by hand from the figures of RFC 6886."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.errors import MalformedRequest, MalformedResponse
from qubesforward.portmap.mapping import Transport
from qubesforward.portmap.natpmp_wire import (
    AddressRequest,
    AddressResponse,
    MapRequest,
    MapResponse,
    Refusal,
    Request,
    Result,
    decode_request,
    decode_response,
    encode_refusal,
    encode_request,
    encode_response,
)

EPOCH = 0x01020304

REQUESTS: list[tuple[Request, str]] = [
    # 3.2: version, opcode.
    (AddressRequest(), "00 00"),
    # 3.3: version, opcode, reserved; internal port, suggested port; lifetime.
    (MapRequest(Transport.UDP, 5000, 6000, 7200), "00 01 0000 1388 1770 00001c20"),
    (MapRequest(Transport.TCP, 22, 0, 3600), "00 02 0000 0016 0000 00000e10"),
    # 3.4: lifetime and suggested port zero, and the internal port too for all.
    (MapRequest(Transport.TCP, 22, 0, 0), "00 02 0000 0016 0000 00000000"),
    (MapRequest(Transport.UDP, 0, 0, 0), "00 01 0000 0000 0000 00000000"),
]

RESPONSES: list[tuple[AddressResponse | MapResponse, str]] = [
    # 3.2: version, 128 + opcode, result; epoch; address.
    (
        AddressResponse(0, EPOCH, ip_address("192.0.2.7")),  # type: ignore[arg-type]
        "00 80 0000 01020304 c0000207",
    ),
    # 3.3: version, 128 + opcode, result; epoch; internal, mapped; lifetime.
    (
        MapResponse(Transport.UDP, 0, EPOCH, 5000, 6000, 7200),
        "00 81 0000 01020304 1388 1770 00001c20",
    ),
    # 3.5: what was not created has neither port nor lifetime.
    (
        MapResponse(Transport.TCP, Result.OUT_OF_RESOURCES, EPOCH, 5000, 0, 0),
        "00 82 0004 01020304 1388 0000 00000000",
    ),
]


@pytest.mark.parametrize(("request_", "octets"), REQUESTS)
def test_requests_are_as_the_rfc_draws_them(request_: Request, octets: str) -> None:
    assert encode_request(request_) == bytes.fromhex(octets)
    assert decode_request(bytes.fromhex(octets)) == request_


@pytest.mark.parametrize(("response", "octets"), RESPONSES)
def test_responses_are_as_the_rfc_draws_them(
    response: AddressResponse | MapResponse, octets: str
) -> None:
    assert encode_response(response) == bytes.fromhex(octets)
    assert decode_response(bytes.fromhex(octets)) == response


@pytest.mark.parametrize(
    ("octets", "result"),
    [
        ("", None),
        ("00", None),
        # 3.5: 128 and above are responses.
        ("00 80", None),
        ("00 81 0000 1388 1770 00001c20", None),
        ("00 01", None),
        ("00 02 0000 1388 1770 00001c", None),
        ("00 00" + 1099 * "00", None),
        ("01 00", Result.UNSUPPORTED_VERSION),
        ("ff 01 0000 1388 1770 00001c20", Result.UNSUPPORTED_VERSION),
        ("00 03", Result.UNSUPPORTED_OPCODE),
        ("00 7f 0000", Result.UNSUPPORTED_OPCODE),
    ],
)
def test_what_is_no_request(octets: str, result: Result | None) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_request(bytes.fromhex(octets))
    assert caught.value.result is result


def test_reserved_octets_and_more_octets_are_ignored() -> None:
    data = bytes.fromhex("00 01 beef 1388 1770 00001c20 00000000")
    assert decode_request(data) == MapRequest(Transport.UDP, 5000, 6000, 7200)
    assert decode_request(b"\0\0\xff") == AddressRequest()


def test_an_unknown_version_is_answered_with_opcode_0() -> None:
    # 3.5 draws the answer: version 0, opcode 0, result 1, epoch.
    data = encode_refusal(b"\1\2", Result.UNSUPPORTED_VERSION, EPOCH)
    assert data == bytes.fromhex("00 00 0001 01020304")
    assert decode_response(data) == Refusal(0, Result.UNSUPPORTED_VERSION, EPOCH)


def test_an_unknown_opcode_gets_its_request_back() -> None:
    asked = bytes.fromhex("00 63 0000 00000000 cafe")
    data = encode_refusal(asked, Result.UNSUPPORTED_OPCODE, EPOCH)
    assert data == bytes.fromhex("00 e3 0005 01020304 cafe")
    short = encode_refusal(b"\0\x63", Result.UNSUPPORTED_OPCODE, EPOCH)
    assert short == bytes.fromhex("00 e3 0005 01020304")
    assert decode_response(short) == Refusal(0x63, Result.UNSUPPORTED_OPCODE, EPOCH)


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00 80 0000 010203",
        "00 80 0000 01020304 c00002",
        "00 81 0000 01020304 1388 1770 00001c",
        "00 01 0000 01020304 1388 1770 00001c20",
        "02 81 0000 01020304 1388 1770 00001c20",
    ],
)
def test_what_is_no_response(octets: str) -> None:
    with pytest.raises(MalformedResponse):
        decode_response(bytes.fromhex(octets))


@pytest.mark.parametrize(
    ("octets", "refusal"),
    [
        # Servers that answer errors with a header only.
        ("00 80 0003 01020304", Refusal(0, 3, EPOCH)),
        ("00 82 0002 01020304", Refusal(2, 2, EPOCH)),
        # Servers that set the top bit for an unknown version all the same.
        ("00 81 0001 01020304", Refusal(1, 1, EPOCH)),
    ],
)
def test_short_errors_are_understood(octets: str, refusal: Refusal) -> None:
    assert decode_response(bytes.fromhex(octets)) == refusal


def test_the_address_of_an_error_is_ignored() -> None:
    data = bytes.fromhex("00 80 0003 01020304 c0000207")
    response = decode_response(data)
    assert isinstance(response, AddressResponse)
    assert str(response.address) == "0.0.0.0"


@given(st.binary(max_size=40))
def test_any_octets_are_a_request_or_malformed(data: bytes) -> None:
    try:
        request = decode_request(data)
    except MalformedRequest:
        return
    encoded = encode_request(request)
    assert decode_request(encoded) == request
    assert data[: len(encoded)][:2] == encoded[:2]


@given(st.binary(max_size=40))
def test_any_octets_are_a_response_or_malformed(data: bytes) -> None:
    try:
        response = decode_response(data)
    except MalformedResponse:
        return
    if not isinstance(response, Refusal):
        assert decode_response(encode_response(response)) == response
