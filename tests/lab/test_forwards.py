# SPDX-License-Identifier: GPL-2.0-or-later
"""Forwards with real packets: what they let through, and to whom."""

import pytest

from tests.lab.forwards import dom0, forwarded, wait_settled
from tests.lab.traffic import Answer, Lab, probe, probe_all, serving

pytestmark = [pytest.mark.lab, pytest.mark.both_settings]

NET = "192.168.1.10"
NET6 = "2001:db8:1::10"
LAN = "192.168.1.20"
LAN2 = "192.168.1.21"
LAN6 = "2001:db8:1::20"
EXTERNAL = "forwardtype=external"
INTERNAL = "forwardtype=internal"


def address(lab: Lab, qube: str, family: int = 4) -> str:
    name = "ip" if family == 4 else "ip6"
    return str(dom0(lab, "qvm-prefs", qube, name).stdout.strip())


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize(("outside", "client"), [(NET, LAN), (NET6, LAN6)])
def test_lan_reaches_work_and_is_seen_as_itself(
    lab: Lab, proto: str, outside: str, client: str
) -> None:
    with serving(lab, "work", [8443]):
        assert probe(lab, "lan", outside, 443, proto) is None
        with forwarded(lab, "work", f"{EXTERNAL} srcports=443 dstports=8443"):
            assert probe(lab, "lan", outside, 443, proto) == Answer(
                "work", client, 8443
            )
        assert probe(lab, "lan", outside, 443, proto) is None


def test_ranges_keep_their_offset_and_n_to_one(lab: Lab) -> None:
    rules = (
        f"{EXTERNAL} proto=tcp srcports=7000-7009 dstports=9000-9009",
        f"{EXTERNAL} proto=udp srcports=7100-7109 dstports=9100",
        f"{EXTERNAL} srcports=7200-7209",
    )
    ports = [*range(9000, 9010), 9100, 7200, 7209]
    with serving(lab, "work", ports), forwarded(lab, "work", *rules):
        tried = [
            ("tcp", NET, 7000),
            ("tcp", NET6, 7009),
            ("tcp", NET, 7004),
            ("udp", NET, 7100),
            ("udp", NET6, 7109),
            ("tcp", NET, 7200),
            ("udp", NET, 7209),
            ("tcp", NET, 7010),
            ("tcp", NET, 6999),
            ("udp", NET, 7000),
            ("tcp", NET, 7100),
        ]
        seen = [a and a.port for a in probe_all(lab, "lan", tried)]
        assert seen == [9000, 9009, 9004, 9100, 9100, 7200, 7209, *[None] * 4]


@pytest.mark.parametrize(
    ("qube", "more"), [("direct", ""), ("work", ""), ("media", " bypass=yes")]
)
def test_chains_of_one_two_and_three_netvms(lab: Lab, qube: str, more: str) -> None:
    if qube == "direct":
        made = ["--label", "green", "--prop", "netvm=sys-net", "direct"]
        dom0(lab, "qvm-create", *made)
        dom0(lab, "qvm-start", "direct")
    try:
        rule = f"{EXTERNAL} srcports=4430 dstports=8000{more}"
        with serving(lab, qube, [8000]), forwarded(lab, qube, rule):
            tried = [(p, a, 4430) for p in ("tcp", "udp") for a in (NET, NET6)]
            assert (
                probe_all(lab, "lan", tried)
                == [
                    Answer(qube, LAN, 8000),
                    Answer(qube, LAN6, 8000),
                ]
                * 2
            )
    finally:
        if qube == "direct":
            dom0(lab, "qvm-kill", "direct")
            dom0(lab, "qvm-remove", "-f", "direct")


