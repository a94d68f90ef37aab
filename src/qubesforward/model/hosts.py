# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses and networks of both families."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

from qubesforward.errors import InvalidRule

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

ANY4 = IPv4Network("0.0.0.0/0")
ANY6 = IPv6Network("::/0")

# "ffff:" * 6 + "255.255.255.255" + "/128" is the longest text that can be right.
_LONGEST_NETWORK = 49


def any_of(version: int) -> Network:
    """Return the network that holds every address of IP version 4 or 6."""
    return ANY4 if version == 4 else ANY6


# Rules and entries name the same few hosts again and again; sharing the objects
# halves the time and the memory that thousands of entries take.
@lru_cache(maxsize=4096)
def parse_network(untrusted_text: str, element: str = "srchost") -> Network:
    """Read an address or a CIDR of either family; raise `InvalidRule` otherwise.

    Host bits must be zero, so that what is stored is what was meant. Scope ids
    (``fe80::1%eth0``) are refused: they mean another thing in every qube. So are
    masks in dotted form: ``/0.0.0.0`` reads as "nobody else" and means everybody.
    """
    problem = "give an IPv4 or IPv6 address or CIDR"
    untrusted_address, _, untrusted_mask = untrusted_text.partition("/")
    if (
        len(untrusted_text) <= _LONGEST_NETWORK
        and "%" not in untrusted_text
        and "." not in untrusted_mask
    ):
        try:
            network = ip_network(untrusted_text, strict=False)
        except ValueError:
            pass
        else:
            if ip_address(untrusted_address) == network.network_address:
                return network
            problem = f"the address has bits below its mask; did you mean {network}?"
    raise InvalidRule(f"{element}={untrusted_text[:60]!a}: {problem}")


@lru_cache(maxsize=4096)
def parse_address(untrusted_text: str, element: str = "address") -> Address:
    """Read one address of either family; raise `InvalidRule` otherwise."""
    if len(untrusted_text) <= _LONGEST_NETWORK and "%" not in untrusted_text:
        try:
            return ip_address(untrusted_text)
        except ValueError:
            pass
    raise InvalidRule(
        f"{element}={untrusted_text[:60]!a}: give an IPv4 or IPv6 address"
    )


def networks_overlap(one: Network, other: Network) -> bool:
    """Whether any address is in both; never across families."""
    return one is other or (one.version == other.version and one.overlaps(other))
