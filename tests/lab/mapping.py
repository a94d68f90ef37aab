# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of a qube that ask for ports: those of others, and raw packets of ours."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any

from qubesforward.plan.serving import IGD_PORT
from qubesforward.portmap import natpmp_wire, pcp_wire
from qubesforward.portmap.errors import MalformedResponse
from qubesforward.portmap.mapping import Network, Transport
from qubesforward.portmap.pcp_options import encode_options
from tests.lab.forwards import dom0, forwards_of
from tests.lab.running_lab import RunningLab
from tests.lab.standing import Standing, eventually

GATEWAY_PORT = 5351

# Takes [own address or "", address, port, datagram in hex, seconds]; sends it and
# answers with what came back in hex, "refused" if the kernel there says so, or null.
ASKING = """
import json, socket, sys
print("ready", flush=True)
for line in sys.stdin:
    own, to, port, data, patience = json.loads(line)
    one = socket.socket(socket.AF_INET6 if ":" in to else socket.AF_INET,
                        socket.SOCK_DGRAM)
    if own:
        one.bind((own, 0))
    one.settimeout(patience)
    answer = None
    try:
        one.connect((to, port))
        one.send(bytes.fromhex(data))
        answer = one.recv(2048).hex()
    except TimeoutError:
        pass
    except OSError:
        # Whatever the kernel there says: nobody listens, or nobody may come in.
        answer = "refused"
    one.close()
    print(json.dumps(answer), flush=True)
"""

# Sends one datagram to an address and port from a port of its own, again and again,
# until the far end's answer comes, and prints that.
_SENDER = """
import socket, sys
own, to, port = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
one.bind(("", own))
one.settimeout(0.5)
for _ in range(10):
    one.sendto(b"?", (to, port))
    try:
        print(one.recv(100).decode())
        break
    except TimeoutError:
        pass
"""

# Tells each datagram's sender from which address and port it came.
_MIRROR = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind(("", int(sys.argv[1])))
print("ready", flush=True)
while True:
    data, (host, port) = one.recvfrom(100)
    one.sendto(f"{host} {port}".encode(), (host, port))
"""


@dataclass(frozen=True)
class Told:
    """What NAT-PMP told a program: the outside, and the mapping if there is one."""

    address: str
    epoch: int
    outer: int = 0
    lifetime: int = 0


def natpmpc(lab: RunningLab, qube: str, *mapping: Any) -> Told | None:
    """Ask by NAT-PMP, perhaps for a mapping (`inner, outer, proto, lifetime`).

    None if that failed.
    """
    inner, outer, *rest = map(str, mapping or ("", ""))
    words = ["-a", outer, inner, *rest] if mapping else []
    # Its requests are few, and the firewall of a qube that just starts may drop one.
    done = lab.exec(qube, ["timeout", "5", "natpmpc", *words])
    said = done.stdout
    address = re.search(r"Public IP address : (\S+)", said)
    epoch = re.findall(r"epoch = (\d+)", said)
    if done.returncode or address is None or not epoch:
        return None
    told = Told(address[1], int(epoch[-1]))
    if not mapping:
        return told
    found = re.search(r"Mapped public port (\d+) .* liftime (\d+)", said)
    if found is None:
        return None
    return Told(told.address, told.epoch, int(found[1]), int(found[2]))


def upnpc(lab: RunningLab, qube: str, *words: str, gateway: str = "") -> str:
    """Run upnpc; return all that it said. Without a gateway it searches for one."""
    where = ["-u", f"http://{gateway}:{IGD_PORT}/1/gateway.xml"] if gateway else []
    done = lab.exec(qube, ["upnpc", *where, *words])
    return str(done.stdout + done.stderr)


def list_by_upnp(lab: RunningLab, qube: str, gateway: str) -> list[str]:
    """Return the mappings that upnpc lists, as `UDP 5000->10.137.0.5:5000`."""
    listed = upnpc(lab, qube, "-l", gateway=gateway)
    assert "Found valid IGD" in listed, listed
    found = re.findall(r"^ *\d+ (UDP|TCP) +(\S+)", listed, re.MULTILINE)
    return [f"{proto} {mapping}" for proto, mapping in found]


def allow(lab: RunningLab, qube: str, **features: str) -> None:
    """Let programs of a qube have ports, and wait until they are heard."""
    for name, value in {"portmap": "allow", **features}.items():
        dom0(lab, "qvm-features", qube, name.replace("_", "-"), value)
    eventually(lambda: natpmpc(lab, qube) is not None, True)


def forbid(lab: RunningLab, qube: str) -> None:
    """Let programs of a qube have nothing, and forget how much they could have."""
    for name in ("portmap", "portmap-ports", "portmap-lifetime", "portmap-reach"):
        dom0(lab, "qvm-features", "--unset", qube, name, ok=False)


def mapped(lab: RunningLab, qube: str) -> dict[str, str]:
    """Return a qube's mappings, by protocol and outer port, with their states."""
    found = {}
    for forward in forwards_of(lab, qube):
        if forward["origin"] == "portmap":
            proto, ports = re.findall(r"(?:proto|srcports)=(\S+)", forward["rule"])
            found[f"{proto} {ports.partition('-')[0]}"] = str(forward["state"])
    return found


