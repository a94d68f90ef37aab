# SPDX-License-Identifier: GPL-2.0-or-later
"""SSDP: how programs find their router, and how a router says that it is there.

Source: UPnP Device Architecture 1.1, section 1 (Discovery).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from qubesforward.portmap.http_head import (
    END,
    Head,
    MalformedHead,
    parse_head,
    render_head,
)

GROUP = IPv4Address("239.255.255.250")
PORT = 1900

MAX_MESSAGE = 1400
"""Bytes of a search that is read: UDA 1.1 (1.3.2) wants it to fit into one packet."""

LONGEST_WAIT = 5
"""Seconds: a larger MX counts as this one (UDA 1.1, 1.3.3)."""

AGE = 1800
"""Seconds for which an announcement holds: the least that UDA 1.1 (1.2.2) allows."""

SERVER = "Linux/0 UPnP/1.1 qubes-network-qube/0"
"""Which versions run here is nobody's business; clients look at none of it."""

NEWEST = 2
"""The version of the gateway device that is announced; 1 is given to who asks for 1."""

_SCHEMA = "urn:schemas-upnp-org"
_TARGET = re.compile(rf"{_SCHEMA}:(device|service):([A-Za-z0-9]{{1,64}}):([1-9])")
_WAIT = re.compile(r"[0-9]{1,3}")

_DEVICES = ("InternetGatewayDevice", "WANDevice", "WANConnectionDevice")
"""Each in the one before; each has a UUID of its own."""

_SERVICES = {
    ("service", "WANIPConnection"): (2, 2),
    ("service", "WANCommonInterfaceConfig"): (1, 1),
    ("service", "Layer3Forwarding"): (1, 0),
}
_KINDS = {
    **{("device", name): (2, at) for at, name in enumerate(_DEVICES)},
    **_SERVICES,
}
"""What can be searched for: its highest version, and in which device it is."""


class MalformedSearch(Exception):
    """This is no search that must be answered; the only error of `parse_search`."""


@dataclass(frozen=True, slots=True)
class Search:
    """What somebody looks for, and the most seconds that answers may be held back."""

    untrusted_target: str
    wait: int


@dataclass(frozen=True, slots=True)
class Device:
    """The gateway as one client sees it: its UUID in text form, and its web server."""

    uuid: str
    address: IPv4Address
    http_port: int

    def part(self, at: int) -> str:
        """Return the UUID of a device in the gateway: 0 is the gateway itself."""
        return f"{self.uuid[:-2]}{(int(self.uuid[-2:], 16) + at) % 256:02x}"

    def location(self, version: int) -> str:
        """Return the URL of the description for this version of the gateway."""
        return f"http://{self.address}:{self.http_port}/{version}/gateway.xml"


def parse_search(untrusted_data: bytes, address: IPv4Address) -> Search:
    """Read an M-SEARCH that came to the group or to `address`, our own.

    Raises MalformedSearch for all that UDA 1.1 (1.3.3) says is to be ignored.
    """
    head = _parse_message(untrusted_data)
    if head.untrusted_start != "M-SEARCH * HTTP/1.1":
        raise MalformedSearch("not a search")
    if head.get("man") != '"ssdp:discover"':
        raise MalformedSearch("no MAN")
    untrusted_host, untrusted_wait = head.get("host"), head.get("mx")
    is_multicast = untrusted_host in (f"{GROUP}:{PORT}", str(GROUP))
    if not is_multicast and untrusted_host not in (f"{address}:{PORT}", str(address)):
        raise MalformedSearch("meant for somebody else")
    if is_multicast or untrusted_wait:
        if not _WAIT.fullmatch(untrusted_wait):
            raise MalformedSearch("no MX")
        wait = min(int(untrusted_wait), LONGEST_WAIT)
    else:
        wait = 0
    return Search(head.get("st"), wait)


def _parse_message(untrusted_data: bytes) -> Head:
    if len(untrusted_data) > MAX_MESSAGE:
        raise MalformedSearch("too long")
    # Some programs end their message with more empty lines than one.
    untrusted_head, end, untrusted_rest = untrusted_data.partition(END)
    if not end or untrusted_rest.strip(b"\r\n"):
        raise MalformedSearch("no end, or something after it")
    try:
        return parse_head(untrusted_head)
    except MalformedHead as error:
        raise MalformedSearch(str(error)) from None


def answer_search(search: Search, device: Device) -> list[bytes]:
    """Return the answers to a search; none when we are not what is looked for."""
    untrusted_target = search.untrusted_target
    everything = _list_targets(device)
    if untrusted_target == "ssdp:all":
        return [_render_answer(device, *each, NEWEST) for each in everything]
    for target, name in everything:
        # Clients that look for any root device know version 2 as well as 1.
        if target == untrusted_target and ":schemas-" not in target:
            return [_render_answer(device, target, name, NEWEST)]
    match = _TARGET.fullmatch(untrusted_target)
    version, at = _KINDS.get((match[1], match[2]), (0, 0)) if match else (0, 0)
    if match is None or int(match[3]) > version:
        return []
    # Whoever asks for a lower version gets that one: in the answer, as UDA 1.1 (1.3.3)
    # says, and in the description, because many programs compare types as text.
    name = f"uuid:{device.part(at)}::{match[0]}"
    return [_render_answer(device, match[0], name, int(match[3]))]


def _list_targets(device: Device) -> list[tuple[str, str]]:
    """Return what is announced: for each its target and its unique name."""
    targets = [("upnp:rootdevice", f"uuid:{device.uuid}::upnp:rootdevice")]
    for at in range(len(_DEVICES)):
        targets.append((f"uuid:{device.part(at)}", f"uuid:{device.part(at)}"))
    for (kind, name), (version, at) in _KINDS.items():
        target = f"{_SCHEMA}:{kind}:{name}:{version}"
        targets.append((target, f"uuid:{device.part(at)}::{target}"))
    return targets


def _render_answer(device: Device, target: str, name: str, version: int) -> bytes:
    fields = [
        ("CACHE-CONTROL", f"max-age={AGE}"),
        ("EXT", ""),
        ("LOCATION", device.location(version)),
        ("SERVER", SERVER),
        ("ST", target),
        ("USN", name),
        *_BOOT,
    ]
    return render_head("HTTP/1.1 200 OK", fields)


_BOOT = [("BOOTID.UPNP.ORG", "1"), ("CONFIGID.UPNP.ORG", "1")]
"""Each boot has its own UUID, and what it offers never changes."""


def render_alive(device: Device) -> list[bytes]:
    """Return the announcements to send to the group, one packet each."""
    fields = [
        ("CACHE-CONTROL", f"max-age={AGE}"),
        ("LOCATION", device.location(NEWEST)),
        ("SERVER", SERVER),
    ]
    return [
        _render_notify("ssdp:alive", *each, fields) for each in _list_targets(device)
    ]


def render_byebye(device: Device) -> list[bytes]:
    """Return what to send to the group when the gateway goes away."""
    return [_render_notify("ssdp:byebye", *each, []) for each in _list_targets(device)]


def _render_notify(
    kind: str, target: str, name: str, fields: list[tuple[str, str]]
) -> bytes:
    common = [("HOST", f"{GROUP}:{PORT}"), ("NT", target), ("NTS", kind)]
    start = "NOTIFY * HTTP/1.1"
    return render_head(start, [*common, *fields, ("USN", name), *_BOOT])
