# SPDX-License-Identifier: GPL-2.0-or-later
"""A LAN host, a hop and a target, in namespaces, with an agent in the latter two.

::

    lan eth0 --- ens0 hop vif1.0 --- eth0 target
                          vif2.0 --- eth0 neighbour

Nothing outside the namespaces is touched, and they end with their processes.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qubesforward.errors import QubesDBError
from qubesforward.qubes.qubesdb import QubesDB
from qubesforward.qubes.setting import Setting
from tests.agent.kernel_rig import QUBES
from tests.agent.outbound_world import Space
from tests.agent.packet_filter import FILTER, NFT, PacketFilter

HOP, HOP6 = "192.168.77.1", "fd77::1"
LAN, LAN6 = "192.168.77.2", "fd77::2"
GATEWAY, GATEWAY6 = "10.137.0.1", "fd00::1"
TARGET, TARGET6 = "10.137.0.5", "fd00::5"
NEIGHBOUR = "10.137.0.6"

SERVE = """
import json, socket, sys, threading, time
def stream(listener):
    while True:
        s, peer = listener.accept()
        threading.Thread(target=talk, args=(s, peer), daemon=True).start()
def talk(s, peer):
    try:
        s.sendall(peer[0].removeprefix("::ffff:").encode() + b"\\n")
        # Then without end, so that a connection that goes on is seen to go on.
        while True:
            s.sendall(b".")
            time.sleep(0.02)
    except OSError:
        pass
def datagrams(s):
    while True:
        data, info, _, peer = s.recvmsg(100, 200)
        answer = peer[0].removeprefix("::ffff:").encode() + b"\\n"
        s.sendmsg([answer], info, 0, peer)
        if data == b"more":
            threading.Thread(target=push, args=(s, info, peer), daemon=True).start()
def push(s, info, peer):
    for _ in range(200):
        time.sleep(0.02)
        s.sendmsg([b"."], info, 0, peer)
