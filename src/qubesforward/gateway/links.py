# SPDX-License-Identifier: GPL-2.0-or-later
"""By which interface a client is reached, and the router outside.

Read from ``/proc/net`` and by ioctl, which needs no capability and no other package.
"""

from __future__ import annotations

import fcntl
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

_ROUTES4 = Path("/proc/net/route")
_ROUTES6 = Path("/proc/net/ipv6_route")

_SIOCGIFADDR = 0x8915
"""ioctl of netdevice(7)."""

_DOWNSTREAM = "vif"
"""How Qubes names the interface that leads to a qube below: ``vif`` and its domain."""

_GROUPS = 0x1 | 0x10 | 0x40 | 0x400
"""RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE and _IPV6_ROUTE of linux/rtnetlink.h."""

_UP, _GATEWAY, _HOST = 1, 2, 4
"""RTF_UP, RTF_GATEWAY, RTF_HOST."""

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Router:
    """The router outside, the interface towards it, and our own address there."""

    device: str
    address: IPv4Address
    own: IPv4Address | None = None


def find_device(client: Address) -> str | None:
    """Return the interface that leads to a client below, if there is one.

    Never the uplink, or a tunnel: whoever is there may announce a route to any address
    (DHCP has an option for that), and would be served in the client's place.
    """
    routes = _host_routes4() if client.version == 4 else _host_routes6()
    for address, device in routes:
        if address == client and is_downstream(device):
            return device
    return None


def find_uplink(client: Address) -> str | None:
    """Return the interface of the default route, for a client that comes from there."""
    if client.version == 6:
        return next((d for d in _default_devices6()), None)
    router = find_router()
    return None if router is None else router.device


def find_router() -> Router | None:
    """Return the router of the default route of IPv4, if there is one."""
    for words in _read_table(_ROUTES4):
        flags = int(words[3], 16)
        is_default = words[1] == "00000000" and words[7] == "00000000"
        if is_default and flags & _UP and flags & _GATEWAY:
            return Router(words[0], _decode4(words[2]), find_address(words[0]))
    return None


def open_changes() -> socket.socket:
    """Return a socket that can be read whenever links, addresses or routes change.

    See rtnetlink(7). Raises OSError.
    """
    one = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    try:
        one.setblocking(False)
        one.bind((0, _GROUPS))
    except OSError:
        one.close()
        raise
    return one


def find_index(device: str) -> int:
    """Return the number of an interface, 0 if there is none of the name.

    A socket is bound to the number: an interface that is made again has another one.
    """
    try:
        return socket.if_nametoindex(device)
    except OSError:
        return 0


def is_downstream(device: str) -> bool:
    """Whether an interface leads to a qube below."""
    return device.startswith(_DOWNSTREAM)


def find_address(device: str) -> IPv4Address | None:
    """Return the IPv4 address of an interface, if it has one."""
    request = struct.pack("16s16x8x", device.encode("ascii", "replace")[:15])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        try:
            answer = fcntl.ioctl(one, _SIOCGIFADDR, request)
        except OSError:
            return None
    return IPv4Address(answer[20:24])


def _host_routes4() -> Iterator[tuple[Address, str]]:
    for words in _read_table(_ROUTES4):
        if words[7] == "FFFFFFFF" and int(words[3], 16) & _UP:
            yield _decode4(words[1]), words[0]


def _host_routes6() -> Iterator[tuple[Address, str]]:
    for words in _read_table(_ROUTES6, header=False):
        if words[1] == "80" and int(words[8], 16) & _UP and words[9] != "lo":
            yield IPv6Address(bytes.fromhex(words[0])), words[9]


def _default_devices6() -> Iterator[str]:
    for words in _read_table(_ROUTES6, header=False):
        if words[1] == "00" and words[9] != "lo" and int(words[8], 16) & _GATEWAY:
            yield words[9]


def _read_table(path: Path, *, header: bool = True) -> Iterator[list[str]]:
    try:
        lines = path.read_text("ascii").splitlines()
    except OSError:
        return
    for line in lines[1:] if header else lines:
        yield line.split()


def _decode4(text: str) -> IPv4Address:
    # The kernel prints the word as this machine holds it.
    return IPv4Address(struct.pack("=I", int(text, 16)))
