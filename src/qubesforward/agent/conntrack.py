# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends tracked connections of forwards that are closed.

A mark that is not live any more stops every packet of its connections, so what is
left is to clear away their entries: a client that keeps its port would else never
get through to the forward that comes after.

An entry must not just be deleted. Conntrack takes up TCP in mid-stream, so whatever
the target still sends would make a new entry, as its own outgoing connection, and
with equal inner and outer ports the client's packets would match that: the closed
connection would go on. Therefore the flow is first noted in the set ``severed``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable

from qubesforward.agent.flow_wire import (
    DELETE_FLOW,
    GET_FLOWS,
    Side,
    TrackedFlow,
    decode_flow,
    encode_flow_deletion,
    encode_flow_request,
)
from qubesforward.agent.netlink import NETLINK_NETFILTER, NetlinkSocket
from qubesforward.nft.elements_wire import Element
from qubesforward.nft.layout import SELF, TAG, TAG_MASK

SEVERED_FOR = 600
"""Seconds; see the layout."""

_FEW = 4
"""Marks up to which it is worth to ask the kernel for one after the other."""

_ALL_BITS = 0xFFFFFFFF
_PROTO = struct.Struct(">B3x")
_PORT = struct.Struct(">H2x")


class Conntrack:
    """The connections that this network namespace tracks."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def find_dead(
        self, is_live: Callable[[int], bool], closed: Collection[int] | None
    ) -> list[TrackedFlow]:
        """Return the connections of forwards whose mark is not live.

        `closed` are the marks that were closed; None if it is not known which.
        Connections of a target (`SELF`) are left: they live and die with its doors.
        """
        if closed is not None and len(closed) <= _FEW:
            filters = [(mark, _ALL_BITS) for mark in closed]
        else:
            filters = [(TAG, TAG_MASK)]
        return [
            flow
            for mark, mask in filters
            for flow in self._list(mark, mask)
            if flow.mark != SELF and not is_live(flow.mark)
        ]

    def delete(self, flows: Iterable[TrackedFlow]) -> None:
        """Forget connections; some may be gone by themselves."""
        self._socket.tell_all(DELETE_FLOW, map(encode_flow_deletion, flows))

    def _list(self, mark: int, mask: int) -> Iterable[TrackedFlow]:
        request = encode_flow_request(0, mark, mask)
        for answer in self._socket.dump(GET_FLOWS, request, "connections"):
            yield decode_flow(answer)


def severed_element(flow: TrackedFlow, now: float) -> Element:
    """Return the element that keeps a flow's target from taking it up again."""
    reply: Side = flow.reply
    key = (
        _PROTO.pack(reply.proto)
        + reply.src
        + _PORT.pack(reply.src_port)
        + reply.dst
        + _PORT.pack(reply.dst_port)
    )
    return Element(f"severed{flow.family}", key, until=now + SEVERED_FOR)
