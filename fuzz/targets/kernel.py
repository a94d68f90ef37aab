# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers and notices of the kernel, as the agent reads them.

The kernel is no enemy, but names and addresses in what it says come from the packets
and programs of others, and another kernel may say more than this one.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from fuzz.target import Target
from qubesforward.agent.flow_wire import decode_flow, encode_flow_deletion
from qubesforward.agent.route_wire import (
    decode_address,
    decode_default_route,
    decode_link,
    decode_route_link,
    decode_rule_mark,
)
from qubesforward.errors import MalformedMessage
from qubesforward.nft.elements_wire import (
    Counter,
    Element,
    decode_elements,
    encode_batch,
    encode_nfnetlink,
)
from qubesforward.nft.netlink_wire import (
    decode_messages,
    encode_attribute,
    encode_message,
    encode_nested,
    encode_text,
)
from qubesforward.nft.readback import (
    decode_generation,
    decode_rule,
    decode_table_flags,
    decode_table_name,
)

_ELEMENT = Element(
    "live", b"\x10\0\0\1", b"\x10\0\0\2", b"\0\0\1\xbb", 60.0, Counter(3, 180)
)
_BATCH = encode_batch("qubes-forward", [_ELEMENT], [_ELEMENT], 0.0)[0]
_LISTED = next(
    message.payload for message in decode_messages(_BATCH) if len(message.payload) > 60
)
_SIDE = encode_nested(
    1, encode_attribute(1, bytes(4)), encode_attribute(2, b"\x0a\x89\0\5")
) + encode_nested(
    2,
    encode_attribute(1, b"\6"),
    encode_attribute(2, b"\x01\xbb"),
    encode_attribute(3, b"\x20\xfb"),
)
_FLOW = encode_nfnetlink(
    2,
    encode_attribute(0x8001, _SIDE),
    encode_attribute(0x8002, _SIDE),
    encode_attribute(8, b"\x10\0\0\1"),
    encode_attribute(12, b"\0\0\0\7"),
)
_RULE = encode_nfnetlink(
    1,
    encode_text(1, "qubes"),
    encode_text(2, "custom-forward"),
    encode_attribute(3, bytes(7) + b"\5"),
    encode_attribute(7, b"\0\7qubes-\0"),
)
_LINK = struct.pack("=BxHiII", 0, 1, 3, 0, 0) + b"".join(
    (
        encode_text(3, "vif7.0"),
        encode_attribute(27, struct.pack("=I", 2)),
        encode_nested(18, encode_text(1, "wireguard")),
    )
)
_ADDRESS = (
    struct.pack("=BBBBI", 2, 24, 0, 0, 3)
    + encode_attribute(1, b"\xc0\xa8\1\x0a")
    + encode_attribute(8, bytes(4))
)
_ROUTE = struct.pack("=BBBBBBBBI", 2, 0, 0, 0, 254, 0, 0, 1, 0) + b"".join(
    (
        encode_attribute(4, struct.pack("=I", 3)),
        encode_attribute(5, b"\xc0\xa8\1\1"),
        encode_attribute(10, struct.pack("=I", 7)),
    )
)


def _decode_messages(data: bytes) -> str:
    messages = list(decode_messages(data))
    assert sum(16 + len(message.payload) for message in messages) <= len(data)
    return f"{len(messages)}"


def _decode_elements(data: bytes) -> str:
    shapes = {
        (bool(e.end), bool(e.data), e.until is None, e.counter is None)
        for e in decode_elements(data, 0.0)
    }
    return f"{shapes}"


def _decode_rule(data: bytes) -> str:
    decode_table_flags(data)
    decode_table_name(data)
    rule = decode_rule(data)
    return f"{bool(rule.chain)} {bool(rule.comment)} {decode_generation(data) > 0}"


def _decode_flow(data: bytes) -> str:
    flow = decode_flow(data)
    encode_flow_deletion(flow)
    return f"{flow.family} {len(flow.original.src)} {len(flow.reply.dst)}"


def _any_of(*decoders: Callable[[bytes], object]) -> Callable[[bytes], str]:
    def decode(data: bytes) -> str:
        if not data:
            return ""
        found = decoders[data[0] % len(decoders)](data[1:])
        return f"{data[0] % len(decoders)} {found is None}"

    return decode


TARGETS = (
    Target(
        "netlink-messages",
        _decode_messages,
        (MalformedMessage,),
        (_BATCH, encode_message(2, 0, 1, struct.pack("=i", -17) + bytes(16))),
    ),
    Target("netlink-elements", _decode_elements, (MalformedMessage,), (_LISTED,)),
    Target("netlink-rule", _decode_rule, (MalformedMessage,), (_RULE,)),
    Target("netlink-flow", _decode_flow, (MalformedMessage,), (_FLOW,)),
    Target(
        "netlink-route",
        _any_of(
            decode_link,
            decode_address,
            decode_default_route,
            decode_route_link,
            decode_rule_mark,
        ),
        (MalformedMessage,),
        (
            b"\0" + _LINK,
            b"\1" + _ADDRESS,
            b"\2" + _ROUTE,
            b"\3" + _ROUTE,
            b"\4" + _ROUTE,
        ),
    ),
)