class Asker(Standing):
    """Sends raw packets from a qube."""

    def __init__(self, lab: RunningLab, where: str) -> None:
        super().__init__(lab, where, ASKING)

    def send(
        self,
        data: bytes,
        to: str,
        port: int = GATEWAY_PORT,
        *,
        own: str = "",
        patience: float = 1.0,
    ) -> bytes | None:
        """Return the answer; None for none. ConnectionRefusedError: nobody is there."""
        answer = self.ask([own, to, port, data.hex(), patience])
        if answer == "refused":
            raise ConnectionRefusedError
        return None if answer is None else bytes.fromhex(answer)

    def is_refused(self, to: str, port: int) -> bool:
        """Whether the kernel there says that nobody is to be had."""
        try:
            self.send(b"\0\0", to, port, patience=0.5)
        except ConnectionRefusedError:
            return True
        return False

    def pcp(
        self, own: str, to: str, inner: int, **more: Any
    ) -> pcp_wire.MapResponse | None:
        """Ask for a mapping by PCP in the name of `own`, and return the answer."""
        answer = self.send(pcp_request(own, inner, **more), to, own=own)
        if answer is None:
            return None
        try:
            response = pcp_wire.decode_response(answer)
        except MalformedResponse:
            return None
        return response if isinstance(response, pcp_wire.MapResponse) else None


def pcp_request(
    own: str,
    inner: int,
    *,
    outer: int = 0,
    lifetime: int = 3600,
    transport: Transport = Transport.UDP,
    nonce: bytes = b"first nonce!",
    exact: bool = False,
    client: str = "",
    filters: frozenset[Network] | None = None,
) -> bytes:
    """Return a request of PCP for a mapping; `client` is who it says that it is."""
    address = ip_address(own)
    request = pcp_wire.MapRequest(
        lifetime,
        nonce,
        pcp_wire.NUMBERS[transport],
        inner,
        outer,
        type(address)(0),
    )
    options = encode_options(exact=exact, filters=filters)
    return pcp_wire.encode_map_request(request, ip_address(client or own), options)


def natpmp_request(
    inner: int, outer: int, lifetime: int, transport: Transport = Transport.UDP
) -> bytes:
    """Return a request of NAT-PMP for a mapping."""
    request = natpmp_wire.MapRequest(transport, inner, outer, lifetime)
    return natpmp_wire.encode_request(request)


@contextmanager
def mirror(lab: RunningLab, where: str, port: int) -> Iterator[None]:
    """Have a server of UDP that tells everybody who he is to it."""
    server = lab.spawn(where, ["python3", "-c", _MIRROR, str(port)])
    try:
        assert server.stdout is not None
        assert server.stdout.readline().strip() == "ready"
        yield
    finally:
        server.kill()
        server.communicate()


def seen_as(lab: RunningLab, qube: str, own: int, to: str, port: int) -> str:
    """Return as whom a mirror sees a port of a qube: `192.168.1.10 6000`."""
    words = ["python3", "-c", _SENDER, str(own), to, str(port)]
    return lab.check(qube, *words).strip()


def memory(lab: RunningLab, where: str, program: str) -> int:
    """Return the most memory that a program of a domain ever had, in KiB."""
    (pid,) = lab.pids(where, program)
    with open(f"/proc/{pid}/status") as file:  # noqa: PTH123
        (peak,) = (line for line in file if line.startswith("VmHWM:"))
    return int(peak.split()[1])


def addresses(lab: RunningLab, names: Iterable[str]) -> Mapping[str, str]:
    """Return the IPv4 addresses of qubes on their links."""
    return {
        name: str(dom0(lab, "qvm-prefs", name, "ip").stdout).strip() for name in names
    }
