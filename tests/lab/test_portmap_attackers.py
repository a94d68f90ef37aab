# SPDX-License-Identifier: GPL-2.0-or-later
"""Qubes that lie, steal, flood and send what is no request: nobody else notices.

`work` is the attacker, whose programs may have ports; `media` asks as everybody does;
`personal` may have none. Meanwhile the gateway and dom0's daemon must not grow.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest

from qubesforward.lab.topology import DEFAULT_TOPOLOGY
from qubesforward.model.entry import PORTMAP_PORT, SSDP_PORT
from qubesforward.plan.serving import IGD_PORT
from qubesforward.portmap import pcp_wire
from qubesforward.portmap.mapping import Transport
from qubesforward.portmap.pcp_result import Result
from tests.lab.forwards import dom0
from tests.lab.mapping import (
    Asker,
    addresses,
    allow,
    mapped,
    memory,
    natpmp_request,
    natpmpc,
    pcp_request,
    upnpc,
)
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.services import policy_file
from tests.lab.standing import eventually
from tests.lab.traffic import probe_all

pytestmark = pytest.mark.lab

NET = "192.168.1.10"
GROWTH = 16 * 1024
"""KiB by which a program may grow in all of this: its mappings and buffers."""

_OTHER_NONCE = b"second nonce"

_MEDIA = 'netvm = "sys-vpn"'
_FLOOD = """
import socket, sys, time
to, port, size, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), 2.0
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setblocking(False)
one.connect((to, port))
end = time.monotonic() + seconds
number = sent = 0
while time.monotonic() < end:
    number = number % 60000 + 1
    inner = (1024 + number).to_bytes(2, "big")
    data = b"\\0\\1\\0\\0" + inner + b"\\0\\0\\0\\0\\x0e\\x10"
    if size:
        data = b"\\2" * size
    try:
        one.send(data)
        sent += 1
    except OSError:
        pass
print(sent)
"""
_SLOW = """
import socket, sys, time
held = []
for _ in range(200):
    one = socket.socket()
    one.settimeout(0.2)
    try:
        one.connect((sys.argv[1], int(sys.argv[2])))
        one.send(b"POST /control/connection HTTP/1.1\\r\\nHost: ")
        held.append(one)
    except OSError:
        pass
