# SPDX-License-Identifier: GPL-2.0-or-later
"""How far a forward reaches, and who asked for it, in words."""

from __future__ import annotations

from collections.abc import Iterable

from qubesforward.cli.phrase import Phrase
from qubesforward.cli.status import Extent, ForwardStatus, State
from qubesforward.model.rule import Reach

_PROTOCOLS = {"natpmp": "NAT-PMP", "pcp": "PCP", "igd": "UPnP"}

_AROUND = {
    Extent.INTERNET: Phrase(", and on the internet,"),
    Extent.LAN: Phrase(", and on the internet if its router agrees,"),
}

_NOT_BEYOND = {
    Extent.CARRIER: Phrase("the router is itself behind a carrier's NAT"),
    Extent.SILENT: Phrase("no router there answers such requests"),
    Extent.REFUSED: Phrase("the router says no"),
}

_SHORT = {
    Extent.LAN: "LAN so far",
    Extent.CARRIER: "LAN (carrier's NAT)",
    Extent.SILENT: "LAN (no router)",
    Extent.REFUSED: "LAN (router says no)",
}


def name_protocols(vias: Iterable[str]) -> list[str]:
    """Return the names that protocols have among people."""
    return [_PROTOCOLS.get(via, via) for via in vias]


def quote_words(text: str) -> str:
    """Quote what a program says of itself: nobody vouches for a word of it."""
    return '"{}"'.format(text.replace('"', "'"))


def describe_asker(forward: ForwardStatus, qube: str) -> str:
    """Say that a program asked for it, and what it calls it; nothing for a user's."""
    if not forward.is_mapping:
        return ""
    by: str = ""
    if forward.vias:
        by = Phrase(" by {0}", " or ".join(name_protocols(forward.vias)))
    name: str = ""
    if forward.rule.comment:
        words = quote_words(forward.rule.comment)
        name = Phrase(", and calls it {0} (its own words)", words)
    return Phrase(
        "A program of {0} asked for it{1}{2}; it ends then unless that program renews"
        " it.",
        qube,
        by,
        name,
    )


def describe_beyond(forward: ForwardStatus) -> str:
    """Say, to go on after the networks, whether it is open to the internet as well."""
    wanted = forward.rule.reach is Reach.INTERNET
    return _AROUND.get(forward.extent, "") if wanted else ""


def describe_extent(forward: ForwardStatus) -> str:
    """Say in a sentence what the LAN's router does for it; nothing if not asked."""
    if forward.rule.reach is not Reach.INTERNET or forward.state is not State.ACTIVE:
        return ""
    if forward.extent is Extent.INTERNET:
        return Phrase("It reaches the internet, as {0}.", forward.edge)
    if forward.extent is Extent.LAN:
        return Phrase("The router has not answered yet.")
    why = _NOT_BEYOND[forward.extent]
    if not forward.edge:
        return Phrase("The internet does not reach it: {0}.", why)
    return Phrase("The internet does not reach it: {0}, as {1}.", why, forward.edge)


def format_extent(forward: ForwardStatus) -> str:
    """Say in a few words how far it reaches, for tables; nothing for the usual."""
    if forward.rule.reach is not Reach.INTERNET:
        return ""
    return _SHORT.get(forward.extent) or f"internet: {forward.edge}"