# Sends a datagram from a connected socket, which hears of errors that come back.
_SEND = """
import socket, sys
one = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
one.settimeout(float(sys.argv[3]))
one.connect((sys.argv[1], int(sys.argv[2])))
one.send(b"?")
try:
    one.recv(1)
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize("outside", [f"::ffff:{NET}", NET6])
def test_errors_of_the_network_come_back_as_far_as_the_client(
    lab: Lab, outside: str
) -> None:
    rule = f"{EXTERNAL} proto=udp srcports=6000 dstports=5000"

    def send(patience: str) -> str:
        command = ["python3", "-c", _SEND, outside, "6000", patience]
        return str(lab.exec("lan", command).stdout.strip())

    assert send("0.7") == "TimeoutError"
    with forwarded(lab, "work", rule):
        # Nobody listens there: work's kernel says so by ICMP (RFC 6887, 11).
        assert send("5") == "ConnectionRefusedError"


def test_internal_from_another_qube(lab: Lab) -> None:
    personal = address(lab, "personal")
    hop, hop6 = address(lab, "sys-firewall"), address(lab, "sys-firewall", 6)
    with serving(lab, "work", [8000]):
        assert probe(lab, "personal", hop, 80) is None
        with forwarded(lab, "work", f"{INTERNAL} srcports=80 dstports=8000"):
            assert probe(lab, "personal", hop, 80) == Answer("work", personal, 8000)
            assert probe(lab, "personal", hop, 80, "udp") == Answer(
                "work", personal, 8000
            )
            assert probe(lab, "personal", hop6, 80) == Answer(
                "work", address(lab, "personal", 6), 8000
            )


def test_internal_through_the_vpn_from_the_internet(lab: Lab) -> None:
    rule = f"{INTERNAL} srcports=5000 dstports=8000"
    with serving(lab, "media", [8000]):
        assert probe(lab, "internet", "10.8.0.2", 5000) is None
        with forwarded(lab, "media", rule):
            assert probe(lab, "internet", "10.8.0.2", 5000) == Answer(
                "media", "10.8.0.1", 8000
            )
            assert probe(lab, "internet", "fd08::2", 5000, "udp") == Answer(
                "media", "fd08::1", 8000
            )
            # By the LAN, nothing: not at the card, and not through the chain.
            assert probe(lab, "lan", NET, 5000) is None


class TestGuarantees:
    """Each tries to break one of the packet guarantees of the design page."""

    def test_transit_traffic_on_the_same_port_is_untouched(self, lab: Lab) -> None:
        with (
            serving(lab, "internet", [443]),
            serving(lab, "work", [8443]),
            forwarded(lab, "work", f"{EXTERNAL} srcports=443 dstports=8443"),
            forwarded(lab, "untrusted", f"{INTERNAL} srcports=443 dstports=8443"),
        ):
            for qube in ("personal", "work"):
                tried = [("tcp", "198.51.100.2", 443), ("udp", "198.51.100.2", 443)]
                tried += [("tcp", "2001:db8:ffff::2", 443)]
                answers = probe_all(lab, qube, tried)
                assert [a and (a.qube, a.port) for a in answers] == [
                    ("internet", 443)
                ] * 3

    def test_two_qubes_with_one_inner_port_get_their_own(self, lab: Lab) -> None:
        with (
            serving(lab, "work", [80]),
            serving(lab, "personal", [80]),
            forwarded(lab, "work", f"{EXTERNAL} srcports=8081 dstports=80"),
            forwarded(lab, "personal", f"{EXTERNAL} srcports=8082 dstports=80"),
        ):
            tried = [("tcp", NET, 8081), ("tcp", NET, 8082), ("udp", NET6, 8082)]
            answers = probe_all(lab, "lan", tried)
            assert [a and a.qube for a in answers] == ["work", "personal", "personal"]

    def test_routing_straight_to_an_inner_hop_gets_nothing(self, lab: Lab) -> None:
        firewall, work = address(lab, "sys-firewall"), address(lab, "work")
        with (
            serving(lab, "work", [443]),
            forwarded(lab, "work", f"{EXTERNAL} srcports=443"),
        ):
            for inner in (firewall, work):
                lab.exec("lan", ["ip", "route", "add", inner, "via", NET])
            try:
                tried = [(p, a, 443) for p in ("tcp", "udp") for a in (firewall, work)]
                assert probe_all(lab, "lan", tried) == [None] * 4
                assert probe(lab, "lan", NET, 443) is not None
            finally:
                for inner in (firewall, work):
                    lab.exec("lan", ["ip", "route", "del", inner])

    def test_a_source_outside_srchost_gets_nothing(self, lab: Lab) -> None:
        rule = f"{EXTERNAL} srcports=443 srchost={LAN}/32"
        with serving(lab, "work", [443]), forwarded(lab, "work", rule):
            assert probe(lab, "lan", NET, 443) == Answer("work", LAN, 443)
            assert probe(lab, "lan2", NET, 443) is None
            assert probe(lab, "lan", NET6, 443) is None
            # In the target too: the netvm itself is not in srchost.
            assert probe(lab, "sys-firewall", address(lab, "work"), 443) is None

    def test_srchost_of_a_whole_family_is_that_family_only(self, lab: Lab) -> None:
        rule = f"{EXTERNAL} srcports=443 srchost=::/0"
        with serving(lab, "work", [443]), forwarded(lab, "work", rule):
            assert probe(lab, "lan", NET, 443) is None
            assert probe(lab, "lan", NET6, 443) == Answer("work", LAN6, 443)

    def test_external_is_not_open_to_qubes(self, lab: Lab) -> None:
        firewall, work = address(lab, "sys-firewall"), address(lab, "work")
        with (
            serving(lab, "work", [443]),
            forwarded(lab, "work", f"{EXTERNAL} srcports=443"),
        ):
            tried = [(p, a, 443) for p in ("tcp", "udp") for a in (NET, firewall, work)]
            assert probe_all(lab, "personal", tried) == [None] * 6
            # sys-vpn shares sys-firewall's uplink rule no more than others do.
            assert probe_all(lab, "sys-vpn", tried) == [None] * 6

    def test_internal_is_not_open_to_the_outside(self, lab: Lab) -> None:
        firewall = address(lab, "sys-firewall")
        with (
            serving(lab, "work", [443]),
            forwarded(lab, "work", f"{INTERNAL} srcports=443"),
        ):
            assert probe(lab, "personal", firewall, 443) is not None
            lab.exec("lan", ["ip", "route", "add", firewall, "via", NET])
            try:
                tried = [("tcp", NET, 443), ("tcp", NET6, 443), ("tcp", firewall, 443)]
                assert probe_all(lab, "lan", tried) == [None] * 3
                # The hop above comes in by the uplink: not an internal client.
                assert probe(lab, "sys-net", firewall, 443) is None
            finally:
                lab.exec("lan", ["ip", "route", "del", firewall])

    def test_a_neighbour_aiming_at_the_target_gets_nothing(self, lab: Lab) -> None:
        work, work6 = address(lab, "work"), address(lab, "work", 6)
        with (
            serving(lab, "work", [443]),
            forwarded(lab, "work", f"{INTERNAL} srcports=80 dstports=443"),
        ):
            tried = [("tcp", work, 443), ("udp", work, 443), ("tcp", work6, 443)]
            assert probe_all(lab, "personal", tried) == [None] * 3

    def test_only_the_inner_port_of_the_target_is_open(self, lab: Lab) -> None:
        work = address(lab, "work")
        with (
            serving(lab, "work", [443, 444]),
            forwarded(lab, "work", f"{EXTERNAL} proto=tcp srcports=443"),
        ):
            tried = [("tcp", work, 444), ("udp", work, 443)]
            assert probe_all(lab, "sys-firewall", tried) == [None] * 2

    def test_outbound_rules_apply_to_internal_forwards(self, lab: Lab) -> None:
        hop, work = address(lab, "sys-firewall"), address(lab, "work")
        with (
            serving(lab, "work", [8000]),
            forwarded(lab, "work", f"{INTERNAL} srcports=80 dstports=8000"),
        ):
            assert probe(lab, "personal", hop, 80) is not None
            dom0(lab, "qvm-firewall", "personal", "del", "--rule-no", "0")
            try:
                assert probe(lab, "personal", hop, 80) is None
                dom0(
                    lab,
                    "qvm-firewall",
                    "personal",
                    "add",
                    "accept",
                    work,
                    "tcp",
                    "8000",
                )
                assert probe(lab, "personal", hop, 80) is not None
                assert probe(lab, "personal", hop, 80, "udp") is None
            finally:
                dom0(lab, "qvm-firewall", "personal", "reset")


def test_entries_tell_a_hop_no_names(lab: Lab) -> None:
    rule = f"{EXTERNAL} srcports=443 comment=secret-server"
    with forwarded(lab, "work", rule):
        at = ("-fr", "/qubes-forward/", "-d", "sys-firewall")
        listed = dom0(lab, "qubesdb-list", *at).stdout.splitlines()
        assert len(listed) == 4  # both protocols in both families
        shown = dom0(lab, "qubesdb-multiread", *at).stdout
        assert shown.count("in=uplink") == 4
        for secret in ("work", "secret", "personal"):
            assert secret not in shown


def test_the_examples_of_the_proposal(lab: Lab) -> None:
    external = (
        "action=forward proto=tcp forwardtype=external srcports=443-443"
        " dstports=8443-8443 srchost=0.0.0.0/0 expire=+500000"
    )
    internal = (
        "action=forward proto=tcp forwardtype=internal srcports=80-80"
        " dstports=8000-8000 srchost=10.137.0.0/16 expire=+500000"
    )
    comment = "comment=example https server rule"
    add = ("qvm-firewall", "work", "add")
    with serving(lab, "work", [8443, 8000]):
        try:
            dom0(lab, *add, *external.split(" "), comment)
            dom0(lab, *add, *internal.split(" "), comment)
            assert wait_settled(lab, "work") == ["active", "active"]
            assert probe(lab, "lan", NET, 443) == Answer("work", LAN, 8443)
            hop = address(lab, "sys-firewall")
            answer = probe(lab, "personal", hop, 80)
            assert answer == Answer("work", address(lab, "personal"), 8000)
        finally:
            dom0(lab, "qvm-forward", "work", "--close-all")
    impossible = external.replace("8443-8443", "80443-80443").split(" ")
    refused = dom0(lab, *add, *impossible, ok=False)
    assert refused.returncode != 0
    assert "dstports=80443-80443: ports are 1-65535" in refused.stderr


def test_closing_cuts_an_established_connection(lab: Lab) -> None:
    script = (
        "import socket,sys,time\n"
        f"s = socket.create_connection(('{NET}', 443), 2)\n"
        "s.settimeout(1)\n"
        "s.recv(100)\n"
        "print('up', flush=True)\n"
        "sys.stdin.readline()\n"
        "try:\n"
        "    s.send(b'x'); print(s.recv(1))\n"
        "except TimeoutError:\n"
        "    print('cut')\n"
    )
    with serving(lab, "work", [443]):
        with forwarded(lab, "work", f"{EXTERNAL} proto=tcp srcports=443"):
            client = lab.spawn("lan", ["python3", "-c", script])
            assert client.stdout is not None
            assert client.stdout.readline() == "up\n"
        out, _ = client.communicate("go\n", timeout=10)
        assert out == "cut\n"