print("ready", flush=True)
time.sleep(30)
"""
_STRANGER = """
import subprocess, sys
lines = sys.argv[1].encode().decode("unicode_escape").encode("latin-1")
call = subprocess.Popen(["qrexec-client-vm", "@adminvm", "qubes.PortMapping"],
                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
call.stdin.write(lines)
call.stdin.flush()
try:
    out, _ = call.communicate(timeout=2)
except subprocess.TimeoutExpired:
    call.kill()
    out, _ = call.communicate()
sys.stdout.write(out.decode("ascii", "replace"))
"""


class Scene:
    """The lab, who attacks in it, and where its gateway is."""

    def __init__(self, lab: RunningLab, work: Asker, personal: Asker) -> None:
        self.lab, self.work, self.personal = lab, work, personal
        at = addresses(lab, ["work", "media", "personal", "sys-firewall"])
        self.own, self.media = at["work"], at["media"]
        self.gateway, self.others = at["sys-firewall"], at["personal"]

    def others_are_served(self) -> bool:
        """Whether another qube gets its port meanwhile, and lets it go."""
        told = natpmpc(self.lab, "media", 7777, 7777, "udp", 60)
        gone = natpmpc(self.lab, "media", 7777, 0, "udp", 0)
        return told is not None and told.outer == 7777 and gone is not None

    def has_nothing(self) -> bool:
        """Whether the attacker got no port."""
        return mapped(self.lab, "work") == {}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    file = tmp_path_factory.mktemp("attackers") / "topology.toml"
    text = DEFAULT_TOPOLOGY.read_text()
    assert text.count(_MEDIA) == 1
    file.write_text(text.replace(_MEDIA, 'netvm = "sys-firewall"'))
    with running_lab(file) as lab:
        for qube in ("work", "media"):
            allow(lab, qube, portmap_reach="lan")
        with Asker(lab, "work") as work, Asker(lab, "personal") as personal:
            yield Scene(lab, work, personal)


@pytest.fixture(autouse=True)
def _undisturbed(scene: Scene) -> Iterator[None]:
    """See that others are served, and that nothing has grown, after each attack."""
    before = sizes(scene.lab)
    yield
    eventually(scene.others_are_served, True)
    eventually(lambda: mapped(scene.lab, "media"), {})
    for name, size in sizes(scene.lab).items():
        assert size - before[name] < GROWTH, name
    dom0(scene.lab, "qvm-forward", "work", "--close-all", ok=False)


def sizes(lab: RunningLab) -> dict[str, int]:
    return {
        "gateway": memory(lab, "sys-firewall", "qubes-forward-gateway"),
        "daemon": memory(lab, "dom0", "qubes-forwardd"),
    }


class TestLies:
    def test_another_address_in_a_request_is_a_mismatch(self, scene: Scene) -> None:
        for client in (scene.media, scene.gateway, "192.0.2.1"):
            answer = scene.work.pcp(scene.own, scene.gateway, 5000, client=client)
            assert answer is not None
            assert answer.result == Result.ADDRESS_MISMATCH
        assert scene.has_nothing()

    def test_a_spoofed_source_gets_nothing_and_opens_nothing(
        self, scene: Scene
    ) -> None:
        lab = scene.lab
        # Its own rules would give it its own address again.
        lab.check("work", "nft", "delete", "table", "ip", "qubes")
        for own in (scene.media, scene.others):
            lab.check("work", "ip", "addr", "add", f"{own}/32", "dev", "eth0")
            try:
                request = natpmp_request(5000, 5000, 60)
                answer = scene.work.send(request, scene.gateway, own=own)
                assert answer is None
            finally:
                lab.check("work", "ip", "addr", "del", f"{own}/32", "dev", "eth0")
        lab.run("service", "work", "restart", "qubes-base-firewall")
        assert mapped(lab, "media") == mapped(lab, "personal") == {}
        assert scene.has_nothing()

    def test_upnp_maps_to_nobody_else(self, scene: Scene) -> None:
        for client in (scene.media, scene.gateway, "192.0.2.1"):
            said = upnpc(
                scene.lab,
                "work",
                *("-i", "-a", client, "5000", "5000", "udp"),
                gateway=scene.gateway,
            )
            assert "is redirected to" not in said
        assert scene.has_nothing()

    def test_a_name_that_leads_to_the_gateway_is_not_its_own(
        self, scene: Scene
    ) -> None:
        url = f"http://{scene.gateway}:{IGD_PORT}/1/gateway.xml"
        for lie in ("Host: evil.example", "Origin: http://evil.example"):
            words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", lie]
            code = scene.lab.exec("work", [*words, url]).stdout
            assert code.startswith("4"), (lie, code)


class TestThieves:
    def test_what_another_qube_has_is_not_seen_renewed_or_deleted(
        self, scene: Scene
    ) -> None:
        told = natpmpc(scene.lab, "media", 6100, 6100, "udp", 60)
        assert told is not None
        try:
            answer = scene.work.pcp(
                scene.own, scene.gateway, 6100, outer=6100, exact=True
            )
            assert answer is not None
            assert answer.result == Result.CANNOT_PROVIDE_EXTERNAL
            for transport in Transport:
                request = natpmp_request(0, 0, 0, transport)
                assert scene.work.send(request, scene.gateway) is not None
            listed = upnpc(scene.lab, "work", "-i", "-l", gateway=scene.gateway)
            assert "6100" not in listed
            upnpc(scene.lab, "work", "-i", "-d", "6100", "udp", gateway=scene.gateway)
            assert mapped(scene.lab, "media") == {"udp 6100": "active"}
        finally:
            natpmpc(scene.lab, "media", 6100, 0, "udp", 0)

    def test_another_nonce_of_the_same_qube_is_not_authorized(
        self, scene: Scene
    ) -> None:
        mine = scene.work.pcp(scene.own, scene.gateway, 6200)
        assert mine is not None
        assert mine.result == Result.SUCCESS
        for lifetime in (0, 3600):
            answer = scene.work.pcp(
                scene.own, scene.gateway, 6200, nonce=_OTHER_NONCE, lifetime=lifetime
            )
            assert answer is not None
            assert answer.result == Result.NOT_AUTHORIZED
        assert list(mapped(scene.lab, "work")) == [f"udp {mine.external}"]

    @pytest.mark.parametrize("port", [22, 80, 443, 1023])
    def test_ports_below_the_policy_are_nobodys(self, scene: Scene, port: int) -> None:
        told = natpmpc(scene.lab, "work", 6300, port, "tcp", 60)
        assert told is not None
        assert told.outer >= 1024
        answer = scene.work.pcp(scene.own, scene.gateway, 6301, outer=port, exact=True)
        assert answer is not None
        assert answer.result == Result.CANNOT_PROVIDE_EXTERNAL

    def test_the_gateways_own_ports_stay_its_own(self, scene: Scene) -> None:
        """An outer port is the LAN's side; below, the gateway answers as before."""
        for port in (PORTMAP_PORT, SSDP_PORT):
            natpmpc(scene.lab, "work", port, port, "udp", 60)
        assert natpmpc(scene.lab, "media") is not None
        tried = [("udp", NET, PORTMAP_PORT), ("udp", NET, SSDP_PORT)]
        assert probe_all(scene.lab, "lan2", tried) == [None, None]


class TestOutside:
    def test_nobody_is_served_who_is_not_named(self, scene: Scene) -> None:
        for port in (PORTMAP_PORT, SSDP_PORT):
            assert scene.personal.is_refused(scene.gateway, port)
        assert natpmpc(scene.lab, "personal") is None
        found = scene.lab.exec(
            "personal",
            ["curl", "-s", "--max-time", "1", f"http://{scene.gateway}:{IGD_PORT}/"],
        )
        assert found.returncode != 0

    def test_no_hop_serves_its_uplink(self, scene: Scene) -> None:
        tried = [
            (proto, to, port)
            for to in (NET, "2001:db8:1::10")
            for proto, port in (
                ("udp", PORTMAP_PORT),
                ("udp", SSDP_PORT),
                ("tcp", IGD_PORT),
                ("tcp", PORTMAP_PORT),
            )
        ]
        assert probe_all(scene.lab, "lan", tried) == [None] * len(tried)
        inner = [(proto, scene.gateway, port) for proto, _, port in tried[:4]]
        assert probe_all(scene.lab, "sys-net", inner) == [None] * 4


NO_REQUESTS = (
    "",
    "00",
    "0001",
    "00010000138817700000",
    "0003",
    "00ff0000",
    "01010000",
    "0281000000000e10" + "00" * 52,
    "0201000000000e10",
    "0201" + "00" * 58,
    "0202" + "00" * 78,
    "0203" + "00" * 22,
    "ff" * 1100,
    "02" * 1100,
    "00" * 1500,
)


class TestNoRequests:
    @pytest.mark.parametrize("data", NO_REQUESTS)
    def test_opens_nothing(self, scene: Scene, data: str) -> None:
        scene.work.send(bytes.fromhex(data), scene.gateway, patience=0.1)
        assert scene.has_nothing()

    @pytest.mark.parametrize("protocol", [0, 1, 33, 132, 136, 255])
    def test_another_protocol_opens_nothing(self, scene: Scene, protocol: int) -> None:
        own = ip_address(scene.own)
        request = pcp_wire.MapRequest(
            3600, b"first nonce!", protocol, 5000, 5000, type(own)(0)
        )
        data = pcp_wire.encode_map_request(request, own, b"")
        answer = scene.work.send(data, scene.gateway, own=scene.own)
        assert answer is not None
        assert answer[3] in (Result.UNSUPP_PROTOCOL, Result.MALFORMED_REQUEST)
        assert scene.has_nothing()

    @pytest.mark.parametrize(
        ("option", "result"),
        [
            ("01000010" + "00" * 16, Result.UNSUPP_OPTION),
            ("7f000000", Result.UNSUPP_OPTION),
            ("02000001" + "00" * 4, Result.MALFORMED_OPTION),
        ],
    )
    def test_unknown_and_malformed_options_open_nothing(
        self, scene: Scene, option: str, result: Result
    ) -> None:
        data = pcp_request(scene.own, 5000) + bytes.fromhex(option)
        answer = scene.work.send(data, scene.gateway, own=scene.own)
        assert answer is not None
        assert answer[3] == result
        assert scene.has_nothing()

    def test_a_body_of_200_mb_is_refused_at_its_head(self, scene: Scene) -> None:
        script = (
            f"head -c 200000000 /dev/zero | curl -s -o /dev/null -w '%{{http_code}}'"
            " -H 'Content-Type: text/xml' -H 'Expect:' -H 'Content-Length: 200000000'"
            f" -X POST -T - http://{scene.gateway}:{IGD_PORT}/control/connection"
        )
        done = scene.lab.exec("work", ["sh", "-c", script])
        assert re.search(r"(413|411|000)$", done.stdout), done.stdout

    def test_entities_and_doctypes_open_nothing(self, scene: Scene) -> None:
        body = (
            '<!DOCTYPE a [<!ENTITY b "c">]><s:Envelope'
            ' xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>&b;</s:Body>'
            "</s:Envelope>"
        )
        words = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}"]
        words += ["-H", "Content-Type: text/xml", "-d", body]
        service = "urn:schemas-upnp-org:service:WANIPConnection:1"
        words += ["-H", f'SOAPAction: "{service}#AddPortMapping"']
        url = f"http://{scene.gateway}:{IGD_PORT}/control/connection"
        code = scene.lab.exec("work", [*words, url]).stdout
        assert code == "400"
        assert scene.has_nothing()


