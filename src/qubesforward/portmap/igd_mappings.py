# SPDX-License-Identifier: GPL-2.0-or-later
"""The mappings of one client as IGD numbers and names them, over the common table.

IGD tells mappings apart by protocol, outer port and who may connect (RemoteHost); the
table by protocol and inner port. A RemoteHost is a holder of its own here, so that one
inner port may be opened for several hosts, and each be closed again. What the client
holds by other protocols is listed too, because it is the client's, but only what it
holds by IGD can be deleted by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from qubesforward.portmap.mapping import (
    Granted,
    Holder,
    Key,
    Network,
    Pending,
    Reason,
    Transport,
    Via,
    Wish,
)
from qubesforward.portmap.soap import Fault
from qubesforward.portmap.table import Table

LONGEST = 604800
"""Seconds, one week: the longest lease of WANIPConnection:2, and what 0 means there.

In version 1, 0 stands for ever; no mapping here does.
"""

MAX_HOSTS = 8
"""Hosts that one inner port is opened for: the table bounds keys, not holders."""

MAX_NAME = 128
"""Characters of a description that are kept."""

_NUMBER = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One mapping as IGD lists it; `holder` is None for one of another protocol."""

    key: Key
    outer: int
    remote: str
    untrusted_name: str
    lifetime: int
    holder: Holder | None


@dataclass(frozen=True, slots=True)
class Range:
    """What GetListOfPortMappings and DeletePortMappingRange are about."""

    transport: Transport
    first: int
    last: int

    def has(self, entry: Entry) -> bool:
        """Say whether a mapping is in it."""
        is_between = self.first <= entry.outer <= self.last
        return is_between and entry.key.transport is self.transport


class Mappings:
    """What one client may see and do of the table; every method may raise Fault."""

    def __init__(self, table: Table, client: IPv4Address) -> None:
        self._table = table
        self.client = client

    def add(self, wish: Wish, version: int, now: float) -> int | None:
        """Ask for a mapping; return its outer port, None while somebody is asked."""
        self._make_room(wish, version)
        holders = self._holders(wish.key)
        hosts = [each for each in holders if each.via is Via.IGD]
        if wish.holder not in holders and len(hosts) >= MAX_HOSTS:
            raise Fault(_refuse_amount(wish, version))
        reply = self._table.ask(wish, now)
        if isinstance(reply, Pending):
            return None
        if isinstance(reply, Granted):
            return reply.outer
        if reply.reason is Reason.CONFLICT:
            raise Fault(_refuse_conflict(self._holders(wish.key), version))
        if reply.reason is Reason.QUOTA:
            raise Fault(_refuse_amount(wish, version))
        if reply.reason is Reason.DENIED:
            raise Fault(606)
        raise Fault(501)

    def _make_room(self, wish: Wish, version: int) -> None:
        """Take back the mapping of a port that the client now leads elsewhere.

        AddPortMapping of WANIPConnection has the new one overwrite it.
        """
        if not wish.exact:
            return
        owner = self._table.find_outer(wish.key.transport, wish.outer)
        if owner is None or owner == wish.key:
            return
        holders = self._holders(owner)
        if holders != {wish.holder} or self._is_static(owner):
            raise Fault(_refuse_conflict(holders, version))
        self._table.release(owner, wish.holder)

    def _is_static(self, key: Key) -> bool:
        record = self._table.find(key)
        return record is not None and record.is_static

    def _holders(self, key: Key) -> set[Holder]:
        record = self._table.find(key)
        return set(record.leases) if record is not None else set()

    def list_all(self, now: float) -> list[Entry]:
        """Return all mappings, in the order in which they came."""
        return [
            entry
            for key, _ in self._table.list_open()
            for entry in self._list_entries(key, now)
        ]

    def find(
        self, transport: Transport, outer: int, remote: IPv4Address | None, now: float
    ) -> Entry:
        """Return the mapping of an outer port for this host; Fault 714 without one."""
        key = self._table.find_outer(transport, outer)
        if key is not None:
            for entry in self._list_entries(key, now):
                if entry.remote == ("" if remote is None else str(remote)):
                    return entry
        raise Fault(714)

    def _list_entries(self, key: Key, now: float) -> list[Entry]:
        record = self._table.find(key)
        if record is None or not record.is_open:
            return []
        # A lease that was just asked for has no end yet: it is no mapping so far.
        held = {each: lease for each, lease in record.leases.items() if lease.end > now}
        entries = [
            Entry(
                key,
                record.outer,
                str(IPv4Address(holder.nonce)) if holder.nonce else "",
                lease.wish.untrusted_name,
                int(lease.end - now),
                holder,
            )
            for holder, lease in held.items()
            if holder.via is Via.IGD
        ]
        if entries or not held:
            return entries
        longest = max(held.values(), key=lambda lease: lease.end)
        remote = _format_sources(record.sources)
        name, left = longest.wish.untrusted_name, int(longest.end - now)
        return [Entry(key, record.outer, remote, name, left, None)]

    def delete(self, entry: Entry) -> None:
        """Let go of a mapping; Fault 606 for another protocol's, or a static one."""
        if entry.holder is None or not self._table.release(entry.key, entry.holder):
            raise Fault(606)


