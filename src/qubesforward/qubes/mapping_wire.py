# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines between a gateway and dom0: the qrexec service ``qubes.PortMapping``.

A gateway keeps one call of that service open; both sides send lines of ASCII, a word
for what it is and then ``name=value`` words:

    gateway                                   dom0
    map client=10.137.0.20 proto=udp inner=5000 outer=5000 lifetime=3600 holder=pcp:0a…
        exact=yes again=yes src=192.0.2.0/24,192.0.2.9/32 name=some%20program
                                              granted client=… proto=… inner=5000
                                                  outer=5000 lifetime=3600 static=yes
                                              denied client=… proto=… inner=5000
                                                  reason=denied retry=600
    unmap client=… proto=… inner=5000         gone client=… proto=… inner=5000
                                              client address=10.137.0.20 outside=…
                                                  mappings=128 beside=yes
                                              noclient address=10.137.0.20
                                              held client=… proto=… inner=… outer=…
                                                  lifetime=… holder=natpmp,igd src=…
                                              open proto=udp port=5000 lifetime=3600
                                              close proto=udp port=5000 outer=5000
    opened proto=udp port=5000 outer=5000
        lifetime=3600 address=198.51.100.1
    failed proto=udp port=5000 reason=refused
    closed proto=udp port=5000
                                              seed value=0a…
                                              watch wanted=yes
    outside address=198.51.100.1

`client` is a qube by its address on its link to the netvm. Both ends are hostile to
one another until proven otherwise; a line that is none ends the connection.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from qubesforward.errors import InvalidRule, MalformedMessage
from qubesforward.model.hosts import Address, Network
from qubesforward.model.rule import Proto
from qubesforward.model.values import parse_choice
from qubesforward.qubes.mapping_values_wire import (
    LONGEST_NAME,
    PARSERS,
    parse_holders,
    parse_port,
)

LONGEST_LINE = 1024
"""Bytes without the line end: above the longest line that there can be."""


class Denial(StrEnum):
    """Why dom0 grants nothing."""

    DENIED = "denied"
    CONFLICT = "conflict"
    QUOTA = "quota"
    NETWORK = "network"


class Failure(StrEnum):
    """Why the router outside opened nothing."""

    SILENT = "silent"
    """No router answers to any protocol."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Map:
    """A qube's program wants to be reached at its port `inner`.

    `again`: to the gateway's knowledge it is.
    """

    client: Address
    proto: Proto
    inner: int
    outer: int
    lifetime: int
    holder: str
    exact: bool = False
    src: tuple[Network, ...] = ()
    name: str = ""
    again: bool = False


@dataclass(frozen=True, slots=True)
class Unmap:
    """No program of the qube wants it any more."""

    client: Address
    proto: Proto
    inner: int


@dataclass(frozen=True, slots=True)
class Opened:
    """The router outside leads its `outer` port, at `address`, to this hop's `port`."""

    proto: Proto
    port: int
    outer: int
    lifetime: int
    address: Address


@dataclass(frozen=True, slots=True)
class Failed:
    """The router outside does not lead anything to this hop's `port`."""

    proto: Proto
    port: int
    reason: Failure


@dataclass(frozen=True, slots=True)
class Closed:
    """The router outside has said that it leads nothing to this hop's `port` now."""

    proto: Proto
    port: int


@dataclass(frozen=True, slots=True)
class Outside:
    """The address that the router outside has on its other side; None: not known."""

    address: Address | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """A qube that is to be served; `outside` is where the outside dials it.

    `beside`: it is not below this qube; the netvm of both leads it here.
    """

    address: Address
    mappings: int
    outside: Address | None = None
    beside: bool = False


@dataclass(frozen=True, slots=True)
class NoClient:
    """A qube that is to be served no more."""

    address: Address


@dataclass(frozen=True, slots=True)
class GrantedMap:
    """A mapping is there for so many seconds from now.

    `static`: by a forward of the user's, which programs cannot delete.
    """

    client: Address
    proto: Proto
    inner: int
    outer: int
    lifetime: int
    static: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A mapping that was there before this connection, who holds it, and for whom."""

    client: Address
    proto: Proto
    inner: int
    outer: int
    lifetime: int
    holder: tuple[str, ...] = field(default=())
    src: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class Denied:
    """There is no mapping; it makes no sense to ask again for `retry` seconds."""

    client: Address
    proto: Proto
    inner: int
    reason: Denial
    retry: int


@dataclass(frozen=True, slots=True)
class Gone:
    """A mapping, or a question for one, has ended."""

    client: Address
    proto: Proto
    inner: int


@dataclass(frozen=True, slots=True)
class Open:
    """The router outside is to lead something to this hop's `port`."""

    proto: Proto
    port: int
    lifetime: int


