# SPDX-License-Identifier: GPL-2.0-or-later
"""The gateway at work, with a QubesDB of its own; dom0 is a unix socket.

Run in a namespace: `python -m tests.gateway.at_work DIRECTORY`. In that is `dom0.sock`,
which a test has made, and then `qubesdb.sock`. It reads lines: `want` and `unwant`,
which are dom0's orders in QubesDB; `empty`, which is a QubesDB that starts anew.
"""

from __future__ import annotations

import asyncio
import sys

from qubesforward.gateway.program import WANTED, Gateway
from qubesforward.lab.qubesdb_server import QubesDBServer

# Stands for qrexec-client-vm: its input and output are one socket, which it joins to
# another one.
_CALL = """
import select, socket, sys
ours, theirs = socket.socket(fileno=0), socket.socket(socket.AF_UNIX)
theirs.connect(sys.argv[1])
joined = {ours: theirs, theirs: ours}
while True:
    for one in select.select(list(joined), [], [])[0]:
        data = one.recv(65536)
        if not data:
            sys.exit(0)
        joined[one].sendall(data)
"""


class AtWork:
    def __init__(self, directory: str) -> None:
        self._path = f"{directory}/qubesdb.sock"
        command = (sys.executable, "-c", _CALL, f"{directory}/dom0.sock")
        self._gateway = Gateway(self._path, command)
        self._db = QubesDBServer()

    async def run(self) -> None:
        await self._db.listen(self._path)
        work = asyncio.create_task(self._gateway.run())
        loop = asyncio.get_running_loop()
        orders: asyncio.Queue[str] = asyncio.Queue()
        loop.add_reader(sys.stdin, lambda: orders.put_nowait(sys.stdin.readline()))
        print("ready", flush=True)
        while not work.done():
            await self._obey((await orders.get()).strip())

    async def _obey(self, line: str) -> None:
        if line == "want":
            self._db.store.write(WANTED, b"1")
            self._db.fire(WANTED)
        elif line == "unwant":
            self._db.store.remove(WANTED)
            self._db.fire(WANTED)
        elif line == "empty":
            self._db.close()
            self._db = QubesDBServer()
            await self._db.listen(self._path)
        print("ok", flush=True)


async def main() -> None:
    await AtWork(sys.argv[1]).run()


if __name__ == "__main__":
    asyncio.run(main())
