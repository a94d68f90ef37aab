# SPDX-License-Identifier: GPL-2.0-or-later
"""What a program asks its router for, whatever protocol it speaks.

All times are seconds of a clock that is never set; lifetimes are seconds from now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class Transport(StrEnum):
    """The protocols that have ports to map."""

    TCP = "tcp"
    UDP = "udp"


class Via(StrEnum):
    """By which protocol something was asked."""

    NATPMP = "natpmp"
    PCP = "pcp"
    IGD = "igd"


@dataclass(frozen=True, slots=True)
class Key:
    """What a client has one mapping of: its protocol and its own, inner port."""

    transport: Transport
    inner: int


@dataclass(frozen=True, slots=True)
class Holder:
    """On whose behalf a mapping is held: a protocol and, for PCP, the nonce.

    Programs speak several protocols at once for one port; the mapping lives as long
    as any of them holds it.
    """

    via: Via
    nonce: bytes = b""


@dataclass(frozen=True, slots=True)
class Wish:
    """One request for a mapping.

    `outer` is the port that the client would like, 0 for any; with `exact` it takes
    no other. `lifetime` is in seconds, above 0. `sources` are who may connect, empty
    for anyone. `name` is what the program calls it: text of a stranger.
    """

    key: Key
    holder: Holder
    outer: int
    lifetime: int
    exact: bool = False
    sources: frozenset[Network] = field(default_factory=frozenset)
    untrusted_name: str = ""


class Reason(StrEnum):
    """Why there is no mapping."""

    DENIED = "denied"
    """By policy, or by the user."""
    CONFLICT = "conflict"
    """The one outer port that was asked for belongs to somebody else."""
    QUOTA = "quota"
    """The client has as many as it may have, or asks for too many at once."""
    NOT_YOURS = "not-yours"
    """Another program of the client, by its nonce, holds that port."""
    NETWORK = "network"
    """Nobody can be asked, or no way leads outside."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The mapping is there, at this outer port, for so many more seconds."""

    outer: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class Pending:
    """Somebody is being asked. Say nothing; a `Settled` comes."""


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no mapping; it makes no sense to ask again for `retry` seconds."""

    reason: Reason
    retry: int


Reply = Granted | Pending | Refused
