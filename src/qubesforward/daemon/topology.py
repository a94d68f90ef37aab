# SPDX-License-Identifier: GPL-2.0-or-later
"""The qubes of this computer as qubesd tells them, kept current by its events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from types import MappingProxyType

from qubesforward.daemon.features import OURS, read_gateway, read_policy, read_tunnel
from qubesforward.errors import (
    AdminError,
    ForwardError,
    InvalidRule,
    MalformedMessage,
    Unavailable,
    UnknownQube,
)
from qubesforward.model.hosts import parse_address
from qubesforward.plan.snapshot import Qube, Snapshot
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_wire import Event, decode_properties

_log = logging.getLogger(__name__)

AGENT_FEATURE = "supported-service.qubes-forward"
"""What a template advertises when our agent is installed in it."""

_RETRY_SECONDS = 0.5
_FIND_SECONDS = 5.0
"""Time that qubesd has to tell about a qube that a caller names: less than the
caller's own patience, so that the right one is blamed."""

_AT_ONCE = 16
"""Calls to qubesd under way at a time: enough to keep it busy, not to flood it."""

_LONGEST_NUMBER = 10
"""Digits of a domain number; Xen's have five."""

_RUNNING_STATES = frozenset({"Running", "Paused", "Suspended"})
_IGNORED_EVENTS = (
    "connection-established",
    "device-",
    "backup-",
    "domain-tag-",
    "firewall-changed",
)


