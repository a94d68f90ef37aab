# SPDX-License-Identifier: GPL-2.0-or-later
"""PCP's octets, laid out by hand from the figures of RFC 6887."""

from __future__ import annotations

from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.errors import MalformedRequest, MalformedResponse
from qubesforward.portmap.mapping import Network
from qubesforward.portmap.pcp_options import (
    Options,
    decode_options,
    encode_option,
    encode_options,
)
from qubesforward.portmap.pcp_result import Result, error_lifetime
from qubesforward.portmap.pcp_wire import (
    AnnounceRequest,
    MapRequest,
    MapResponse,
    Response,
    decode_request,
    decode_response,
    encode_announce_request,
    encode_announcement,
    encode_error,
    encode_map_request,
    encode_map_response,
    pack_address,
)

CLIENT = ip_address("10.137.0.20")
SOURCE = pack_address(CLIENT)
OTHER = pack_address(ip_address("10.137.0.21"))
NONCE = bytes(range(12))

# 7.1: version, R and opcode, reserved; lifetime; the client's address (section 5).
HEADER = "02 01 0000 00001c20 00000000000000000000ffff 0a890014"
# 11.1: nonce; protocol, reserved; internal and suggested port; suggested address.
FIELDS = (
    "000102030405060708090a0b 06 000000 1f90 01bb 00000000000000000000ffff c0000207"
)
MAP = bytes.fromhex(HEADER + FIELDS)
REQUEST = MapRequest(7200, NONCE, 6, 8080, 443, ip_address("192.0.2.7"))

# 13.2: code, reserved, length.
PREFER_FAILURE = bytes.fromhex("02 00 0000")
# 13.3: code, reserved, length; reserved, prefix length, port; address.
FILTER = bytes.fromhex("03 00 0014 00 78 0000 00000000000000000000ffff c6336400")
NO_FILTER = bytes.fromhex("03 00 0014 00 00 0000 00000000000000000000000000000000")
# 13.1.
THIRD_PARTY = bytes.fromhex("01 00 0010 00000000000000000000ffff 0a890015")
OPTIONAL = bytes.fromhex("80 00 0003 aabbcc00")


def _mapped(data: bytes) -> MapRequest:
    request = decode_request(data, SOURCE)
    assert isinstance(request, MapRequest)
    return request


def test_a_request_is_as_the_rfc_draws_it() -> None:
    assert encode_map_request(REQUEST, CLIENT) == MAP
    assert decode_request(MAP, SOURCE) == REQUEST


def test_an_ipv6_client_has_all_its_bits() -> None:
    client = ip_address("fd09::14")
    data = encode_map_request(REQUEST, client)
    assert data[8:24] == client.packed
    assert decode_request(data, client.packed) == REQUEST


def test_an_announcement_is_a_bare_header() -> None:
    # 7.2: version, R and opcode, reserved, result; lifetime; epoch; reserved.
    answer = encode_announcement(0x01020304)
    assert answer == bytes.fromhex("02 80 00 00 00000000 01020304") + bytes(12)
    asked = encode_announce_request(CLIENT)
    assert asked == bytes.fromhex("02 00 0000 00000000") + SOURCE
    assert decode_request(asked, SOURCE) == AnnounceRequest()
    assert decode_response(answer) == Response(2, 0, 0, 0, 0x01020304)


def test_a_response_is_as_the_rfc_draws_it() -> None:
    response = MapResponse(
        0, 3600, 0x01020304, NONCE, 6, 8080, 443, ip_address("192.0.2.7")
    )
    data = encode_map_response(response, PREFER_FAILURE)
    header = "02 81 00 00 00000e10 01020304 000000000000000000000000"
    assert data == bytes.fromhex(header + FIELDS) + PREFER_FAILURE
    assert decode_response(data) == response


def test_reserved_fields_are_ignored() -> None:
    data = bytearray(MAP + PREFER_FAILURE + FILTER)
    for offset in (2, 3, 37, 38, 39, 61, 65, 68):
        data[offset] = 0xFF
    request = _mapped(bytes(data))
    assert request[:6] == REQUEST[:6]
    assert request.options.filters == {ip_network("198.51.100.0/24")}


