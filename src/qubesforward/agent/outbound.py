# SPDX-License-Identifier: GPL-2.0-or-later
"""Enforces in a hop what the qubes below it may send out (design, section 8)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from qubesforward.agent.outbound_source import SourceRules, parse_source
from qubesforward.agent.outbound_tables import CutFlows, MakeTables
from qubesforward.agent.resolver import Lookup, Resolver, look_up
from qubesforward.errors import ApplyError, InvalidRule
from qubesforward.model.hosts import Address, parse_address

LOG = logging.getLogger(__name__)

RULES = "/qubes-firewall/"
HANDLED = "/qubes-firewall-handled/"
"""Qubes' count of how often the rules of a source were applied, by source."""

CONNECTED = {"/connected-ips": 4, "/connected-ips6": 6}
DNS_SERVERS = (
    "/qubes-netvm-primary-dns",
    "/qubes-netvm-secondary-dns",
    "/qubes-netvm-primary-dns6",
    "/qubes-netvm-secondary-dns6",
)

SETTLE = 0.05
"""Seconds in which answers from DNS are gathered, to be applied together."""


class Store(Protocol):
    """What is used of QubesDB: see `qubesforward.qubes.qubesdb`."""

    async def read(self, path: str) -> bytes | None:
        """Return a value, None if there is none."""

    async def multiread(self, prefix: str) -> dict[str, bytes]:
        """Return all values below a prefix, by path."""

    async def write_many(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Write several values."""

    async def watch(self, path: str) -> None:
        """Have changes of a path, or of all below it, reported."""


class OutboundEnforcer:
    """The outbound rules of every source that this hop's QubesDB names.

    `make_tables` makes what brings them into the kernel.
    `cut_flows` ends connections that a new list of rules does not permit any more;
    without it they live until they end by themselves.
    """

    def __init__(
        self,
        qdb: Store,
        make_tables: MakeTables,
        *,
        cut_flows: CutFlows | None = None,
        lookup: Lookup = look_up,
    ) -> None:
        self._qdb = qdb
        self._lookup = lookup
        self._resolver: Resolver | None = None
        self._tables = make_tables(self._known_addresses, cut_flows)
        self._reading = asyncio.Lock()
        self._answered: set[str] = set()
        self._settling: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Watch, read everything, and apply it in place of what an earlier run left.

        Raises `ApplyError` if the kernel takes not even the default drop, and
        `QubesDBError`.
        """
        self._resolver = Resolver(self._note_answer, self._lookup)
        for path in (RULES, *CONNECTED, *DNS_SERVERS):
            await self._qdb.watch(path)
        async with self._reading:
            await self._reload()

    async def on_change(self, path: str) -> None:
        """Read again and apply what a changed QubesDB path stands for, if anything.

        What the kernel refuses is logged and not acknowledged. Raises `QubesDBError`.
        """
        async with self._reading:
            try:
                await self._update(path)
            except ApplyError as error:
                LOG.error("%s: not applied: %s", path, error)

    def repair(self) -> None:
        """Put everything back into the kernel from memory; may raise `ApplyError`."""
        self._tables.repair()

    async def aclose(self) -> None:
        """Stop looking names up. What is applied stays, so nothing opens."""
        if self._settling is not None:
            self._settling.cancel()
        if self._resolver is not None:
            self._resolver.close()

    async def _reload(self) -> None:
        before = set(self._tables.sources)
        await self._read_all()
        try:
            self._tables.repair()
        finally:
            self._resolve(self._tables.sources)
        self._tables.cut(before | self._tables.sources.keys())
        await self._acknowledge(self._tables.sources)

    async def _update(self, path: str) -> None:
        if path == RULES:
            # Everything below was removed, or more has changed than was told.
            await self._reload()
        elif path in CONNECTED:
            connected = await self._read_connected(path)
            self._tables.set_connected(CONNECTED[path], connected)
        elif path in DNS_SERVERS:
            self._tables.set_dns(await self._read_dns())
        elif path.startswith(RULES) and path.count("/") == RULES.count("/"):
            # Deeper paths are rules on their way; the commit follows them.
            await self._update_source(path.removeprefix(RULES))

    async def _update_source(self, untrusted_source: str) -> None:
        source = _parse_source_address(untrusted_source)
        if source is None:
            return
        commit, untrusted_values = await asyncio.gather(
            self._qdb.read(f"{RULES}{source}"),
            self._qdb.multiread(f"{RULES}{source}/"),
        )
        try:
            if commit is None:
                self._tables.remove_source(source)
            else:
                self._tables.set_source(source, _read_rules(source, untrusted_values))
        finally:
            self._resolve([source])
        await self._acknowledge([source])

    async def _read_all(self) -> None:
        untrusted_values = await self._qdb.multiread(RULES)
        below: dict[str, dict[str, bytes]] = {}
        for path, untrusted_value in untrusted_values.items():
            untrusted_source, slash, _ = path.removeprefix(RULES).partition("/")
            keys = below.setdefault(untrusted_source, {})
            if slash:
                keys[path] = untrusted_value
        sources = {}
        for untrusted_source, keys in below.items():
            source = _parse_source_address(untrusted_source)
            # Without its commit a source is being written just now.
            if source is not None and f"{RULES}{source}" in untrusted_values:
                sources[source] = _read_rules(source, keys)
        self._tables.sources = sources
        self._tables.dns = await self._read_dns()
        for path, family in CONNECTED.items():
            self._tables.connected[family] = await self._read_connected(path)

    async def _read_dns(self) -> list[Address]:
        found = await asyncio.gather(*map(self._read_addresses, DNS_SERVERS))
        return [address for addresses in found for address in addresses]

    async def _read_connected(self, path: str) -> list[Address]:
        found = await self._read_addresses(path)
        return [address for address in found if address.version == CONNECTED[path]]

    async def _read_addresses(self, path: str) -> list[Address]:
        untrusted_text = (await self._qdb.read(path) or b"").decode("ascii", "replace")
        addresses = []
        for untrusted_address in untrusted_text.split():
            try:
                addresses.append(parse_address(untrusted_address))
            except InvalidRule as error:
                LOG.warning("%s: %s", path, error)
        return addresses

    async def _acknowledge(self, sources: Collection[Address]) -> None:
        paths = [f"{HANDLED}{source}" for source in sources]
        counts = await asyncio.gather(*map(self._qdb.read, paths))
        await self._qdb.write_many(
            [(path, _add_one(count)) for path, count in zip(paths, counts, strict=True)]
        )

    def _resolve(self, changed: Iterable[Address]) -> None:
        """Look up new names, and all names of sources that were changed."""
        if self._resolver is not None:
            self._resolver.want(self._tables.names)
            for source in self._tables.sources.keys() & changed:
                self._resolver.refresh(self._tables.sources[source].names)

    def _known_addresses(self, name: str) -> frozenset[Address]:
        return self._resolver.addresses(name) if self._resolver else frozenset()

    def _note_answer(self, name: str) -> None:
        self._answered.add(name)
        if self._settling is None:
            loop = asyncio.get_running_loop()
            self._settling = loop.call_later(SETTLE, self._apply_answers)

    def _apply_answers(self) -> None:
        self._settling = None
        names, self._answered = self._answered, set()
        try:
            self._tables.refresh(
                source
                for source, rules in self._tables.sources.items()
                if rules.names & names
            )
        except ApplyError as error:
            LOG.error("new addresses of names: not applied: %s", error)


def _parse_source_address(untrusted_source: str) -> Address | None:
    try:
        source = parse_address(untrusted_source, "source")
    except InvalidRule as error:
        LOG.warning("%s: %s", RULES, error)
        return None
    if str(source) == untrusted_source:
        return source
    # Two spellings of one address could hold two lists of rules.
    LOG.warning("%s%s: write the address as %s", RULES, untrusted_source, source)
    return None


def _read_rules(source: Address, untrusted_values: Mapping[str, bytes]) -> SourceRules:
    """Take the rules out of the values below a source, by their full paths."""
    prefix = f"{RULES}{source}/"
    rules = parse_source(
        {path.removeprefix(prefix): value for path, value in untrusted_values.items()}
    )
    for problem in rules.problems:
        LOG.warning("%s: %s; dropping everything instead", source, problem)
    return rules


def _add_one(untrusted_count: bytes | None) -> bytes:
    if untrusted_count is not None and len(untrusted_count) <= 18:
        with suppress(ValueError):
            return b"%d" % (int(untrusted_count) + 1)
    return b"1"
