# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers and clients for packet tests: who answered, and whom did it see?"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol


class Lab(Protocol):
    """What these tests need of a running lab."""

    def exec(self, name: str, argv: Sequence[str], **more: Any) -> Any: ...
    def spawn(self, name: str, argv: Sequence[str]) -> subprocess.Popen[str]: ...


# Answers every connection and datagram with one line of JSON: who I am, who you
# are to me, and which of my ports you came to. Echoes what else is sent.
SERVER = """
import json, selectors, socket, sys
name, ports = sys.argv[1], json.loads(sys.argv[2])
pick = selectors.DefaultSelector()
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    for port in ports:
        one = socket.socket(socket.AF_INET6, kind)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one.bind(("::", port))
        if kind == socket.SOCK_STREAM:
            one.listen(50)
        pick.register(one, selectors.EVENT_READ, port)
print("ready", flush=True)
def line(peer, port):
    host = peer[0].removeprefix("::ffff:")
    return json.dumps([name, host, port]).encode() + b"\\n"
while True:
    for key, _ in pick.select():
        one, port = key.fileobj, key.data
        try:
            if port is None:
                data = one.recv(65536)
                if data:
                    one.send(data)
                else:
                    pick.unregister(one)
                    one.close()
            elif one.type == socket.SOCK_STREAM:
                new, peer = one.accept()
                new.send(line(peer, port))
                pick.register(new, selectors.EVENT_READ, None)
            else:
                data, peer = one.recvfrom(65536)
                one.sendto(line(peer, port), peer)
        except OSError:
            pass
"""

# Takes a list of [proto, address, port] and prints the list of answers, null for
# none. All at once, so that silence costs its patience only once.
_CLIENT = """
import json, selectors, socket, sys, time
wanted, patience, source = json.loads(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
answers = [None] * len(wanted)
pick = selectors.DefaultSelector()
for number, (proto, address, port) in enumerate(wanted):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    one = socket.socket(family, kind)
    one.setblocking(False)
    if source:
        one.bind((source, 0))
    try:
        if one.connect_ex((address, port)) in (0, 115):
            if proto == "udp":
                one.send(b"?")
            pick.register(one, selectors.EVENT_READ, number)
    except OSError:
        pass
end = time.monotonic() + patience
while pick.get_map() and time.monotonic() < end:
    for key, _ in pick.select(max(0, end - time.monotonic())):
        try:
            data = key.fileobj.recv(4096)
            answers[key.data] = json.loads(data) if data else None
        except (OSError, ValueError):
            pass
        pick.unregister(key.fileobj)
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Answer:
    """Which qube answered, which client address it saw, at which of its ports."""

    qube: str
    client: str
    port: int


@contextmanager
def serving(lab: Lab, qube: str, ports: Iterable[int]) -> Iterator[None]:
    """Serve TCP and UDP of both families on `ports` of a qube."""
    server = lab.spawn(qube, ["python3", "-c", SERVER, qube, json.dumps(sorted(ports))])
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.strip() == "ready", f"no server in {qube}: {line!r}"
        yield
    finally:
        server.kill()
        server.communicate()


def probe_all(
    lab: Lab,
    where: str,
    wanted: Sequence[tuple[str, str, int]],
    *,
    patience: float = 0.7,
    source: str = "",
) -> list[Answer | None]:
    """Try to reach each (proto, address, port) from `where`; None: no answer."""
    done = lab.exec(
        where,
        ["python3", "-c", _CLIENT, json.dumps(list(wanted)), str(patience), source],
    )
    assert done.returncode == 0, done.stderr
    return [a and Answer(a[0], a[1], a[2]) for a in json.loads(done.stdout)]


def probe(
    lab: Lab, where: str, address: str, port: int, proto: str = "tcp", **more: Any
) -> Answer | None:
    """Try to reach one port from `where`."""
    return probe_all(lab, where, [(proto, address, port)], **more)[0]