@pytest.mark.parametrize(
    ("data", "result"),
    [
        (b"", None),
        (b"\2", None),
        # 8.2: the R bit is looked at before the version.
        (b"\2\x81" + MAP[2:], None),
        (b"\7\x81" + MAP[2:], None),
        # ... and the version before the length.
        (b"\1\1", Result.UNSUPP_VERSION),
        (b"\0\1" + MAP[2:], Result.UNSUPP_VERSION),
        (b"\3\1" + MAP[2:], Result.UNSUPP_VERSION),
        (MAP[:2], None),
        (MAP[:20], None),
        (MAP[:23], None),
        (MAP[:24], Result.MALFORMED_REQUEST),
        (MAP[:56], Result.MALFORMED_REQUEST),
        (MAP[:59], Result.MALFORMED_REQUEST),
        (MAP + b"\0", Result.MALFORMED_REQUEST),
        (MAP + bytes(1044), Result.MALFORMED_REQUEST),
        # 8.2: the length before the address, the address before the opcode.
        (b"\2\2" + MAP[2:8] + OTHER + bytes(52), Result.MALFORMED_REQUEST),
        (b"\2\2" + MAP[2:8] + OTHER + bytes(56), Result.ADDRESS_MISMATCH),
        (b"\2\2" + MAP[2:8] + SOURCE + bytes(56), Result.UNSUPP_OPCODE),
        (b"\2\3" + MAP[2:24], Result.UNSUPP_OPCODE),
        (b"\2\x7f" + MAP[2:], Result.UNSUPP_OPCODE),
        (MAP[:8] + OTHER + MAP[24:] + THIRD_PARTY, Result.ADDRESS_MISMATCH),
        # An IPv4 address that is not written as section 5 wants it.
        (MAP[:8] + bytes(12) + CLIENT.packed + MAP[24:], Result.ADDRESS_MISMATCH),
        # 11.3: a port of all protocols.
        (MAP[:36] + b"\0" + MAP[37:], Result.MALFORMED_REQUEST),
        # 7.3 and 13.
        (MAP + THIRD_PARTY, Result.UNSUPP_OPTION),
        (MAP + encode_option(4, b""), Result.UNSUPP_OPTION),
        (MAP + bytes(4), Result.UNSUPP_OPTION),
        (MAP + encode_option(127, b"x"), Result.UNSUPP_OPTION),
        (MAP + bytes.fromhex("02 00 0004"), Result.MALFORMED_OPTION),
        (MAP + bytes.fromhex("80 00 ffff 00000000"), Result.MALFORMED_OPTION),
        # The structure of all options comes before the meaning of any.
        (MAP + THIRD_PARTY + b"\x80\0\0\x05", Result.MALFORMED_OPTION),
        (MAP + PREFER_FAILURE * 2, Result.MALFORMED_OPTION),
        (MAP + encode_option(2, b"\0"), Result.MALFORMED_OPTION),
        (MAP[:42] + bytes(2) + MAP[44:] + PREFER_FAILURE, Result.MALFORMED_OPTION),
        (MAP + encode_option(3, bytes(16)), Result.MALFORMED_OPTION),
        (MAP + encode_option(3, bytes(24)), Result.MALFORMED_OPTION),
        (MAP + FILTER[:5] + b"\x5f" + FILTER[6:], Result.MALFORMED_OPTION),
        (MAP + FILTER[:5] + b"\x81" + FILTER[6:], Result.MALFORMED_OPTION),
        (MAP + FILTER[:6] + b"\0\x50" + FILTER[8:], Result.EXCESSIVE_REMOTE_PEERS),
        # In a deletion: 11.3, 13.3.
        (MAP[:4] + bytes(4) + MAP[8:] + PREFER_FAILURE, Result.MALFORMED_OPTION),
        (MAP[:4] + bytes(4) + MAP[8:] + FILTER, Result.MALFORMED_OPTION),
        (MAP[:4] + bytes(4) + MAP[8:] + THIRD_PARTY, Result.UNSUPP_OPTION),
        # Where no mapping is asked for.
        (b"\2\0" + MAP[2:24] + FILTER, Result.MALFORMED_OPTION),
        (b"\2\0" + MAP[2:24] + encode_option(9, b""), Result.UNSUPP_OPTION),
    ],
)
def test_what_is_no_request(data: bytes, result: Result | None) -> None:
    with pytest.raises(MalformedRequest) as caught:
        decode_request(data, SOURCE)
    assert caught.value.result is result


@pytest.mark.parametrize(
    ("octets", "network"),
    [
        ("78 0000 00000000000000000000ffff c6336400", "198.51.100.0/24"),
        ("80 0000 00000000000000000000ffff c6336407", "198.51.100.7/32"),
        # 13.3: 96 bits and the prefix of IPv4; bits behind it do not count.
        ("60 0000 00000000000000000000ffff c6336407", "0.0.0.0/0"),
        ("78 0000 00000000000000000000ffff c6336407", "198.51.100.0/24"),
        ("40 0000 20010db8000000010000000000000009", "2001:db8:0:1::/64"),
        ("01 0000 80000000000000000000000000000000", "8000::/1"),
    ],
)
def test_filters_are_networks(octets: str, network: str) -> None:
    option = encode_option(3, bytes.fromhex("00" + octets))
    assert _mapped(MAP + option).options.filters == {ip_network(network)}


