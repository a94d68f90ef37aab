# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client of the LAN's router has to say."""

from __future__ import annotations

from dataclasses import dataclass

from qubesforward.portmap.mapping import Address, Key, Via


@dataclass(frozen=True, slots=True)
class MappingOpened:
    """The router has opened, or renewed, a mapping for so many seconds.

    `edge` is the router's outside address, None while it is not known.
    """

    key: Key
    outer: int
    lifetime: int
    edge: Address | None


@dataclass(frozen=True, slots=True)
class MappingRefused:
    """The router says no; it is asked again in `retry` seconds.

    `code`: a result code of the protocol `via`.
    """

    key: Key
    via: Via
    code: int
    retry: float


@dataclass(frozen=True, slots=True)
class MappingLost:
    """A mapping has ended though it is wanted; it is asked for again."""

    key: Key


@dataclass(frozen=True, slots=True)
class MappingClosed:
    """A mapping that was not wanted any more is gone, as far as one can know.

    `is_confirmed`: the router has said so; otherwise it ends with its lifetime.
    """

    key: Key
    is_confirmed: bool


@dataclass(frozen=True, slots=True)
class EdgeChanged:
    """The router's outside address is another one; None: it has none now."""

    edge: Address | None


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The router answers neither protocol. It is asked on, ever more seldom."""


ClientEvent = (
    MappingOpened
    | MappingRefused
    | MappingLost
    | MappingClosed
    | EdgeChanged
    | NoAnswer
)
