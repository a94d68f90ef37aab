# SPDX-License-Identifier: GPL-2.0-or-later
"""A router that speaks PCP and NAT-PMP: `python -m tests.gateway.router`.

It grants all. It reads lines and answers each: `list` with its mappings.
"""

from __future__ import annotations

import socket
import sys
import time
from ipaddress import ip_address
from select import select

from tests.portmap.server_world import World

EDGE = "203.0.113.9"


def main() -> None:
    worlds: dict[str, World] = {}
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.bind(("", 5351))
    print("ready", flush=True)
    while True:
        ready, _, _ = select([one, sys.stdin], [], [])
        if one in ready:
            data, (host, port) = one.recvfrom(2048)
            client, now = ip_address(host), time.monotonic()
            world = worlds.setdefault(
                host, World(client=client, outside=ip_address(EDGE), now=now)
            )
            world.now = now
            answer = world.send(data, port)
            if answer is not None:
                one.sendto(answer, (host, port))
        if sys.stdin in ready:
            if not sys.stdin.readline():
                return
            held = [
                f"{key.transport}:{key.inner}:{record.outer}"
                for world in worlds.values()
                for key, record in world.table.list_open()
            ]
            print(*held, flush=True)


if __name__ == "__main__":
    main()
