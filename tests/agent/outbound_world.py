# SPDX-License-Identifier: GPL-2.0-or-later
"""A client, a hop and a server in network namespaces of their own, as root or not.

::

    client eth0 --- vif1.0 hop eth0 --- eth0 server
    other  eth0 --- vif2.0

Nothing outside the namespaces is touched, and they end with their processes.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from qubesforward.errors import ApplyError

CLIENT, CLIENT6 = "10.137.0.20", "fd09:24ef:4179::a89:14"
OTHER = "10.137.0.21"
GATEWAY, GATEWAY6 = "10.137.0.6", "fe80::fcff:ffff:feff:ffff"
SERVER, SERVER6 = "192.168.77.2", "fd77::2"
SECOND, SECOND6 = "192.168.77.3", "fd77::3"
DNS = "10.139.1.1"
PORTS = (22, 53, 80, 443, 1000)

OWN_USERS = True
"""Whether the namespaces have users of their own, which is how anybody may make them.

Only root of the computer itself is granted socket buffers of any size (see
`NetlinkSocket.send_batch`), so that what is measured as root does without.
"""

_ROOT = Path(__file__).parents[2]

_PROBE = """
import errno, socket, struct, sys
held = None
names = iter(range(1, 30000))
def probe(kind, host, port="0"):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    if kind == "icmp":
        number = 58 if family == socket.AF_INET6 else 1
        s = socket.socket(family, socket.SOCK_RAW, number)
        head = 128 if number == 58 else 8
        # A new identifier each time, or it would be an old connection.
        name = next(names)
        total = 0 if number == 58 else 0xffff - ((head << 8) + name)
        packet = struct.pack("!BBHHH", head, 0, total, name, 0)
        s.settimeout(0.4)
        s.sendto(packet, (host, 0))
        while True:
            data = s.recv(2000)
            data = data if number == 58 else data[20:]
            if data[0] == (129 if number == 58 else 0):
                return "open"
    stream = kind != "udp"
    s = socket.socket(family, socket.SOCK_STREAM if stream else socket.SOCK_DGRAM)
    s.settimeout(0.6)
    s.connect((host, int(port)))
    if kind == "hold":
        global held
        held = s
    return talk(s)
def talk(s):
    s.sendall(b"hello")
    return "open" if s.recv(100) == b"hello" else "closed"
def answer(kind, *where):
    try:
        return talk(held) if kind == "again" else probe(kind, *where)
    except TimeoutError:
        return "timeout"
    except OSError as error:
        return errno.errorcode[error.errno]
for line in sys.stdin:
    print(answer(*line.split()), flush=True)
"""

_SERVE = """
import socket, sys, threading
def serve_stream(listener):
    while True:
        threading.Thread(target=echo, args=listener.accept()[:1]).start()
def echo(s):
    try:
        while data := s.recv(100):
            s.sendall(data)
    except OSError:
        pass
def serve_datagrams(s):
    while True:
        data, info, _, peer = s.recvmsg(100, 200)
        # Answer from the address that was asked.
        s.sendmsg([data], info, 0, peer)
for port in map(int, sys.argv[1:]):
    listener = socket.create_server(("::", port), family=socket.AF_INET6,
                                    dualstack_ipv6=True)
    threading.Thread(target=serve_stream, args=[listener]).start()
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    s.bind(("::", port))
    threading.Thread(target=serve_datagrams, args=[s]).start()
