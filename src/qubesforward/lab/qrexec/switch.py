# SPDX-License-Identifier: GPL-2.0-or-later
"""What the hypervisor has to do with calls: it knows where each comes from.

Every qube has a socket of its own to call at. A call is passed on to dom0 with the
name of that qube, unread; and to where dom0 says that its service is.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from qubesforward.errors import LabError
from qubesforward.lab.qrexec.descriptors import receive_descriptors
from qubesforward.lab.qrexec.messages import CALLER_SOCKET, SWITCH_SOCKET
from qubesforward.lab.qrexec.process import JUDGE, SERVE

_BACKLOG = 128
_LONGEST_ORDER = 8192


class Host(Protocol):
    """A domain that deals with calls."""

    async def pass_call(self, request: Mapping[str, Any], caller: int) -> None:
        """Have its init deal with a call. Raises LabError."""


class Switch:
    """Takes calls in, and passes them on; `domains` are those that run."""

    def __init__(self, domains: Mapping[str, Host], dom0: str) -> None:
        self._domains = domains
        self._dom0 = dom0
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def serve_dom0(self, directory: str) -> None:
        """Take orders from dom0, which has `directory` as the place of its sockets."""
        listener = _listen(Path(directory, Path(SWITCH_SOCKET).name), 0o600)
        self._tasks[self._dom0] = asyncio.create_task(self._take_orders(listener))

    def serve_qube(self, name: str, directory: Path) -> None:
        """Take calls of a qube, until `forget`.

        It must not have been started yet: `directory`, its ``/run/qubes``, would be
        its own to change.
        """
        self.forget(name)
        listener = _listen(directory / Path(CALLER_SOCKET).name, 0o666)
        self._tasks[name] = asyncio.create_task(self._take_calls(name, listener))

    def forget(self, name: str) -> None:
        """Take no more calls of a qube that has ended."""
        if task := self._tasks.pop(name, None):
            task.cancel()

    async def _take_calls(self, name: str, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                caller, _ = await loop.sock_accept(listener)
                # One after the other: a flood of them is this qube's own problem.
                with caller, suppress(LabError):
                    await self._pass(
                        self._dom0, {"op": JUDGE, "source": name}, caller.fileno()
                    )

    async def _take_orders(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        with listener:
            while True:
                orderer, _ = await loop.sock_accept(listener)
                # Served on the spot: who connects sends its order at once.
                orderer.setblocking(True)
                orderer.settimeout(1.0)
                with orderer, suppress(OSError):
                    outcome = await self._take_order(orderer)
                    orderer.send(outcome.encode())

    async def _take_order(self, orderer: socket.socket) -> str:
        message, callers = receive_descriptors(orderer, _LONGEST_ORDER, 1)
        try:
            order = json.loads(message)
            request = {"op": SERVE, "call": order["call"]}
            await self._pass(order["target"], request, *callers)
        except LabError as error:
            return str(error)
        except (KeyError, TypeError, ValueError) as error:
            return f"no order that the hypervisor takes: {error!r}"
        finally:
            for caller in callers:
                os.close(caller)
        return "ok"

    async def _pass(self, target: str, request: Mapping[str, Any], caller: int) -> None:
        domain = self._domains.get(target)
        if domain is None:
            raise LabError(f"{target}: does not run")
        await domain.pass_call(request, caller)


def _listen(path: Path, mode: int) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.setblocking(False)
    path.unlink(missing_ok=True)
    listener.bind(str(path))
    path.chmod(mode)
    listener.listen(_BACKLOG)
    return listener
