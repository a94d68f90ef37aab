# SPDX-License-Identifier: GPL-2.0-or-later
"""The QubesDB daemon of one qube of the lab, in place of the two that Qubes has.

Started by the lab's qubesd with the qube, ended by SIGTERM. Prints `ready` when its
sockets can be connected to, then closes its standard output.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from qubesforward.errors import Unavailable
from qubesforward.lab.qubesdb_server import QubesDBServer


async def serve(sockets: Sequence[str]) -> None:
    """Serve one new store on these sockets until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = QubesDBServer()
    try:
        for path in sockets:
            await server.listen(path)
        _say_ready()
        await stop.wait()
    finally:
        server.close()


def _say_ready() -> None:
    print("ready", flush=True)
    # The number stays taken: what is opened next must not become standard output.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def main() -> int:
    """Run the daemon. The exit status is 1 when a socket cannot be served."""
    parser = argparse.ArgumentParser(
        prog="qubesdb-daemon", description="QubesDB of one qube of the lab."
    )
    parser.add_argument("name", help="the qube; for listings of processes")
    parser.add_argument("--dom0-socket", required=True, metavar="PATH")
    parser.add_argument("--qube-socket", metavar="PATH")
    options = parser.parse_args()
    sockets = [path for path in (options.dom0_socket, options.qube_socket) if path]
    try:
        asyncio.run(serve(sockets))
    except Unavailable as error:
        print(f"qubesdb-daemon: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