@contextmanager
def running(lab: RunningLab, script: str, *words: str) -> Iterator[None]:
    """Have a program running in work."""
    process = lab.spawn("work", ["python3", "-c", script, *words])
    try:
        yield
    finally:
        process.kill()
        process.communicate()


class TestFloods:
    @pytest.mark.parametrize(
        ("port", "size"),
        [(PORTMAP_PORT, 0), (PORTMAP_PORT, 60), (PORTMAP_PORT, 1400), (SSDP_PORT, 200)],
    )
    def test_of_datagrams_keep_nobody_waiting(
        self, scene: Scene, port: int, size: int
    ) -> None:
        with running(scene.lab, _FLOOD, scene.gateway, str(port), str(size)):
            eventually(scene.others_are_served, True)
        # The quota holds whatever is asked for: features of work have the usual one.
        assert len(mapped(scene.lab, "work")) <= 128

    def test_of_slow_connections_keep_nobody_waiting(self, scene: Scene) -> None:
        with running(scene.lab, _SLOW, scene.gateway, str(IGD_PORT)):
            listed = upnpc(scene.lab, "media", "-i", "-l", gateway=scene.gateway)
            assert "ExternalIPAddress" in listed


CLIENT = "client={0} proto=udp inner=5000"
ATTACKS: list[Callable[[Scene], str]] = [
    lambda scene: _map(scene.others),
    lambda scene: _map("10.137.0.1"),
    lambda scene: _map(scene.gateway),
    lambda scene: "garbage\\n" * 5,
    lambda scene: "x" * 100_000,
    lambda scene: "\\xff\\x00\\n",
    lambda scene: f"unmap {CLIENT.format(scene.media)}\\n" * 1000,
    lambda scene: "opened proto=udp port=1 outer=1 lifetime=9 address=1.2.3.4\\n" * 99,
]


