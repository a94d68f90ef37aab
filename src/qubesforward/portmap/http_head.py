# SPDX-License-Identifier: GPL-2.0-or-later
"""What SSDP and HTTP have in common: a first line, and fields below it.

Strict, because what comes in is written by strangers: lines end with CRLF, a field is
on one line, and names are tokens (RFC 7230, 3.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address

END = b"\r\n\r\n"

MAX_FIELDS = 48
"""Browsers send about 20, clients of UPnP at most 10."""

_FIELD = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}):[ \t]*+([\t -~\x80-\xff]*)")


class MalformedHead(Exception):
    """These bytes are no head of a message; the only error of `parse_head`."""


@dataclass(frozen=True, slots=True)
class Head:
    """A first line, and the fields by their names in small letters."""

    untrusted_start: str
    untrusted_fields: dict[str, str]

    def get(self, name: str) -> str:
        """Return a field, empty if it is not there."""
        return self.untrusted_fields.get(name, "")


def parse_head(untrusted_head: bytes) -> Head:
    """Read a head, without the empty line that ends it; its size is bounded already.

    A field that is there twice gets both values with a comma between them, as RFC 7230
    (3.2.2) says; so a second length or host makes both useless. Raises MalformedHead.
    """
    untrusted_start, *untrusted_lines = untrusted_head.decode("latin-1").split("\r\n")
    if len(untrusted_lines) > MAX_FIELDS:
        raise MalformedHead("too many fields")
    if not (untrusted_start.isascii() and untrusted_start.isprintable()):
        raise MalformedHead("not a first line")
    fields: dict[str, str] = {}
    for untrusted_line in untrusted_lines:
        match = _FIELD.fullmatch(untrusted_line)
        if match is None:
            raise MalformedHead("not a field")
        name, value = match[1].lower(), match[2].rstrip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return Head(untrusted_start, fields)


def render_head(start: str, fields: list[tuple[str, str]]) -> bytes:
    """Write a head with the empty line below it; nothing in it is a stranger's."""
    lines = [start, *(f"{name}: {value}".rstrip() for name, value in fields)]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def is_host(untrusted_host: str, address: IPv4Address, port: int) -> bool:
    """Say whether a Host field names this address; a port may be left out.

    A web page of a stranger can make a browser send anything here but this: the name
    that led it here is the stranger's (DNS rebinding).
    """
    return untrusted_host in (str(address), f"{address}:{port}")
