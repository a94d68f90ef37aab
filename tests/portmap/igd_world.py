# SPDX-License-Identifier: GPL-2.0-or-later
"""A client and its gateway in two namespaces, for programs that others wrote.

::

    client eth0 10.137.0.20 --- 10.137.0.6 vif1.0 gateway
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.agent.outbound_world import CLIENT, GATEWAY, Space

OUTSIDE = "9.9.9.9"
"""An address that programs take for one of the internet."""

_RUN = (
    "import runpy; runpy.run_module('tests.portmap.igd_gateway', run_name='__main__')"
)


class IgdWorld:
    """The two namespaces, joined as Qubes joins them, and the gateway in one."""

    def __init__(self, stack: ExitStack) -> None:
        self.gateway = Space(stack)
        self.client = Space(stack, self.gateway)
        self.gateway.run(
            f"ip link add vif1.0 type veth peer name eth0 netns {self.client.pid}",
            "ip link set vif1.0 group 2 up",
            f"ip addr add {GATEWAY}/32 dev vif1.0",
            f"ip route add {CLIENT} dev vif1.0",
        )
        self.client.run(
            "ip link set eth0 up",
            f"ip addr add {CLIENT}/32 dev eth0",
            f"ip route add default via {GATEWAY} dev eth0 onlink",
        )
        arguments = ["vif1.0", GATEWAY, CLIENT, OUTSIDE]
        self._process = self.gateway.script(_RUN, *arguments)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ready\n"

    def tell(self, line: str) -> str:
        """Give the gateway a command; return what it says."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def run(self, *command: str) -> str:
        """Run a program of the client; return all that it printed."""
        done = subprocess.run(
            [*self.client.entered, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
            check=False,
        )
        return done.stdout

    @contextmanager
    def started(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """Start a program of the client; it is ended on leaving."""
        process = subprocess.Popen(
            [*self.client.entered, *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


@contextmanager
def make_igd_world() -> Iterator[IgdWorld]:
    """Build the world, and end all its processes afterwards."""
    with ExitStack() as stack:
        yield IgdWorld(stack)