def _map(client: str) -> str:
    return f"map {CLIENT.format(client)} outer=5000 lifetime=60 holder=igd\\n"


class TestHostileGateway:
    """Whoever has taken over a network qube may say anything to dom0."""

    @pytest.mark.parametrize("attack", ATTACKS)
    def test_of_another_netvm_gets_nothing_for_these_qubes(
        self, scene: Scene, attack: Callable[[Scene], str]
    ) -> None:
        for qube in ("sys-net", "personal", "sys-vpn"):
            scene.lab.exec(qube, ["python3", "-c", _STRANGER, attack(scene)])
        assert scene.has_nothing()
        assert mapped(scene.lab, "personal") == mapped(scene.lab, "media") == {}

    def test_is_told_of_nobody_elses_qubes(self, scene: Scene) -> None:
        told = scene.lab.exec("personal", ["python3", "-c", _STRANGER, "\\n"]).stdout
        assert "client" not in told

    def test_that_policy_forbids_is_not_heard(self, scene: Scene) -> None:
        deny = "qubes.PortMapping * personal @adminvm deny"
        with policy_file(scene.lab, "10-test.policy", deny):
            done = scene.lab.exec(
                "personal", ["qrexec-client-vm", "@adminvm", "qubes.PortMapping"]
            )
            assert done.returncode == 126
