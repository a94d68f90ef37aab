# SPDX-License-Identifier: GPL-2.0-or-later
"""Where outbound rules lead to: addresses, networks and names, as Qubes has them."""

from __future__ import annotations

import string
from ipaddress import IPv6Address

from qubesforward.errors import InvalidRule
from qubesforward.model.hosts import Address, parse_address
from qubesforward.model.rule import DstHost
from qubesforward.model.values import read_decimal

LONGEST_NAME = 255
"""Characters of a DNS name in text form, RFC 1035 section 2.3.4."""

# What Qubes' qubes.firewall.DstHost takes as a name.
_NAME = frozenset(string.ascii_lowercase + string.digits + "-._")


def parse_dsthost(untrusted_text: str) -> DstHost:
    """Read an address, a CIDR or a name; raise `InvalidRule` otherwise.

    Whether it is a name is told from the text alone, as Qubes does: what is no
    address but has the characters of a name is one. Bits below the mask are kept.
    """
    if len(untrusted_text) > LONGEST_NAME:
        raise InvalidRule(f"dsthost: at most {LONGEST_NAME} characters fit")
    untrusted_host, slash, untrusted_length = untrusted_text.partition("/")
    try:
        address = parse_address(untrusted_host, "dsthost")
    except InvalidRule:
        if not slash and untrusted_host and _NAME.issuperset(untrusted_host):
            return DstHost("dsthost", untrusted_host)
        raise InvalidRule(
            f"dsthost={untrusted_text[:60]!a}: give an address, a CIDR, or a name in"
            " lower case"
        ) from None
    longest = address.max_prefixlen
    length = read_decimal(untrusted_length) if slash else longest
    if length is None or length > longest:
        raise InvalidRule(
            f"dsthost={untrusted_text[:60]!a}: prefix lengths are 0-{longest}"
        )
    return DstHost(f"dst{address.version}", f"{_write(address)}/{length}")


def _write(address: Address) -> str:
    # inet_ntop, which Qubes normalizes with, writes the IPv4 part of mapped and
    # compatible addresses with dots; Python 3.11 writes it in hex.
    if isinstance(address, IPv6Address):
        upper, lower = divmod(int(address), 1 << 32)
        if upper == 0xFFFF or (upper == 0 and lower > 0xFFFF):
            dotted = ".".join(str(byte) for byte in lower.to_bytes(4, "big"))
            return f"::ffff:{dotted}" if upper else f"::{dotted}"
    return str(address)
