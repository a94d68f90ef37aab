# SPDX-License-Identifier: GPL-2.0-or-later
"""A world whose daemon is a process of its own, so that what it costs can be seen.

A second chain, `mail` behind `sys-other`, has nothing to do with `sys-firewall`.
"""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from tests.daemon.world import World, until

_DAEMON = """
import asyncio, sys
from pathlib import Path
from qubesforward.daemon.garbage import collect_seldom
from qubesforward.daemon.main import Daemon
from qubesforward.qubes.admin_async import AsyncAdminClient

root = Path(sys.argv[1])
client = AsyncAdminClient(str(root / "qubesd.sock"), str(root / "forwardd.sock"))
socket_of = lambda name: str(root / f"{name}.sock")
log = root / "log" / "audit.log"
collect_seldom()
daemon = Daemon(root, str(root / "forwardd.sock"), client, socket_of, log)
asyncio.run(daemon.run())
"""

_TICKS = os.sysconf("SC_CLK_TCK")

OTHERS = {
    "sys-other": {"ip": "10.137.0.7", "netvm": "sys-net"},
    "mail": {"ip": "10.137.0.30", "netvm": "sys-other"},
}
EXTERNAL = "forwardtype=external proto=tcp srcports={0}-{0}"


class ApartWorld(World):
    """A world with the two chains, and the daemon outside of this process."""

    program = _DAEMON

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.qubes |= {name: dict(qube) for name, qube in OTHERS.items()}
        self._process: subprocess.Popen[bytes] | None = None

    async def start_daemon(self) -> None:
        with (self.root / "daemon.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", self.program, str(self.root)],
                stderr=log,
                preexec_fn=_limit_descriptors,
            )
        await until((self.root / "forwardd.sock").exists)

    async def stop_daemon(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                await until(lambda: process.poll() is not None)
            finally:
                process.kill()
                process.wait()
            assert process.returncode == 0, self.said()
        (self.root / "forwardd.sock").unlink(missing_ok=True)

    def said(self) -> str:
        """Return what the daemon has logged."""
        return (self.root / "daemon.log").read_text("utf-8", "replace")

    def memory(self) -> int:
        """Return the most memory that the daemon ever had, in MB."""
        lines = (self._of_daemon() / "status").read_text().splitlines()
        (peak,) = (line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) // 1024

    def work(self) -> float:
        """Return the processor time that the daemon has used, in seconds."""
        words = (self._of_daemon() / "stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / _TICKS

    def _of_daemon(self) -> Path:
        assert self._process is not None
        assert self._process.poll() is None, f"the daemon died: {self.said()}"
        return Path(f"/proc/{self._process.pid}")

    async def open_and_close(self, dest: str, port: int) -> float:
        """Open a forward of a qube, see it active, close it; return the seconds."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.add(dest, EXTERNAL.format(port))

        async def is_active() -> bool:
            return "active" in await self.states(dest)

        await until(is_active)
        await self.call("Set+forward", dest)
        taken = loop.time() - began
        assert f"ports={port}-" not in "".join(self.entries("sys-net").values())
        return taken


def _limit_descriptors() -> None:
    # What a service has that asks for no more.
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, hard))


def in_apart_world(
    root: Path,
    test: Callable[[ApartWorld], Awaitable[None]],
    before: Callable[[ApartWorld], None] = lambda _world: None,
) -> None:
    """Run a test in a fresh world; `before` is called before the daemon starts."""

    async def run() -> None:
        world = ApartWorld(root)
        await world.start()
        try:
            before(world)
            await world.start_daemon()
            await test(world)
        finally:
            await world.close()

    asyncio.run(run())
