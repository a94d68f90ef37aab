# SPDX-License-Identifier: GPL-2.0-or-later
"""How dom0 asks the lab's hypervisor for domains: JSON lines over a unix socket.

A request is ``{"id": N, "op": NAME, …}``; it is answered, in any order, with
``{"id": N, "value": …}`` or ``{"id": N, "error": TEXT}``. A domain that ended is
told to every client as ``{"event": "died", "name": NAME}``.

The other files that dom0 finds in `LAB_DIR`: the topology (`TOPOLOGY_FILE`), each
qube's ``/run/qubes`` (`qube_run_dir`), and `READY_FILE`, which qubesd writes once all
is up: the text ``ok``, or what went wrong.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from qubesforward.errors import LabError, Unavailable

LAB_DIR = "/run/qubes-lab"
HYPERVISOR_SOCKET = f"{LAB_DIR}/hypervisor.sock"
TOPOLOGY_FILE = f"{LAB_DIR}/topology.toml"
READY_FILE = f"{LAB_DIR}/ready"
LONGEST_LINE = 64 * 1024

Role = Literal["netvm", "app"]


def qube_run_dir(name: str) -> str:
    """Return where dom0 sees the ``/run/qubes`` of a qube."""
    return f"{LAB_DIR}/domains/{name}"


@dataclass(frozen=True, slots=True)
class Link:
    """The network pair between a netvm (`backend`) and its client (`frontend`).

    All addresses are texts without a prefix length. `ip`/`ip6` are the client's,
    `gateway`/`gateway6` what it routes to; None where the link lacks IPv6. `dns` is
    what the client's resolv.conf shall name.
    """

    backend: str
    frontend: str
    ip: str
    gateway: str
    ip6: str | None = None
    gateway6: str | None = None
    dns: list[str] = field(default_factory=list)


class Hypervisor:
    """A connection to the hypervisor. All calls raise `LabError` when refused.

    When the hypervisor is gone, they raise `Unavailable`, and so does `next_event`.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Use `connect`."""
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._events: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        self._gone = False
        self._receiver = asyncio.create_task(self._receive())

    @classmethod
    async def connect(cls, path: str = HYPERVISOR_SOCKET) -> Hypervisor:
        """Connect; raise `Unavailable` if nobody listens there."""
        try:
            reader, writer = await asyncio.open_unix_connection(
                path, limit=LONGEST_LINE
            )
        except OSError as error:
            raise Unavailable(f"{path}: {error.strerror}") from None
        return cls(reader, writer)

    async def create(self, name: str, role: Role) -> int:
        """Start a domain: its namespaces, pid 1 and services. Return its xid.

        Physical card, tunnel and services come from the topology. When this
        returns, the base firewall is up and nothing is linked yet.
        """
        return int(await self._call("create", name=name, role=role))

    async def attach(self, link: Link) -> None:
        """Link a client to its netvm: interfaces, addresses, routes, anti-spoofing."""
        await self._call("attach", link=asdict(link))

    async def detach(self, frontend: str) -> None:
        """Take a client's link away; no error if there is none."""
        await self._call("detach", frontend=frontend)

    async def pause(self, name: str) -> None:
        """Stop all processes of a domain, and its network."""
        await self._call("pause", name=name)

    async def unpause(self, name: str) -> None:
        """Go on after `pause`."""
        await self._call("unpause", name=name)

    async def shutdown(self, name: str) -> None:
        """Stop the services in order, kill what is left; return when all is gone."""
        await self._call("shutdown", name=name)

    async def kill(self, name: str) -> None:
        """End a domain at once; return when all is gone."""
        await self._call("kill", name=name)

    async def domains(self) -> dict[str, str]:
        """Return the state of every qube that there is: ``running`` or ``paused``."""
        return dict(await self._call("domains"))

    async def xids(self) -> dict[str, int]:
        """Return the domain number of every qube that there is."""
        return dict(await self._call("xids"))

    async def next_event(self) -> tuple[str, str]:
        """Return the next ``("died", name)``, also of domains that were shut down."""
        event = await self._events.get()
        if event is None:
            self._events.put_nowait(None)
            raise Unavailable("the hypervisor is gone")
        return event

    async def aclose(self) -> None:
        """Close the connection."""
        self._receiver.cancel()
        self._writer.close()

    async def _call(self, op: str, **arguments: object) -> Any:
        if self._gone:
            raise Unavailable("the hypervisor is gone")
        number = next(self._numbers)
        answer = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        line = json.dumps({"id": number, "op": op, **arguments})
        self._writer.write(line.encode() + b"\n")
        try:
            return await answer
        finally:
            del self._waiting[number]

    async def _receive(self) -> None:
        try:
            while line := await self._reader.readline():
                self._take(json.loads(line))
        except (OSError, ValueError):
            pass
        finally:
            self._gone = True
            self._events.put_nowait(None)
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Unavailable("the hypervisor is gone"))

    def _take(self, message: dict[str, Any]) -> None:
        if "event" in message:
            self._events.put_nowait((message["event"], message["name"]))
            return
        answer = self._waiting.get(message["id"])
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(LabError(message["error"]))
        else:
            answer.set_result(message["value"])