@dataclass(frozen=True, slots=True)
class Close:
    """The router outside is to lead nothing to this hop's `port` any more.

    `outer` is its port that did, as far as dom0 knows: this gateway may be another one
    than the one that asked for it.
    """

    proto: Proto
    port: int
    outer: int | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """What nonces for the router are made of, so that they are the same ones again.

    A gateway that is started anew could else neither renew nor withdraw.
    """

    value: str


@dataclass(frozen=True, slots=True)
class Watch:
    """Whether to tell the address that the router outside has on its other side."""

    wanted: bool = False


FromGateway = Map | Unmap | Opened | Failed | Closed | Outside
FromDom0 = (
    Client | NoClient | GrantedMap | Held | Denied | Gone | Open | Close | Watch | Seed
)

_FROM_GATEWAY: dict[str, type[Any]] = {
    "map": Map,
    "unmap": Unmap,
    "opened": Opened,
    "failed": Failed,
    "closed": Closed,
    "outside": Outside,
}
_FROM_DOM0: dict[str, type[Any]] = {
    "client": Client,
    "noclient": NoClient,
    "granted": GrantedMap,
    "held": Held,
    "denied": Denied,
    "gone": Gone,
    "open": Open,
    "close": Close,
    "watch": Watch,
    "seed": Seed,
}
_WORDS = {kind: word for word, kind in (_FROM_GATEWAY | _FROM_DOM0).items()}


_OWN_PARSERS: Mapping[tuple[type, str], Callable[[str, str], Any]] = {
    (Held, "holder"): parse_holders,
    (Opened, "outer"): parse_port,
    (Close, "outer"): parse_port,
    (Denied, "reason"): lambda value, name: parse_choice(Denial, value, name),
    (Failed, "reason"): lambda value, name: parse_choice(Failure, value, name),
}


def _parsers_of(kind: type) -> dict[str, Callable[[str, str], Any]]:
    return {
        each.name: _OWN_PARSERS.get((kind, each.name)) or PARSERS[each.name]
        for each in fields(kind)
    }


_BY_KIND = {kind: _parsers_of(kind) for kind in _WORDS}


def parse_from_gateway(untrusted_line: bytes) -> FromGateway:
    """Read a line of a gateway; raise `MalformedMessage` if it is none."""
    message: FromGateway = _parse(untrusted_line, _FROM_GATEWAY)
    return message


def parse_from_dom0(untrusted_line: bytes) -> FromDom0:
    """Read a line of dom0; raise `MalformedMessage` if it is none."""
    message: FromDom0 = _parse(untrusted_line, _FROM_DOM0)
    return message


def _parse(untrusted_line: bytes, kinds: Mapping[str, type[Any]]) -> Any:
    if len(untrusted_line) > LONGEST_LINE:
        raise MalformedMessage(f"a line of over {LONGEST_LINE} bytes")
    try:
        word, *untrusted_words = untrusted_line.decode("ascii").split(" ")
        kind = kinds[word]
        parsers = _BY_KIND[kind]
        found: dict[str, Any] = {}
        for untrusted_word in untrusted_words:
            name, _, untrusted_value = untrusted_word.partition("=")
            if name in found:
                raise InvalidRule(f"{name}: given twice")
            found[name] = parsers[name](untrusted_value, name)
        return kind(**found)
    except (InvalidRule, KeyError, TypeError, UnicodeDecodeError) as error:
        raise MalformedMessage(f"no message: {untrusted_line[:80]!r}") from error


def format_message(message: FromGateway | FromDom0) -> bytes:
    """Write a message as a line, with its line end."""
    words = [_WORDS[type(message)]]
    for name in _BY_KIND[type(message)]:
        value = getattr(message, name)
        if value is None or value is False or value in ("", ()):
            continue
        words.append(f"{name}={_format(value)}")
    return " ".join(words).encode("ascii") + b"\n"


def _format(value: Any) -> str:
    if value is True:
        return "yes"
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).replace(" ", "%20")


def clean_name(untrusted_name: str) -> str:
    """Return what of a program's name for its mapping can be sent."""
    kept = "".join(c for c in untrusted_name[:LONGEST_NAME] if _is_plain(c))
    return kept.strip()


def _is_plain(character: str) -> bool:
    return character.isascii() and (character.isalnum() or character in "-_. :/")