for port in map(int, sys.argv[1:]):
    # A client of this qube may send from the port that is served.
    listener = socket.create_server(("::", port), family=socket.AF_INET6,
                                    dualstack_ipv6=True, reuse_port=True)
    threading.Thread(target=stream, args=[listener], daemon=True).start()
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(("::", port))
    threading.Thread(target=datagrams, args=[s], daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

DIAL = """
import select, socket, sys, time
held = None
def dial(proto, host, port, source="0"):
    global held
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    s = socket.socket(family, kind)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        s.setsockopt(socket.SOL_SOCKET, option, 1)
    s.bind(("", int(source)))
    s.settimeout(0.6)
    s.connect((host, int(port)))
    if proto != "tcp":
        s.send(b"more" if proto == "udp-stream" else b"?")
    answer = s.recv(100).partition(b"\\n")[0].decode()
    held = s
    return answer
def flow():
    # Bytes that come now; what was on the way before is not counted.
    deadline = time.monotonic() + 0.15
    while time.monotonic() < deadline:
        if select.select([held], [], [], 0.01)[0] and not held.recv(65536):
            return "ended"
    held.settimeout(0.5)
    return "flows" if held.recv(65536) else "ended"
def again():
    held.settimeout(0.6)
    held.send(b"?")
    return held.recv(100).partition(b"\\n")[0].decode()
for line in sys.stdin:
    words = line.split()
    try:
        call = {"flow": flow, "again": again}.get(words[0])
        answer = call() if call else dial(*words)
    except OSError as error:
        answer = type(error).__name__
    print(answer, flush=True)
"""


class Talker:
    """A process in a namespace that answers a line to each line."""

    def __init__(self, space: Space, source: str, *words: str) -> None:
        self._process = space.script(source, *words)

    def __call__(self, *words: object) -> str:
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()


class Agent:
    """One qube's QubesDB, and the agent in it."""

    def __init__(
        self,
        stack: ExitStack,
        space: Space,
        folder: Path,
        packet_filter: PacketFilter = NFT,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        self.space = space
        self._filter = packet_filter
        self._setting = setting
        self._stack = stack
        self.dom0 = str(folder / "dom0.sock")
        self._qube = str(folder / "qube.sock")
        self._generation = 0
        self.start_database()
        self.start()

    def start_database(self) -> None:
        module = "qubesforward.lab.qubesdb_daemon"
        sockets = ["--dom0-socket", self.dom0, "--qube-socket", self._qube]
        self.database = _start(
            self._stack, [sys.executable, "-m", module, "test", *sockets]
        )
        assert self.database.stdout is not None
        assert self.database.stdout.readline() == b"ready\n"

    @property
    def options(self) -> list[str]:
        given = ["--qubesdb", self._qube, "--log-level", "warning"]
        return [*given, "--setting", self._setting]

    def start(self) -> None:
        module = "qubesforward.agent.main"
        self.process = _start(
            self._stack,
            [
                *self.space.entered,
                *("env", *(f"{k}={v}" for k, v in self._filter.environment.items())),
                *(sys.executable, "-m", module, *self.options, *self._filter.options),
            ],
        )

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def order(self, entries: Mapping[str, str | None], settle: bool = True) -> None:
        """Write and remove entries, commit, and wait until that is handled."""
        asyncio.run(self._order(entries, settle))

    @contextmanager
    def ordered(self, entries: Mapping[str, str]) -> Iterator[None]:
        """Have entries for a while."""
        self.order(entries)
        try:
            yield
        finally:
            self.order(dict.fromkeys(entries))

    def next_generation(self) -> bytes:
        """Return what the next commit is to be."""
        self._generation += 1
        return b"%d" % self._generation

    async def _order(self, entries: Mapping[str, str | None], settle: bool) -> None:
        db = await QubesDB.connect(self.dom0)
        await db.watch("/qubes-forward-handled")
        generation = self.next_generation()
        for entry_id, text in entries.items():
            path = f"/qubes-forward/{entry_id}"
            if text is None:
                await db.rm(path)
            else:
                await db.write(path, text.encode())
        await db.write("/qubes-forward", generation)
        async with asyncio.timeout(5):
            while settle and await db.read("/qubes-forward-handled") != generation:
                await db.next_event()
        await db.aclose()

    def read(self, path: str) -> str:
        """Return what the QubesDB holds at a path, all of it below one with ``/``."""

        async def read() -> bytes:
            db = await QubesDB.connect(self.dom0)
            try:
                if path.endswith("/"):
                    return b"\n".join((await db.multiread(path)).values())
                return await db.read(path) or b""
            finally:
                await db.aclose()

        return asyncio.run(read()).decode()

    def write(self, path: str, value: str) -> None:
        async def write() -> None:
            db = await QubesDB.connect(self.dom0)
            await db.write(path, value.encode())
            await db.aclose()

        asyncio.run(write())

    def restart_qube(self) -> None:
        """Start the agent in a qube that has just started: its QubesDB is new."""
        self.kill()
        self.database.kill()
        self.database.wait()
        for path in (self.dom0, self._qube):
            Path(path).unlink(missing_ok=True)
        self.start_database()
        self.start()
        self.order({})

    def report(self) -> dict[str, str]:
        """Ask for a report; return what it says of each entry."""
        token = str(time.monotonic_ns())
        self.write("/qubes-forward-ask", token)
        assert wait_until(lambda: self.read("/qubes-forward-reported") == token)
        lines = self.read("/qubes-forward-report/").splitlines()
        return {line.split()[0]: line.partition(" ")[2] for line in lines}

    def refused(self, entry_id: str) -> str:
        return self.read(f"/qubes-forward-refused/{entry_id}")


def _start(stack: ExitStack, command: list[str]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE)

    def end() -> None:
        process.kill()
        process.communicate()

    stack.callback(end)
    return process


class World:
    """All of it, joined, with agents that have no orders yet."""

    def __init__(
        self, stack: ExitStack, folder: Path, packet_filter: PacketFilter = NFT
    ) -> None:
        self.hop = Space(stack)
        self.lan = Space(stack, self.hop)
        self.target = Space(stack, self.hop)
        self.neighbour = Space(stack, self.hop)
        self._join()
        for space in (self.hop, self.target):
            packet_filter.load_base(space)
        agents = []
        for name, space in (("hop", self.hop), ("target", self.target)):
            (folder / name).mkdir()
            agents.append(Agent(stack, space, folder / name, packet_filter))
        self.hop_agent, self.target_agent = agents
        server = self.target.script(SERVE, "5000", "8443")
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        self.dial = Talker(self.lan, DIAL)
        self.dial_from_target = Talker(self.target, DIAL)
        self.dial_from_neighbour = Talker(self.neighbour, DIAL)
        for agent in agents:
            agent.order({})
        # What the qubes below send out is not filtered, or nothing would be seen of
        # who is stopped by what.
        for address in (TARGET, TARGET6, NEIGHBOUR):
            self.hop_agent.write(f"/qubes-firewall/{address}/policy", "accept")
            self.hop_agent.write(f"/qubes-firewall/{address}", "")
        handled = f"/qubes-firewall-handled/{NEIGHBOUR}"
        assert wait_until(lambda: self.hop_agent.read(handled))

    def _join(self) -> None:
        for number, space in ((1, self.target), (2, self.neighbour)):
            self.hop.run(
                f"ip link add vif{number}.0 type veth peer name eth0 netns {space.pid}",
                f"ip link set vif{number}.0 group 2 up",
                f"ip addr add {GATEWAY}/32 dev vif{number}.0",
                f"ip addr add {GATEWAY6}/128 dev vif{number}.0 nodad",
            )
        self.hop.run(
            f"ip link add ens0 type veth peer name eth0 netns {self.lan.pid}",
            "ip link set ens0 up",
            f"ip addr add {HOP}/24 dev ens0",
            f"ip addr add {HOP6}/64 dev ens0 nodad",
            f"ip route add {TARGET} dev vif1.0",
            f"ip route add {TARGET6} dev vif1.0",
            f"ip route add {NEIGHBOUR} dev vif2.0",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
        )
        for space, address in ((self.target, TARGET), (self.neighbour, NEIGHBOUR)):
            space.run(
                "ip link set eth0 group 1 up",
                f"ip addr add {address}/32 dev eth0",
                f"ip route add default via {GATEWAY} dev eth0 onlink",
            )
        self.target.run(
            f"ip addr add {TARGET6}/128 dev eth0 nodad",
            f"ip route add default via {GATEWAY6} dev eth0 onlink",
        )
        self.lan.run(
            "ip link set eth0 up",
            f"ip addr add {LAN}/24 dev eth0",
            f"ip addr add {LAN6}/64 dev eth0 nodad",
            f"ip route add 10.137.0.0/24 via {HOP}",
        )


@contextmanager
def make_world(
    folder: Path, packet_filter: PacketFilter | None = None
) -> Iterator[World]:
    """Build the world with sockets in `folder`, and end all of it afterwards.

    With LAB_BACKEND=iptables in the environment it has iptables if nothing is said.
    """
    if packet_filter is None and os.environ.get("LAB_BACKEND") == "iptables":
        from tests.agent.iptables_world import iptables_filter

        (folder / "bin").mkdir()
        packet_filter = iptables_filter(folder / "bin", "legacy")
    with ExitStack() as stack:
        yield World(stack, folder, packet_filter or NFT)


def wait_until(is_so: object, patience: float = 3.0) -> bool:
    """Call again and again until the answer is true; False if it never was."""
    assert callable(is_so)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            if is_so():
                return True
        except QubesDBError:
            pass
        time.sleep(0.02)
    return False


__all__ = ["FILTER", "QUBES", "World", "make_world", "wait_until"]
