# SPDX-License-Identifier: GPL-2.0-or-later
"""A gateway's end of its connection to dom0, as a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from qubesforward.model.rule import Proto
from qubesforward.qubes.mapping_wire import (
    Client,
    FromDom0,
    FromGateway,
    Map,
    Unmap,
    format_message,
    parse_from_dom0,
)
from tests.daemon.world import World, in_world

Test = Callable[[World, "GatewayEnd"], Awaitable[None]]
WORK = ip_address("10.137.0.20")


def wish(inner: int = 5000, proto: Proto = Proto.UDP, **more: Any) -> Map:
    fields = {"client": WORK, "outer": inner, "lifetime": 3600, "holder": "natpmp"}
    return Map(proto=proto, inner=inner, **(fields | more))


def unmap(inner: int = 5000, proto: Proto = Proto.UDP) -> Unmap:
    return Unmap(WORK, proto, inner)


class GatewayEnd:
    """A connection, as qrexec makes it for a qube. `heard` is all that dom0 said."""

    def __init__(self, world: World, source: str = "sys-firewall") -> None:
        self._path = str(world.root / "run/portmap.sock")
        self._source = source
        self.heard: list[FromDom0] = []

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        self.send_raw(f"qubes.PortMapping+ {self._source} keyword adminvm\0".encode())
        self._task = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def hang_up(self) -> None:
        """End the connection now, and wait until dom0 has heard it."""
        self._writer.close()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        while line := await self._reader.readline():
            self.heard.append(parse_from_dom0(line.rstrip(b"\n")))

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def send_raw(self, data: bytes) -> None:
        self._writer.write(data)

    def send(self, *messages: FromGateway) -> None:
        for message in messages:
            self.send_raw(format_message(message))

    async def wait(self, message: FromDom0) -> None:
        """Wait until dom0 has said this, and forget all before it."""
        await self.wait_for(lambda each: each == message)

    async def wait_for(self, fits: Any, patience: float = 3.0) -> FromDom0:
        """Wait until dom0 has said something that fits; return and forget it."""
        end = asyncio.get_running_loop().time() + patience
        while True:
            for number, each in enumerate(self.heard):
                if fits(each):
                    del self.heard[: number + 1]
                    return each
            assert asyncio.get_running_loop().time() < end, self.heard
            await asyncio.sleep(0.005)

    async def has_silence(self, seconds: float = 0.2) -> bool:
        """Say whether dom0 says nothing for a while."""
        self.heard.clear()
        await asyncio.sleep(seconds)
        return not self.heard


def with_policy(root: Path, test: Test, **features: str) -> None:
    """Run a test with a gateway, and a policy for `work` that reaches the LAN only."""
    policy = {"portmap": "allow", "portmap-reach": "lan"}
    policy |= {name.replace("_", "-"): value for name, value in features.items()}

    async def run(world: World) -> None:
        await world.stop_daemon()
        world.features["work"] = policy
        await world.start_daemon()
        async with GatewayEnd(world) as gateway:
            await gateway.wait_for(lambda each: isinstance(each, Client))
            await test(world, gateway)

    in_world(root, run)