print("ready", flush=True)
"""


class Space:
    """One network namespace, held by a process that sleeps in it."""

    def __init__(self, stack: ExitStack, parent: Space | None = None) -> None:
        self._stack = stack
        self._entry: list[str] = []
        users = ["-U", "-r"] if OWN_USERS and not parent else []
        unshare = ["unshare", *users, "-n", "sleep", "infinity"]
        held = [*(parent.entered if parent else []), *unshare]
        self.pid: int = self._start(held).pid
        deadline = time.monotonic() + 5
        while Path(f"/proc/{self.pid}/comm").read_text() != "sleep\n":
            assert time.monotonic() < deadline, "no namespaces on this machine"
            time.sleep(0.002)
        # Link-local addresses would be of no use for a second.
        self.run(
            "ip link set lo up",
            "echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad",
        )

    @property
    def entered(self) -> list[str]:
        """What to put before a command to run it here."""
        users = ["--preserve-credentials", "-U"] if OWN_USERS else []
        return ["nsenter", *users, "-n", "-t", str(self.pid), "--"]

    def run(self, *commands: str) -> str:
        """Run shell commands here and return what they printed."""
        script = "set -e\n" + "\n".join(commands)
        return self._call(["sh", "-c", script], "")

    def nft(self, commands: str) -> None:
        """Apply nft commands here; raise `ApplyError` if the kernel refuses them."""
        try:
            self._call(["nft", "-f", "-"], commands)
        except AssertionError as error:
            raise ApplyError(str(error)) from None

    def script(self, source: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python program here that ends with the world."""
        return self._start([*self.entered, sys.executable, "-c", source, *arguments])

    def _start(self, command: list[str]) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT
        )
        self._stack.callback(_end, process)
        return process

    def _call(self, command: list[str], untrusted_input: str) -> str:
        done = subprocess.run(
            [*self.entered, *command],
            input=untrusted_input,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


class Prober:
    """Dials from a namespace, and says what came of it."""

    def __init__(self, space: Space) -> None:
        self._process = space.script(_PROBE)

    def __call__(self, *words: object) -> str:
        """Dial (``"tcp", host, port``); ``open``, ``timeout`` or an errno name."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(" ".join(map(str, words)) + "\n")
        process.stdin.flush()
        return process.stdout.readline().strip()


class World:
    """The namespaces, joined; both families are routed, nothing is filtered."""

    def __init__(self, stack: ExitStack) -> None:
        self.hop = Space(stack)
        self.client = Space(stack, self.hop)
        self.other = Space(stack, self.hop)
        self.server = Space(stack, self.hop)
        self._join()
        self.dial = Prober(self.client)
        self.dial_from_other = Prober(self.other)
        self.dial_from_outside = Prober(self.server)
        for space in (self.server, self.client, self.other):
            process = space.script(_SERVE, *map(str, PORTS))
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"

    def _join(self) -> None:
        for number, space in ((1, self.client), (2, self.other)):
            self.hop.run(
                f"ip link add vif{number}.0 type veth peer name eth0 netns {space.pid}",
                f"ip link set vif{number}.0 group 2 up",
                f"ip addr add {GATEWAY}/32 dev vif{number}.0",
                f"ip addr add {GATEWAY6}/64 dev vif{number}.0 nodad",
            )
        self.hop.run(
            f"ip link add eth0 type veth peer name eth0 netns {self.server.pid}",
            "ip link set eth0 group 1 up",
            "ip addr add 192.168.77.1/24 dev eth0",
            "ip addr add fd77::1/64 dev eth0 nodad",
            f"ip route add {CLIENT} dev vif1.0",
            f"ip route add {OTHER} dev vif2.0",
            f"ip route add {CLIENT6} dev vif1.0",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            "echo 1 > /proc/sys/net/ipv6/conf/all/forwarding",
            # Rejections are counted on; the kernel sends only a few a second.
            "echo 0 > /proc/sys/net/ipv4/icmp_ratelimit",
            "echo 0 > /proc/sys/net/ipv6/icmp/ratelimit",
        )
        for space, address in ((self.client, CLIENT), (self.other, OTHER)):
            space.run(
                "ip link set eth0 up",
                f"ip addr add {address}/32 dev eth0",
                f"ip route add default via {GATEWAY} dev eth0 onlink",
            )
        self.client.run(
            f"ip addr add {CLIENT6}/128 dev eth0 nodad",
            f"ip route add default via {GATEWAY6} dev eth0",
        )
        self.server.run(
            "ip link set eth0 up",
            *(
                f"ip addr add {address} dev eth0 {nodad}"
                for address, nodad in (
                    (f"{SERVER}/24", ""),
                    (f"{SECOND}/24", ""),
                    (f"{DNS}/32", ""),
                    (f"{SERVER6}/64", "nodad"),
                    (f"{SECOND6}/64", "nodad"),
                )
            ),
            "ip route add default via 192.168.77.1",
            "ip route add default via fd77::1",
        )
        self.hop.run(f"ip route add {DNS} dev eth0")


@contextmanager
def make_world() -> Iterator[World]:
    """Build the world, and end all its processes afterwards."""
    with ExitStack() as stack:
        yield World(stack)