def _refuse_amount(wish: Wish, version: int) -> int:
    """Return the code for "you have enough": only AddAnyPortMapping has a real one."""
    return 728 if version >= 2 and not wish.exact else 501


def _refuse_conflict(holders: set[Holder], version: int) -> int:
    """Return the code for "somebody else has the port"; 729: by another protocol."""
    is_foreign = any(each.via is not Via.IGD for each in holders)
    return 729 if version >= 2 and is_foreign else 718


def _format_sources(sources: frozenset[Network]) -> str:
    """Return sources as a RemoteHost, which can only be one host, or empty."""
    only = next(iter(sources), None) if len(sources) == 1 else None
    if isinstance(only, IPv4Network) and only.prefixlen == 32:
        return str(only.network_address)
    return ""


def parse_number(untrusted_text: str, largest: int) -> int:
    """Read an argument that is a number; Fault 402."""
    untrusted_text = untrusted_text.strip()
    if not _NUMBER.fullmatch(untrusted_text) or int(untrusted_text) > largest:
        raise Fault(402)
    return int(untrusted_text)


def parse_transport(untrusted_text: str) -> Transport:
    """Read an argument that is TCP or UDP; Fault 402."""
    try:
        return Transport(untrusted_text.strip().lower())
    except ValueError:
        raise Fault(402) from None


def parse_boolean(untrusted_text: str) -> bool:
    """Read an argument that is a boolean as UDA 1.1 (2.5) spells it; Fault 402."""
    untrusted_text = untrusted_text.strip().lower()
    if untrusted_text not in ("0", "false", "no", "1", "true", "yes"):
        raise Fault(402)
    return untrusted_text in ("1", "true", "yes")


def parse_remote(untrusted_text: str) -> IPv4Address | None:
    """Read who may connect: an address, or nothing for anyone; Fault 402.

    A name would have to be looked up, on behalf of a qube and with its answer: refused.
    """
    if not untrusted_text.strip():
        return None
    try:
        address = IPv4Address(untrusted_text.strip())
    except AddressValueError:
        raise Fault(402) from None
    if address.is_unspecified or address.is_multicast:
        raise Fault(402)
    return address


def parse_range(untrusted_arguments: dict[str, str]) -> Range:
    """Read NewStartPort, NewEndPort and NewProtocol; Fault 733 if it is upside down."""
    first = parse_number(untrusted_arguments["NewStartPort"], 65535)
    last = parse_number(untrusted_arguments["NewEndPort"], 65535)
    transport = parse_transport(untrusted_arguments["NewProtocol"])
    if first > last:
        raise Fault(733)
    return Range(transport, first, last)


def parse_wish(
    untrusted_arguments: dict[str, str], client: IPv4Address, exact: bool, version: int
) -> Wish:
    """Read what AddPortMapping and AddAnyPortMapping ask for.

    Faults: 402; 606 for an address that is not the client's; 716 for outer port 0 and
    732 (402 in version 1) for inner port 0, which would be all ports; 501 for a mapping
    that is to be there without being open.
    """
    untrusted = untrusted_arguments
    remote = parse_remote(untrusted["NewRemoteHost"])
    transport = parse_transport(untrusted["NewProtocol"])
    outer = parse_number(untrusted["NewExternalPort"], 65535)
    inner = parse_number(untrusted["NewInternalPort"], 65535)
    lifetime = parse_number(untrusted["NewLeaseDuration"], 0xFFFFFFFF)
    is_enabled = parse_boolean(untrusted["NewEnabled"])
    # Some programs say nothing here and mean themselves.
    if untrusted["NewInternalClient"].strip() not in ("", str(client)):
        raise Fault(606)
    if outer == 0:
        raise Fault(716)
    if inner == 0:
        raise Fault(732 if version >= 2 else 402)
    if not is_enabled:
        raise Fault(501)
    return Wish(
        Key(transport, inner),
        Holder(Via.IGD, remote.packed if remote is not None else b""),
        outer,
        min(lifetime, LONGEST) or LONGEST,
        exact,
        frozenset([IPv4Network(remote)] if remote is not None else []),
        untrusted["NewPortMappingDescription"].strip()[:MAX_NAME],
    )
