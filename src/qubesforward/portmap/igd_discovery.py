# SPDX-License-Identifier: GPL-2.0-or-later
"""How the LAN's router is found, and where it takes calls; all of it is untrusted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

from qubesforward.portmap.http_client import Url, parse_url
from qubesforward.portmap.http_head import END, MalformedHead, parse_head, render_head
from qubesforward.portmap.ssdp import GROUP, PORT
from qubesforward.portmap.xml_reader import Element, MalformedXml, parse_xml

WAIT = 2
"""Seconds that routers may take for their answer, in the field MX."""

MAX_ANSWER = 2048
MAX_SERVICES = 4
"""Connections of one router that are looked at; usual is one, some have two."""

_MAX_ELEMENTS = 2000
_URN = "urn:schemas-upnp-org"
_TARGETS = (
    f"{_URN}:device:InternetGatewayDevice:2",
    f"{_URN}:device:InternetGatewayDevice:1",
    f"{_URN}:service:WANIPConnection:1",
    f"{_URN}:service:WANPPPConnection:1",
)
_SERVICE = re.compile(rf"{_URN}:service:(?:WANIPConnection|WANPPPConnection):[12]")
_STATUS = re.compile(r"HTTP/1\.[01] 200(?: .*)?")


@dataclass(frozen=True, slots=True)
class Connection:
    """A service of a router that maps ports: its type, and where it takes calls."""

    service: str
    control: Url

    @property
    def has_any(self) -> bool:
        """Whether it may know AddAnyPortMapping."""
        return self.service.endswith("WANIPConnection:2")


def render_searches(router: IPv4Address) -> list[tuple[bytes, IPv4Address]]:
    """Return searches, one packet each, and to whose port 1900 they go.

    To the router itself too: a firewall that knows connections takes what a multicast
    search is answered with for something new.
    """
    return [
        (_render_search(target, to), to)
        for to in (router, GROUP)
        for target in _TARGETS
    ]


def _render_search(target: str, to: IPv4Address) -> bytes:
    fields = [
        ("HOST", f"{to}:{PORT}"),
        ("MAN", '"ssdp:discover"'),
        ("MX", str(WAIT)),
        ("ST", target),
    ]
    return render_head("M-SEARCH * HTTP/1.1", fields)


def parse_found(untrusted_data: bytes, router: IPv4Address) -> Url | None:
    """Return where an answer to a search says that the router's description is.

    None unless the description is at the router itself.
    """
    untrusted_head, end, _ = untrusted_data[:MAX_ANSWER].partition(END)
    if not end:
        return None
    try:
        head = parse_head(untrusted_head)
    except MalformedHead:
        return None
    is_answer = _STATUS.fullmatch(head.untrusted_start) is not None
    url = parse_url(head.get("location"))
    if not is_answer or url is None or head.get("st") not in _TARGETS:
        return None
    return url if url.address == router else None


def parse_description(untrusted_body: bytes, location: Url) -> list[Connection]:
    """Return the services that map ports, in the order of the description.

    Only those at the router's own address; none if it is no description at all.
    """
    try:
        # Some routers have zeros or empty lines around their documents.
        root = parse_xml(untrusted_body.strip(b"\0\r\n\t "), _MAX_ELEMENTS)
    except MalformedXml:
        return []
    base = root.find("URLBase")
    untrusted_base = base.text.strip() if base is not None else ""
    start = location.resolve(untrusted_base) if untrusted_base else location
    found: list[Connection] = []
    for service in _list_services(root):
        kind, control = service.find("serviceType"), service.find("controlURL")
        if kind is None or control is None or start is None:
            continue
        untrusted_kind, url = kind.text.strip(), start.resolve(control.text)
        if _SERVICE.fullmatch(untrusted_kind) and url is not None:
            found.append(Connection(untrusted_kind, url))
    return found[:MAX_SERVICES]


def _list_services(element: Element) -> list[Element]:
    if element.name == "service":
        return [element]
    return [one for child in element.children for one in _list_services(child)]
