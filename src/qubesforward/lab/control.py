# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisor's sockets: JSON lines, as `qubesforward.lab.hypercall` says.

Dom0 and whoever runs the lab are served alike. Beyond dom0's calls there are
``status`` and ``service`` (with ``name``, ``action`` and ``unit``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from qubesforward.errors import LabError
from qubesforward.lab.hypercall import LONGEST_LINE, Link
from qubesforward.lab.supervisor import Supervisor

ACTIONS = ("start", "stop", "restart", "status")

Request = dict[str, Any]
Call = Callable[[Supervisor, Request], Awaitable[Any]]


async def _status(supervisor: Supervisor, _request: Request) -> Request:
    return {
        name: {
            "role": domain.spec.role,
            "state": "paused" if domain.paused else "running",
            "xid": domain.xid,
            "services": {} if domain.paused else await domain.call("services"),
        }
        for name, domain in list(supervisor.domains.items())
    }


async def _service(supervisor: Supervisor, request: Request) -> Request:
    name, action, unit = request["name"], request["action"], request["unit"]
    if action not in ACTIONS:
        raise LabError(f"{action}: give one of {', '.join(ACTIONS)}")
    domain = supervisor.domains.get(name)
    if domain is None:
        raise LabError(f"{name}: does not run")
    if action != "status":
        answer: Request = await domain.call(action, unit)
        return answer
    services: Request = await domain.call("services")
    if unit not in services:
        known = ", ".join(services) or "none"
        raise LabError(f"{unit}: no such service in {name}; there are {known}")
    found: Request = services[unit]
    return found


async def _domains(supervisor: Supervisor, _request: Request) -> Request:
    return {
        domain.spec.name: "paused" if domain.paused else "running"
        for domain in supervisor.list_qubes()
    }


async def _xids(supervisor: Supervisor, _request: Request) -> Request:
    return {domain.spec.name: domain.xid for domain in supervisor.list_qubes()}


_CALLS: dict[str, Call] = {
    "create": lambda lab, request: lab.create(request["name"], request["role"]),
    "attach": lambda lab, request: lab.attach(Link(**request["link"])),
    "detach": lambda lab, request: lab.detach(request["frontend"]),
    "pause": lambda lab, request: lab.pause(request["name"]),
    "unpause": lambda lab, request: lab.unpause(request["name"]),
    "shutdown": lambda lab, request: lab.shutdown(request["name"]),
    "kill": lambda lab, request: lab.kill(request["name"]),
    "domains": _domains,
    "xids": _xids,
    "status": _status,
    "service": _service,
}


async def serve_control(supervisor: Supervisor, path: str) -> asyncio.Server:
    """Serve calls and events on a unix socket, made at `path` for root only."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _Client(supervisor, reader, writer).serve()

    return await asyncio.start_unix_server(serve, path, limit=LONGEST_LINE)


class _Client:
    def __init__(
        self,
        supervisor: Supervisor,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._supervisor = supervisor
        self._reader = reader
        self._writer = writer
        self._tasks: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        events = self._supervisor.listen()
        teller = asyncio.create_task(self._tell(events))
        try:
            # ValueError: a line beyond the limit, or no JSON. Nobody we serve does
            # that, so the connection is not worth keeping.
            with suppress(ValueError, ConnectionError):
                while line := await self._reader.readline():
                    self._take(json.loads(line))
        finally:
            self._supervisor.stop_listening(events)
            teller.cancel()
            self._writer.close()

    async def _tell(self, events: asyncio.Queue[tuple[str, str]]) -> None:
        while True:
            event, name = await events.get()
            self._send({"event": event, "name": name})

    def _take(self, request: Request) -> None:
        # A call goes on when its client is gone: half a domain is worse than one.
        task = asyncio.create_task(self._answer(request))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, request: Request) -> None:
        outcome: Request = {"error": "the hypervisor failed; see lab.log"}
        try:
            call = _CALLS[request["op"]]
            outcome = {"value": await call(self._supervisor, request)}
        except LabError as error:
            outcome = {"error": str(error)}
        except OSError as error:
            outcome = {"error": f"a domain has just ended ({error})"}
        except (KeyError, TypeError) as error:
            outcome = {"error": f"no call that the hypervisor takes: {error!r}"}
        finally:
            self._send({"id": request.get("id"), **outcome})

    def _send(self, message: Request) -> None:
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")
