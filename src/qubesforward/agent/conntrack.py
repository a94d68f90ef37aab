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
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from qubesforward.agent.flow_wire import (
    DELETE_FLOW,
    GET_FLOWS,
    Side,
    TrackedFlow,
    decode_flow,
    encode_flow_deletion,
    encode_flow_request,
    encode_protocol_request,
    find_ports,
)
from qubesforward.agent.netlink import NETLINK_NETFILTER, NetlinkSocket
from qubesforward.model.entry import Entry
from qubesforward.model.rule import Proto
from qubesforward.nft.elements_wire import Element
from qubesforward.nft.marks import DOOR_MARKS, TAG, TAG_MASK

SEVERED_FOR = 600
"""Seconds; see the layout."""

_FEW = 4
"""Marks up to which it is worth to ask the kernel for one after the other."""

_UDP = 17

_Sender = tuple[bytes, int]
"""Packed address and port of who sends."""

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
        Connections of doors are left: they live and die with them.
        """
        if closed is not None and len(closed) <= _FEW:
            filters = [(mark, _ALL_BITS) for mark in closed]
        else:
            filters = [(TAG, TAG_MASK)]
        return [
            flow
            for mark, mask in filters
            for flow in self._list(mark, mask)
            if flow.mark not in DOOR_MARKS and not is_live(flow.mark)
        ]

    def find_strays(self, mapped: Iterable[Entry]) -> list[TrackedFlow]:
        """Return what leaves by another port than mappings say, or by one of theirs.

        Of UDP only: a program that looked around before it asked for its mapping
        would keep the old port for as long as it goes on sending, and one that has
        an outer port by chance, or had it mapped before, would be in the way. A TCP
        connection would be broken by another port.
        """
        outer: dict[int, dict[_Sender, int]] = {4: {}, 6: {}}
        for entry in mapped:
            if entry.proto is Proto.UDP and entry.to and entry.toports:
                sender = entry.to.packed, entry.toports.first
                outer[entry.family][sender] = entry.ports.first
        return [
            flow
            for family, ports in outer.items()
            if ports
            for flow in self._list_near(family, ports)
            if _is_astray(flow, ports)
        ]

    def delete(self, flows: Iterable[TrackedFlow]) -> None:
        """Forget connections; some may be gone by themselves."""
        self._socket.tell_all(DELETE_FLOW, map(encode_flow_deletion, flows))

    def _list_near(
        self, family: int, ports: Mapping[_Sender, int]
    ) -> Iterator[TrackedFlow]:
        # The kernel takes as long to look for one port as for all of them.
        near = {port for _address, port in ports} | set(ports.values())
        request = encode_protocol_request(family, _UDP)
        for answer in self._socket.dump(GET_FLOWS, request, "connections"):
            if not near.isdisjoint(find_ports(answer)):
                yield decode_flow(answer)

    def _list(self, mark: int, mask: int) -> Iterator[TrackedFlow]:
        request = encode_flow_request(0, mark, mask)
        for answer in self._socket.dump(GET_FLOWS, request, "connections"):
            yield decode_flow(answer)


def _is_astray(flow: TrackedFlow, ports: Mapping[_Sender, int]) -> bool:
    sent, back = flow.original, flow.reply
    # What went to another qube below, or comes from this one, was not translated.
    if sent.proto != _UDP or back.dst == sent.src or flow.mark & TAG_MASK == TAG:
        return False
    outer = ports.get((sent.src, sent.src_port))
    if outer is None:
        return back.dst_port in ports.values()
    return back.dst_port != outer


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
