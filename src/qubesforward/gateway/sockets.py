# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets that are bound to one interface: nobody else's packets come in by them."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address

from qubesforward.portmap.datagram_server import SERVER_PORT
from qubesforward.portmap.ssdp import GROUP
from qubesforward.portmap.ssdp import PORT as SSDP_PORT

HTTP_PORT = 49000
"""Where this gateway tells of itself: `plan.serving.IGD_PORT` opens it."""

_BACKLOG = 16
_IPV6_RECVPKTINFO = 49
_IPV6_PKTINFO = 50
_IP_PKTINFO = 8
"""Of linux/in6.h and linux/in.h; Python does not name the last."""

_ANCILLARY = 64


@dataclass(frozen=True, slots=True)
class Peer:
    """Where a datagram came from, and what answers it must carry to look right.

    `ancillary` names the address that was asked, for `socket.sendmsg`.
    """

    address: str
    port: int
    scope: int
    ancillary: list[tuple[int, int, bytes]]


def open_portmap(device: str, family: int) -> socket.socket:
    """Return a socket for NAT-PMP and PCP on an interface. Raises OSError."""
    one = _open(device, family, socket.SOCK_DGRAM)
    try:
        if family == 6:
            one.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVPKTINFO, 1)
        else:
            one.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        one.bind(("", SERVER_PORT))
    except OSError:
        one.close()
        raise
    return one


def open_search(device: str, address: IPv4Address) -> socket.socket:
    """Return a socket for SSDP on an interface with this address. Raises OSError."""
    one = _open(device, 4, socket.SOCK_DGRAM)
    try:
        one.bind(("", SSDP_PORT))
        # By number: all interfaces to qubes below have the same address.
        index = socket.if_nametoindex(device)
        group = struct.pack("4s4si", GROUP.packed, address.packed, index)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        one.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, group)
    except OSError:
        one.close()
        raise
    return one


def open_web(device: str, address: IPv4Address) -> socket.socket:
    """Return a listening socket for UPnP's HTTP on an interface. Raises OSError."""
    one = _open(device, 4, socket.SOCK_STREAM)
    try:
        one.bind((str(address), HTTP_PORT))
        one.listen(_BACKLOG)
    except OSError:
        one.close()
        raise
    return one


def _open(device: str, family: int, kind: int) -> socket.socket:
    one = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
    try:
        one.setblocking(False)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == 6:
            one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        name = device.encode("ascii", "replace")
        one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, name)
    except OSError:
        one.close()
        raise
    return one


def receive(one: socket.socket, most: int) -> tuple[bytes, Peer] | None:
    """Return the next datagram; None if there is none. It is cut to `most` bytes."""
    try:
        data, ancillary, _flags, peer = one.recvmsg(most, _ANCILLARY)
    except OSError:
        return None
    scope = peer[3] if len(peer) > 3 else 0
    asked = [
        (level, kind, _answer_by(kind, info))
        for level, kind, info in ancillary
        if (level, kind)
        in (
            (socket.IPPROTO_IP, _IP_PKTINFO),
            (socket.IPPROTO_IPV6, _IPV6_PKTINFO),
        )
    ]
    return data, Peer(peer[0].partition("%")[0], peer[1], scope, asked)


def _answer_by(kind: int, info: bytes) -> bytes:
    if kind == _IPV6_PKTINFO:
        return info
    # struct in_pktinfo: the address for answers is its second field, ipi_spec_dst,
    # which the kernel has filled in; the destination may have been a group.
    return info[:12]


def send(one: socket.socket, data: bytes, peer: Peer, port: int) -> None:
    """Answer a peer at one of its ports; what does not go out is lost, as on a wire."""
    address: tuple[str, int] | tuple[str, int, int, int] = (peer.address, port)
    if one.family == socket.AF_INET6:
        address = (peer.address, port, 0, peer.scope)
    try:
        one.sendmsg([data], peer.ancillary, 0, address)
    except OSError:
        return
