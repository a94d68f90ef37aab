# SPDX-License-Identifier: GPL-2.0-or-later
"""Two programs on two computers that connect by ICE, with aioice; and the computers."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tests.lab.standing import Standing
from tests.lab.traffic import Lab

STUN = "44.128.1.2", 3478
"""Address and port at which the internet tells who asks how it sees him (RFC 8489)."""

_SERVER = """
import socket, sys
from aioice import stun
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.bind((sys.argv[1], int(sys.argv[2])))
print("ready", flush=True)
while True:
    data, peer = one.recvfrom(2048)
    asked = stun.parse_message(data)
    answer = stun.Message(
        stun.Method.BINDING, stun.Class.RESPONSE, asked.transaction_id
    )
    answer.attributes["XOR-MAPPED-ADDRESS"] = peer
    one.sendto(bytes(answer), peer)
"""

# Binds its port, asks for it by NAT-PMP, and then asks the STUN server: what it offers
# are its own address, what the STUN server sees, and what it was granted. Takes two
# lines: anything, which is answered with the offer; and the other's offer, which is
# answered with the kinds of the two addresses that are used, null if there is no way.
_PEER = """
import asyncio, json, re, subprocess, sys
import aioice
from aioice.ice import server_reflexive_candidate
stun, leads, patience = json.loads(sys.argv[1])
def map_port(port):
    words = ["natpmpc", "-a", str(port), str(port), "udp", "600"]
    # The second answer has the router's address: it is known by then.
    for _ in range(2):
        said = subprocess.run(words, capture_output=True, text=True).stdout
    found = re.search(r"Public IP address : (\\S+)(?s:.*)public port (\\d+)", said)
    return found and (found[1], int(found[2]))
def reflexive(own, address, port):
    return aioice.Candidate(
        "mapped", 1, "udp", own.priority // 2, address, port, "srflx",
        related_address=own.host, related_port=own.port)
async def offer(one):
    await one.gather_candidates()
    own = one.local_candidates[0]
    mapped = map_port(own.port)
    seen, _ = await server_reflexive_candidate(one._protocols[0], tuple(stun))
    offered = [own, seen] + ([reflexive(own, *mapped)] if mapped else [])
    return {
        "candidates": [each.to_sdp() for each in offered],
        "user": one.local_username, "password": one.local_password,
        "seen": [seen.host, seen.port], "mapped": mapped}
async def connect(one, other):
    one.remote_username, one.remote_password = other["user"], other["password"]
    for text in other["candidates"]:
        await one.add_remote_candidate(aioice.Candidate.from_sdp(text))
    await one.add_remote_candidate(None)
    try:
        async with asyncio.timeout(patience):
            await one.connect()
            await one.send(b"hello")
            assert await one.recv() == b"hello"
    except (TimeoutError, ConnectionError):
        return None
    pair = one._nominated[1]
    return [pair.remote_candidate.host, pair.remote_candidate.port]
async def main():
    print("ready", flush=True)
    one = aioice.Connection(ice_controlling=leads, use_ipv6=False)
    sys.stdin.readline()
    print(json.dumps(await offer(one)), flush=True)
    other = json.loads(await asyncio.to_thread(sys.stdin.readline))
    print(json.dumps(await connect(one, other)), flush=True)
    # The other may still have to hear something.
    await asyncio.to_thread(sys.stdin.readline)
    await one.close()
asyncio.run(main())
"""

_TOPOLOGY = """
[system]
default_template = "debian-12"

[networks.home]
ip = "192.168.1.0/24"
ip6 = "2001:db8:1::/64"

[networks.office]
ip = "192.168.2.0/24"
ip6 = "2001:db8:2::/64"

[networks.provider]
ip = "44.128.1.0/24"
ip6 = "2001:db8:ffff::/64"

[hosts.internet]
cards = [{ network = "provider", ip = "44.128.1.2", ip6 = "2001:db8:ffff::2" }]

[qubes.debian-12]
class = "TemplateVM"
label = "black"
features = { "supported-service.qubes-forward" = "1" }
"""

_ROUTER = """
[hosts.router-{name}]
masquerade = "wan0"
igd = {{ natpmp = true, upnp = true }}
[[hosts.router-{name}.cards]]
name = "lan0"
network = "{name}"
ip = "192.168.{n}.1"
ip6 = "2001:db8:{n}::1"
[[hosts.router-{name}.cards]]
name = "wan0"
network = "provider"
ip = "44.128.1.1{n}"
ip6 = "2001:db8:ffff::1{n}"
gateway = "44.128.1.2"
gateway6 = "2001:db8:ffff::2"
"""

_CARD = (
    'card = {{ name = "ens6", network = "{network}", ip = "192.168.{n}.{host}",'
    ' ip6 = "2001:db8:{n}::{host}", gateway = "192.168.{n}.1",'
    ' gateway6 = "2001:db8:{n}::1" }}'
)


def two_homes() -> str:
    """Return a topology of three computers, of which two are on one LAN.

    `work` is behind two netvms at home, `far` behind three in the office, and `near`
    behind one at home. The routers open ports when asked, and are at `edge_of`.
    """
    cards = {
        "sys-net": _CARD.format(network="home", n=1, host=10),
        "near-net": _CARD.format(network="home", n=1, host=30),
        "far-net": _CARD.format(network="office", n=2, host=10),
    }
    netvms = dict.fromkeys(cards, "") | {
        "sys-firewall": "sys-net",
        "work": "sys-firewall",
        "near": "near-net",
        "far-firewall": "far-net",
        "far-vpn": "far-firewall",
        "far": "far-vpn",
    }
    parts = [_TOPOLOGY]
    parts += [
        _ROUTER.format(name=name, n=n) for name, n in (("home", 1), ("office", 2))
    ]
    for name, netvm in netvms.items():
        lines = [f"[qubes.{name}]", 'class = "AppVM"', 'label = "red"']
        lines += ['template = "debian-12"', "autostart = true"]
        lines += [f'netvm = "{netvm}"'] if netvm else []
        lines += ["provides_network = true"] if name in netvms.values() else []
        lines += [cards[name]] if name in cards else []
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


class Stun(Standing):
    """The STUN server."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, "internet", _SERVER, STUN[0], str(STUN[1]))


class Offer(NamedTuple):
    """What a peer knows of itself: how STUN sees its port, and what it was granted."""

    seen: tuple[str, int]
    mapped: tuple[str, int] | None


class Peer(Standing):
    """A program that asks for its port if it can, and connects to another one."""

    def __init__(self, lab: Lab, where: str, *, leads: bool, patience: float) -> None:
        super().__init__(lab, where, _PEER, json.dumps([STUN, leads, patience]))
        self.offer: dict[str, Any] = self.ask(None)

    @property
    def knows(self) -> Offer:
        """What it knows of itself."""
        seen, mapped = self.offer["seen"], self.offer["mapped"]
        return Offer(tuple(seen), tuple(mapped) if mapped else None)


def connect(one: Peer, other: Peer) -> tuple[str, int] | None:
    """Let two connect; return where the first reaches the second, None for nowhere."""
    one.tell(other.offer)
    other.tell(one.offer)
    found, back = one.hear(), other.hear()
    assert (found is None) == (back is None)
    return tuple(found) if found else None
