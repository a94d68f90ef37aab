# SPDX-License-Identifier: GPL-2.0-or-later
"""A real gateway in a namespace between two qubes and a router; the test is dom0.

::

    one eth0 10.137.0.20 --- vif1.0 10.137.0.6 gateway eth0 192.168.1.10 --- router
    two eth0 10.137.0.21 --- vif2.0 10.137.0.6
"""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from qubesforward.model.hosts import parse_address
from qubesforward.qubes.mapping_wire import (
    Client,
    FromDom0,
    FromGateway,
    Seed,
    format_message,
    parse_from_gateway,
)
from tests.agent.outbound_world import Space
from tests.lab.mapping import ASKING
from tests.portmap.server_world import NATPMP_MAP

ONE, TWO, GATE, OUTER, ROUTER = (
    "10.137.0.20",
    "10.137.0.21",
    "10.137.0.6",
    "192.168.1.10",
    "192.168.1.1",
)
PATIENCE = 8.0

_RUN = "import runpy; runpy.run_module('tests.gateway.{}', run_name='__main__')"


def tell(process: subprocess.Popen[str], line: str) -> str:
    """Give a program a line, and return its answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


def wait_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


class Call:
    """A connection of the gateway to dom0."""

    def __init__(self, accepted: socket.socket) -> None:
        self._socket = accepted
        self._rest = b""
        self.heard: list[FromGateway] = []
        self.say(Seed("0a" * 32))

    def say(self, *messages: FromDom0) -> None:
        for message in messages:
            self._socket.sendall(format_message(message))

    def say_raw(self, data: bytes) -> None:
        self._socket.sendall(data)

    def hear(self, kind: type[FromGateway], patience: float = PATIENCE) -> Any:
        """Return the next message of a kind; what came before it is forgotten."""
        end = time.monotonic() + patience
        while True:
            while self.heard:
                message = self.heard.pop(0)
                if isinstance(message, kind):
                    return message
            assert time.monotonic() < end, f"no {kind.__name__}"
            self._read(0.1)

    def has_silence(self, seconds: float = 0.3) -> bool:
        """Whether the gateway says nothing for a while."""
        self._read(seconds)
        return not self.heard

    def is_over(self) -> bool:
        """Wait for the gateway to end the connection; whether it has."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if self._read(0.1):
                return True
        return False

    def _read(self, seconds: float) -> bool:
        self._socket.settimeout(seconds)
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            return False
        except OSError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        self.heard += [parse_from_gateway(line) for line in lines]
        return not data

    def close(self) -> None:
        self._socket.close()


class GatewayWorld:
    """The namespaces; `call` is the connection to dom0, once it was waited for."""

    def __init__(self, stack: ExitStack, directory: Path) -> None:
        self._stack = stack
        self.gateway = Space(stack)
        self.clients = {
            ONE: Space(stack, self.gateway),
            TWO: Space(stack, self.gateway),
        }
        self.router = Space(stack, self.gateway)
        self.plug(ONE, 1)
        self.plug(TWO, 2)
        self.gateway.run(
            f"ip link add eth0 type veth peer name lan0 netns {self.router.pid}",
            "ip link set eth0 up",
            f"ip addr add {OUTER}/24 dev eth0",
            f"ip route add default via {ROUTER}",
        )
        self.router.run("ip link set lan0 up", f"ip addr add {ROUTER}/24 dev lan0")
        self._asking = {
            name: space.script(ASKING)
            for name, space in [*self.clients.items(), (ROUTER, self.router)]
        }
        for asking in self._asking.values():
            wait_ready(asking)
        self._listener = socket.socket(socket.AF_UNIX)
        stack.enter_context(self._listener)
        self._path = directory / "dom0.sock"
        self._listener.bind(str(self._path))
        self._listener.listen()
        self._listener.settimeout(PATIENCE)
        run = _RUN.format("at_work")
        self._process = self.gateway.script(f"import sys; {run}", str(directory))
        wait_ready(self._process)
        self.order("want")
        self.call = self.accept()

    def plug(self, client: str, number: int) -> None:
        """Give a client its interface, and the gateway the other end."""
        space = self.clients[client]
        self.gateway.run(
            f"ip link add vif{number}.0 type veth peer name eth0 netns {space.pid}",
            f"ip link set vif{number}.0 group 2 up",
            f"ip addr add {GATE}/32 dev vif{number}.0",
            f"ip route add {client} dev vif{number}.0",
        )
        space.run(
            "ip link set eth0 up",
            f"ip addr add {client}/32 dev eth0",
            f"ip route add default via {GATE} dev eth0 onlink",
        )

    def order(self, line: str) -> None:
        """Have QubesDB say something to the gateway."""
        assert tell(self._process, line) == "ok"

    @contextmanager
    def without_dom0(self) -> Iterator[None]:
        """Have nobody there whom the gateway could call; then it has called again."""
        away = self._path.with_suffix(".away")
        self._path.rename(away)
        self.call.close()
        try:
            yield
        finally:
            away.rename(self._path)
            self.call = self.accept()

    def accept(self) -> Call:
        """Wait for a connection of the gateway."""
        accepted, _ = self._listener.accept()
        call = Call(accepted)
        self._stack.callback(call.close)
        return call

    def serve(self, *addresses: str, mappings: int = 64, beside: bool = False) -> None:
        """Have clients served, and wait until they are."""
        for address in addresses:
            outside = parse_address("203.0.113.9")
            client = Client(parse_address(address), mappings, outside, beside)
            self.call.say(client)
        for address in addresses:
            self.wait_served(address)

    def wait_served(self, client: str) -> None:
        end = time.monotonic() + PATIENCE
        while self.ask(client, b"\0\0", patience=0.2) in (None, "refused"):
            assert time.monotonic() < end, f"{client} is not served"
            time.sleep(0.02)

    def wait_refused(self, client: str) -> None:
        end = time.monotonic() + PATIENCE
        while self.ask(client, b"\0\0", patience=0.2) != "refused":
            assert time.monotonic() < end, f"{client} is served"
            time.sleep(0.02)

    def ask(
        self,
        who: str,
        data: bytes,
        *,
        own: str = "",
        to: str = "",
        port: int = 5351,
        patience: float = 0.5,
    ) -> bytes | str | None:
        """Return the answer that somebody gets; "refused" if nobody listens."""
        to = to or (OUTER if who == ROUTER else GATE)
        line = json.dumps([own, to, port, data.hex(), patience])
        answer = json.loads(tell(self._asking[who], line))
        return answer if answer in (None, "refused") else bytes.fromhex(answer)

    def wish(self, who: str, inner: int, *, own: str = "") -> bytes | str | None:
        """Ask for a mapping by NAT-PMP; nobody answers that before dom0 does."""
        return self.ask(who, NATPMP_MAP.pack(0, 1, inner, inner, 600), own=own)


class Router:
    """A program that is the router of such a world."""

    def __init__(self, world: GatewayWorld) -> None:
        self._process = world.router.script(_RUN.format("router"))
        wait_ready(self._process)

    def list(self) -> list[str]:
        """Return what it leads here, as `tcp:80:8080`."""
        return tell(self._process, "list").split()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def make_gateway_world(directory: Path) -> Iterator[GatewayWorld]:
    """Build the world, and end all its processes afterwards."""
    with ExitStack() as stack:
        yield GatewayWorld(stack, directory)