class Topology:
    """A mirror of qubesd. `changed` is called after every change of `snapshot`.

    `removed` is called with the name of a qube that is gone, or may be another one
    now; `gone` only if it is gone, and `listed` with the names of all there are.
    """

    def __init__(
        self,
        client: AsyncAdminClient,
        changed: Callable[[], None],
        removed: Callable[[str], None],
        gone: Callable[[str], None] = lambda _name: None,
        listed: Callable[[Collection[str]], None] = lambda _names: None,
    ) -> None:
        self._client = client
        self._changed = changed
        self._removed = removed
        self._gone = gone
        self._listed = listed
        self._qubes: dict[str, Qube] = {}
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._refreshing = asyncio.Lock()
        self.known = asyncio.Event()
        """Set once the qubes have been read; before that, nothing may be revoked."""

    @property
    def snapshot(self) -> Snapshot:
        """The qubes as last heard of; a view that does not change under planning."""
        return MappingProxyType(self._qubes)

    async def find(self, name: str) -> Qube:
        """Return a qube, asking qubesd for one that is new; raise UnknownQube."""
        if name not in self._qubes:
            try:
                async with asyncio.timeout(_FIND_SECONDS):
                    await self._refresh([name])
            except TimeoutError:
                raise Unavailable(
                    f"qubesd does not say whether there is a qube {name[:40]!a}: see"
                    " `systemctl status qubesd` in dom0"
                ) from None
        if name not in self._qubes:
            raise UnknownQube(f"no such qube: {name[:40]!a}")
        return self._qubes[name]

    async def follow(self) -> None:
        """Follow qubesd for ever, over its restarts; the last snapshot stays."""
        while True:
            try:
                await self._follow_once()
            except ForwardError as error:
                _log.warning("qubesd: %s; trying again", error)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow_once(self) -> None:
        # Events that arrive while the qubes are being read wait in this queue, so
        # no change between reading and following is missed.
        queue: asyncio.Queue[Event | ForwardError] = asyncio.Queue()
        reader = asyncio.create_task(self._read_events(queue))
        try:
            first = await queue.get()
            if isinstance(first, ForwardError):
                raise first
            await self._refresh_all()
            while True:
                await self._handle(await self._next_events(queue))
        finally:
            reader.cancel()

    async def _read_events(self, queue: asyncio.Queue[Event | ForwardError]) -> None:
        try:
            async for event in self._client.events():
                queue.put_nowait(event)
            queue.put_nowait(ForwardError("event connection closed"))
        except ForwardError as error:
            queue.put_nowait(error)

    @staticmethod
    async def _next_events(queue: asyncio.Queue[Event | ForwardError]) -> list[Event]:
        found = [await queue.get()]
        while not queue.empty():
            found.append(queue.get_nowait())
        for item in found:
            if isinstance(item, ForwardError):
                raise item
        return [item for item in found if isinstance(item, Event)]

    async def _handle(self, events: Iterable[Event]) -> None:
        names: set[str] = set()
        for event in events:
            if event.name.startswith(_IGNORED_EVENTS):
                continue
            if event.subject in ("", "dom0") and "vm" not in event.kwargs:
                await self._refresh_all()
                return
            subject = event.kwargs.get("vm", event.subject)
            if event.name == "domain-delete":
                self._drop(subject)
            elif event.name == "domain-add":
                self._removed(subject)  # what was stored for another qube of the name
            names |= {subject}
            if event.name.startswith(("property-", "domain-feature-")):
                names |= self._dependants(subject)
        await self._refresh(names)

    def _dependants(self, name: str) -> set[str]:
        """Qubes whose address, IPv6 or agent may follow from this qube's."""
        found: set[str] = set()
        reached = {name}
        while reached:
            reached = {
                qube.name
                for qube in self._qubes.values()
                if qube.netvm in reached or qube.template in reached
            } - found
            found |= reached
        return found

    async def _refresh_all(self) -> None:
        listing = await self._client.call("admin.vm.List")
        names = {line.split(" ")[0] for line in listing.decode("ascii").splitlines()}
        if "dom0" not in names:
            # It always is. Whatever this is, no qube is gone by it, nor its rules.
            raise MalformedMessage("admin.vm.List without dom0")
        for gone in self._qubes.keys() - names:
            self._drop(gone)
        self._listed(names)
        try:
            await self._refresh(names - {"dom0"})
        except (AdminError, MalformedMessage):
            self.known.set()  # of the others, all is known
            raise
        self.known.set()

    def _drop(self, name: str) -> None:
        if name in self._qubes:
            self._qubes = {n: q for n, q in self._qubes.items() if n != name}
            self._removed(name)
            self._changed()
        self._gone(name)

    async def _refresh(self, names: Iterable[str]) -> None:
        # One after the other: an older answer must not replace a newer one.
        async with self._refreshing:
            found = await asyncio.gather(*(self._fetch_safely(name) for name in names))
            qubes = dict(self._qubes)
            for name, qube in zip(names, found, strict=True):
                if isinstance(qube, Qube):
                    self._take_in(qubes, qube)
                elif qube is None:
                    qubes.pop(name, None)
            self._qubes = qubes
        self._changed()
        for failure in found:
            if isinstance(failure, ForwardError):
                raise failure

    def _take_in(self, qubes: dict[str, Qube], qube: Qube) -> None:
        old = qubes.get(qube.name)
        if old is not None and old.uuid != qube.uuid:
            self._removed(qube.name)  # another qube of the name, unheard of
        qubes[qube.name] = qube

    async def _fetch_safely(self, name: str) -> Qube | ForwardError | None:
        try:
            return await self._fetch(name)
        except (AdminError, MalformedMessage) as error:
            # One qube that qubesd cannot tell about costs the others nothing.
            return error

    async def _fetch(self, name: str) -> Qube | None:
        async with self._limit:
            try:
                listing = await self._client.call("admin.vm.List", name)
                properties = await self._client.call("admin.vm.property.GetAll", name)
                agent = await self._has_agent(name)
                features = await self._read_features(name)
            except AdminError as error:
                if error.kind in ("QubesVMNotFoundError", "QubesNoSuchVMError"):
                    return None
                raise
        qube = make_qube(name, listing, properties)
        is_netvm = qube.provides_network
        return replace(
            qube,
            agent=agent,
            portmap=read_policy(name, features),
            tunnel=read_tunnel(features) if is_netvm else "",
            gateway=read_gateway(features) if is_netvm else "",
        )

    async def _has_agent(self, name: str) -> bool:
        value = await self._read_feature("CheckWithTemplate", name, AGENT_FEATURE)
        return value not in ("", "0")

    async def _read_features(self, name: str) -> dict[str, str]:
        """Return the qube's own features of ours: none is taken from a template."""
        listing = await self._client.call("admin.vm.feature.List", name)
        present = OURS & set(listing.decode("ascii", "replace").split())
        return {each: await self._read_feature("Get", name, each) for each in present}

    async def _read_feature(self, how: str, name: str, feature: str) -> str:
        try:
            value = await self._client.call(f"admin.vm.feature.{how}", name, feature)
        except AdminError as error:
            if error.kind == "QubesFeatureNotFoundError":
                return ""
            raise
        return value.decode("ascii", "replace")


def make_qube(name: str, listing: bytes, properties: bytes) -> Qube:
    """Make a qube out of qubesd's answers about it (`agent` is left out)."""
    words = dict(
        word.partition("=")[::2]
        for word in listing.decode("ascii", "replace").split()[1:]
    )
    values = {key: found.value for key, found in decode_properties(properties).items()}
    ip, ip6 = _address(values, "ip"), _address(values, "ip6")
    return Qube(
        name=name,
        uuid=values.get("uuid", ""),
        klass=words.get("class", ""),
        netvm=values.get("netvm") or None,
        ip=ip if isinstance(ip, IPv4Address) else None,
        ip6=ip6 if isinstance(ip6, IPv6Address) else None,
        running=words.get("state") in _RUNNING_STATES,
        paused=words.get("state") == "Paused",
        template=values.get("template") or None,
        xid=_number(values.get("xid", "")),
        provides_network=values.get("provides_network") == "True",
    )


def _address(values: Mapping[str, str], name: str) -> IPv4Address | IPv6Address | None:
    try:
        return parse_address(values[name]) if values.get(name) else None
    except InvalidRule:
        return None


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdecimal() and len(text) <= _LONGEST_NUMBER
    return int(text) if is_number else 0
