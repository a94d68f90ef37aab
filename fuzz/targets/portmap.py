# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams of NAT-PMP and PCP, from a client below and from the router above."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

from fuzz.target import Target
from qubesforward.portmap import natpmp_wire, pcp_wire
from qubesforward.portmap.datagram_client import DatagramClient
from qubesforward.portmap.datagram_server import DatagramServer
from qubesforward.portmap.errors import MalformedRequest, MalformedResponse
from qubesforward.portmap.mapping import Key, Transport
from qubesforward.portmap.pcp_options import encode_option, encode_options
from qubesforward.portmap.table import Asked, Limits, Settled, Table
from qubesforward.portmap.waiting import MOST

_CLIENT = ip_address("10.137.0.20")
_ROUTER = ip_address("10.137.0.1")
_OUTSIDE = ip_address("192.168.1.10")
_SOURCE = pcp_wire.pack_address(_CLIENT)
_NONCE = bytes(range(12))
_FILTERS = frozenset({ip_network("198.51.100.0/24"), ip_network("192.0.2.9/32")})
_MAP = pcp_wire.encode_map_request(
    pcp_wire.MapRequest(7200, _NONCE, 6, 8080, 443, _OUTSIDE), _CLIENT
)
_NATPMP_MAP = natpmp_wire.encode_request(
    natpmp_wire.MapRequest(Transport.UDP, 8080, 443, 7200)
)
_REQUESTS = (
    _MAP,
    _MAP + encode_options(exact=True, filters=_FILTERS),
    _MAP + encode_option(1, _SOURCE) + encode_option(128, b"x"),
    pcp_wire.encode_announce_request(_CLIENT),
    natpmp_wire.encode_request(natpmp_wire.AddressRequest()),
    _NATPMP_MAP,
)
_RESPONSES = (
    b"\0\x80\0\0\0\0\0\7\xc0\0\2\7",
    b"\0\x81\0\0\0\0\0\7\x1f\x90\1\xbb\0\0\x1c\x20",
    pcp_wire.encode_announcement(7),
    pcp_wire.encode_map_response(
        pcp_wire.MapResponse(0, 3600, 7, _NONCE, 6, 8080, 443, _OUTSIDE)
    ),
)
_ANSWERS = (
    b"\0\0\0\1\0\0\0\7",
    b"\1\x81\0\1",
    b"\0\x82\0\2\0\0\0\7\x1f\x90" + bytes(6),
    pcp_wire.encode_announcement(0),
)
_WORDS = (
    b"\0\0",
    b"\0\2",
    b"\2\1\0\0",
    b"\1\0\0\x10" + _SOURCE,
    encode_options(exact=True, filters=None),
    encode_options(exact=False, filters=_FILTERS),
    encode_option(0x80, b"y"),
)


def _decode_pcp_request(data: bytes) -> str:
    request = pcp_wire.decode_request(data, _SOURCE)
    if isinstance(request, pcp_wire.AnnounceRequest):
        return "announce"
    options = request.options
    assert len(options.processed) + 60 <= len(data) <= pcp_wire.LONGEST
    assert request.lifetime or not options.processed
    return f"{request.protocol in (6, 17)} {options.exact} {len(options.filters)}"


def _decode_natpmp_request(data: bytes) -> str:
    request = natpmp_wire.decode_request(data)
    encoded = natpmp_wire.encode_request(request)
    assert natpmp_wire.decode_request(encoded) == request
    return type(request).__name__


def _decode_response(data: bytes) -> str:
    if data[:1] == b"\0":
        answer = natpmp_wire.decode_response(data)
        return f"{type(answer).__name__} {min(answer.result, 7)}"
    response = pcp_wire.decode_response(data)
    return f"{type(response).__name__} {min(response.result, 15)}"


def _serve(data: bytes) -> str:
    """Serve a client that sends several datagrams, each behind its length."""
    table = Table(Limits(mappings=8, pending=4))
    server = DatagramServer(table, _CLIENT, 0.0)
    server.set_outside(_OUTSIDE, 0.0)
    shape = []
    offset, now = 0, 0.0
    while offset + 2 <= len(data) and now < 20:
        (length,) = struct.unpack_from(">H", data, offset)
        packet = data[offset + 2 : offset + 2 + length]
        offset, now = offset + 2 + length, now + 1.0
        answers = server.receive_datagram(packet, 4000, now)
        for event in table.take_events():
            if isinstance(event, Asked):
                table.grant(event.wish.key, 50000 + int(now), 600, now)
                shape.append(f"asked {event.renews}")
        for event in table.take_events():
            if isinstance(event, Settled):
                answers += server.settle(event.key, now)
        assert len(answers) <= 1
        shape += [f"{answer[:4].hex()} {len(answer) // 8}" for answer, _ in answers]
        assert all(len(answer) <= pcp_wire.LONGEST for answer, _ in answers)
    assert len(table.list_open()) <= 8
    assert server.waiting <= 2 * MOST
    return " ".join(shape)


def _ask_router(data: bytes) -> str:
    """Ask a router that sends several datagrams, each behind its length."""
    client = DatagramClient(_ROUTER, _CLIENT, lambda: 0.5)
    client.start(Key(Transport.TCP, 8080), 443, 7200, _NONCE, 0.0)
    client.start(Key(Transport.UDP, 8080), 443, 7200, _NONCE, 0.0)
    shape = []
    offset, now = 0, 0.0
    while offset + 2 <= len(data) and now < 20:
        (length,) = struct.unpack_from(">H", data, offset)
        packet = data[offset + 2 : offset + 2 + length]
        offset, now = offset + 2 + length, now + 1.0
        client.receive_datagram(packet, _ROUTER, 5351, now)
        client.handle_timer(now)
        timer = client.get_timer()
        assert timer is not None
        assert timer > now
        sent = client.datagrams_to_send()
        assert len(sent) <= 3
        while event := client.next_event():
            shape.append(type(event).__name__)
        shape.append(f"{client.via} {len(sent)}")
    return " ".join(shape)


def _framed(*packets: bytes) -> bytes:
    return b"".join(struct.pack(">H", len(packet)) + packet for packet in packets)


TARGETS = (
    Target(
        "pcp-request", _decode_pcp_request, (MalformedRequest,), _REQUESTS[:4], _WORDS
    ),
    Target(
        "natpmp-request", _decode_natpmp_request, (MalformedRequest,), _REQUESTS[4:]
    ),
    Target("portmap-response", _decode_response, (MalformedResponse,), _RESPONSES),
    Target("portmap-client", _ask_router, (), (_framed(*_RESPONSES),), _ANSWERS),
    Target(
        "portmap-server",
        _serve,
        (),
        (_framed(*_REQUESTS), _framed(_MAP, _MAP, _NATPMP_MAP, _NATPMP_MAP)),
        _WORDS,
    ),
)