def test_options_are_taken_in_their_order() -> None:
    second = encode_option(3, bytes.fromhex("00 80 0000" + SOURCE.hex()))
    options = _mapped(MAP + FILTER + NO_FILTER + second).options
    assert options.clears
    assert options.filters == {ip_network("10.137.0.20/32")}
    assert _mapped(MAP + FILTER + NO_FILTER).options.filters == frozenset()
    assert not _mapped(MAP + FILTER + second).options.clears


def test_optional_options_are_not_among_the_processed() -> None:
    data = MAP + OPTIONAL + FILTER + OPTIONAL + PREFER_FAILURE
    options = _mapped(data).options
    assert options.exact
    assert options.processed == FILTER + PREFER_FAILURE
    asked = decode_request(b"\2\0" + MAP[2:24] + OPTIONAL, SOURCE)
    assert asked == AnnounceRequest()


def test_options_are_encoded_as_they_are_decoded() -> None:
    networks: list[Network] = [ip_network("198.51.100.0/24"), ip_network("fd09::/64")]
    for filters in (None, frozenset[Network](), frozenset(networks)):
        data = encode_options(exact=True, filters=filters)
        decoded = decode_options(data, may_shape=True, has_port=True)
        assert decoded == Options(
            True, filters is not None, filters or frozenset(), data
        )
    assert encode_options(exact=False, filters=None) == b""


# 8.2 and 7.2: a copy of the request with R, result, lifetime and epoch; the reserved
# field is what was there if the request was not understood, and else zero.
def test_an_error_is_a_copy_of_the_request() -> None:
    answer = encode_error(MAP, 4, 1800, 9, is_parsed=False)
    head = bytes.fromhex("02 81 00 04 00000708 00000009")
    assert answer == head + MAP[12:]
    answer = encode_error(MAP, 8, 30, 9, is_parsed=True)
    head = bytes.fromhex("02 81 00 08 0000001e 00000009") + bytes(12)
    assert answer == head + MAP[24:]


@pytest.mark.parametrize(
    ("length", "answered"), [(2, 24), (24, 24), (61, 64), (1100, 1100), (2000, 1100)]
)
def test_an_error_is_padded_and_cut(length: int, answered: int) -> None:
    data = (MAP + b"\xff" * 2000)[:length]
    answer = encode_error(data, 3, 1800, 9, is_parsed=False)
    assert len(answer) == answered
    expected = data[24:1100]
    assert answer[24:] == expected + bytes(answered - 24 - len(expected))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\2\x80\0",
        MAP,
        b"\2\x81" + bytes(20),
        b"\2\x81" + bytes(57),
        b"\2\x81" + bytes(1102),
        b"\2\x81" + bytes(54),
        b"\3\x81" + bytes(58),
    ],
)
def test_what_is_no_response(data: bytes) -> None:
    with pytest.raises(MalformedResponse):
        decode_response(data)


def test_another_version_is_understood_whatever_follows() -> None:
    # Section 9; the second is of a server of NAT-PMP that sets the top bit.
    assert decode_response(b"\1\x81\0\1") == Response(1, 1, 1, 0, 0)
    assert decode_response(b"\0\x80\0\1\0\0\0\7") == Response(0, 0, 1, 0, 0)


def test_errors_are_long_or_short_lived() -> None:
    short = {7, 8, 10, 11}
    for result in Result:
        assert error_lifetime(result) == (30 if result in short else 1800)


@given(st.binary(max_size=120), st.booleans())
def test_any_octets_are_a_request_or_malformed(data: bytes, is_close: bool) -> None:
    if is_close:
        data = MAP + data
    try:
        request = decode_request(data, SOURCE)
    except MalformedRequest:
        return
    if isinstance(request, MapRequest):
        options = request.options.processed
        again = encode_map_request(request, CLIENT, options)
        assert decode_request(again, SOURCE) == request


@given(st.binary(max_size=120))
def test_any_octets_are_a_response_or_malformed(data: bytes) -> None:
    try:
        response = decode_response(b"\2\x81" + data)
    except MalformedResponse:
        return
    if isinstance(response, MapResponse):
        assert decode_response(encode_map_response(response)) == response


def test_zero_addresses_mean_any() -> None:
    no_v6 = _mapped(MAP[:44] + bytes(16))
    no_v4 = _mapped(MAP[:44] + pack_address(IPv4Address(0)))
    assert int(no_v6.address) == int(no_v4.address) == 0
