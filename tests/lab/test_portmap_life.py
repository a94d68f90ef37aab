# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings end with what they were made for, and with nothing else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from qubesforward.daemon.router_memory import LIFETIME
from tests.lab.forwards import dom0, forwarded, forwards_of
from tests.lab.mapping import (
    Asker,
    addresses,
    allow,
    forbid,
    mapped,
    natpmpc,
)
from tests.lab.openings import namespace_pids, nft
from tests.lab.routers import ASKER as NET
from tests.lab.routers import PUBLIC, router_topology
from tests.lab.running_lab import RunningLab, needs_nftables, running_lab
from tests.lab.standing import Prober, Reader, eventually
from tests.lab.traffic import serving

pytestmark = pytest.mark.lab

EDGE = f"{PUBLIC}1"
CHAIN = ("sys-net", "sys-firewall", "work")

# Hears what nobody asked for, where programs do (RFC 6886, 3.2.1), and prints it.
_LISTENER = """
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.settimeout(10)
one.bind(("", 5350))
own = socket.inet_aton(sys.argv[1])
group = socket.inet_aton("224.0.0.1") + own
one.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print("ready", flush=True)
while True:
    data, (host, port) = one.recvfrom(1100)
    print(host, port, data.hex(), flush=True)
"""

GATEWAY = """
[qubes.gw]
class = "AppVM"
label = "green"
template = "debian-12"
netvm = "sys-firewall"
autostart = true

[qubes.gw.services]
qubes-forward-gateway = ["qubes-forward-gateway"]
"""


def held_by_kernel(pid: int) -> str:
    """Return the elements of our sets, but for what keeps closed ones closed."""
    listing = nft(pid, "-j", "list", "table", "inet", "qubes-forward")
    items = json.loads(listing)["nftables"] if listing else []
    sets = (item.get("set") or item.get("map") or {} for item in items)
    kept = [s for s in sets if not s.get("name", "").startswith("severed")]
    return json.dumps([each.get("elem", []) for each in kept])


class Life:
    """A lab in which work gets what it asks for, and what is seen of that."""

    def __init__(self, lab: RunningLab, lan: Prober, reader: Reader) -> None:
        self.lab = lab
        self._lan = lan
        self._reader = reader
        self.databases: list[subprocess.Popen[str]] = []

    def do(self, command: str) -> None:
        """Run a command in dom0, which must succeed."""
        dom0(self.lab, *command.split(" "))

    def sees(self, port: int) -> str | None:
        """Return who answers the LAN at a port of sys-net."""
        return self._lan.reach(NET, port, "udp")

    def ask(self, inner: int, outer: int, lifetime: int = 600) -> int | None:
        """Return the outer port that work gets."""
        told = natpmpc(self.lab, "work", inner, outer, "udp", lifetime)
        return None if told is None else told.outer

    def traces(self, port: int) -> set[str]:
        """Return which kernels and QubesDBs, and whether the router, know a port."""
        found = set()
        pids = namespace_pids(self.lab)
        for name in (*CHAIN, "personal"):
            if name not in pids:
                continue
            if str(port) in held_by_kernel(pids[name]):
                found.add(f"kernel of {name}")
            if str(port) in str(self._reader.read(name, "/qubes-forward/")):
                found.add(f"QubesDB of {name}")
        if str(port) in nft(pids["router"], "list", "table", "inet", "router"):
            found.add("router")
        return found

    def kill(self, where: str, program: str) -> None:
        """Kill a program; whoever started it starts it again."""
        for pid in self.lab.pids(where, program):
            os.kill(pid, signal.SIGKILL)

    @contextmanager
    def mapping(self, port: int) -> Iterator[None]:
        """Have a mapping of a port of work, which serves it; it is used."""
        with serving(self.lab, "work", [port]):
            assert self.ask(port, port) == port
            eventually(lambda: self.sees(port), "work")
            yield

    @contextmanager
    def dead(self, where: str, program: str) -> Iterator[None]:
        """Have a program do nothing, and then be started anew."""
        for pid in (pids := self.lab.pids(where, program)):
            os.kill(pid, signal.SIGSTOP)
        yield
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    def wait_gone(self, port: int) -> None:
        """Wait until nothing of a mapping is left anywhere.

        Who was killed withdraws nothing; the next one that is there does.
        """
        eventually(lambda: self.sees(port), None)
        eventually(lambda: self.traces(port) - {"router"}, set())
        if "sys-net" in namespace_pids(self.lab):
            eventually(lambda: self.traces(port), set())
        eventually(lambda: mapped(self.lab, "work"), {})


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    """Such a lab; every test has a port of its own, and changes all back."""
    file = tmp_path_factory.mktemp("life") / "topology.toml"
    file.write_text(router_topology(running=(*CHAIN, "personal")) + GATEWAY)
    with running_lab(file) as lab, Prober(lab, "lan") as lan, Reader(lab) as reader:
        other = "--prop provides_network=True --prop netvm=sys-net other-firewall"
        dom0(lab, "qvm-create", "--label", "orange", *other.split(" "))
        dom0(lab, "qvm-start", "other-firewall")
        allow(lab, "work")
        life = Life(lab, lan, reader)
        yield life
        for database in life.databases:
            database.kill()
            database.communicate()


@pytest.fixture(autouse=True)
def _changed_back(life: Life) -> Iterator[None]:
    yield
    for name in ("portmap-ports", "portmap-lifetime"):
        dom0(life.lab, "qvm-features", "--unset", "work", name, ok=False)
    for qube in CHAIN:
        dom0(life.lab, "qvm-start", "--skip-if-running", qube)
    dom0(life.lab, "qvm-prefs", "work", "netvm", "sys-firewall")
    dom0(life.lab, "qvm-forward", "work", "--close-all")
    allow(life.lab, "work")


class TestEnds:
    """Closed everywhere, and nothing is left."""

    @pytest.mark.parametrize(
        ("port", "command"),
        [
            (6001, "qvm-kill work"),
            (6002, "qvm-shutdown --force --wait work"),
            (6003, "qvm-prefs work netvm other-firewall"),
            (6004, "qvm-prefs work netvm none"),
            (6005, "qvm-features --unset work portmap"),
            (6006, "qvm-features work portmap-ports 7000-7999"),
            (6007, "qvm-features work portmap-lifetime 1"),
            (6008, "qvm-kill sys-firewall"),
            (6009, "qvm-kill sys-net"),
            (6010, "qvm-forward work --close-all"),
        ],
    )
    def test_with(self, life: Life, port: int, command: str) -> None:
        with life.mapping(port):
            life.do(command)
            life.wait_gone(port)

    def test_not_by_a_shorter_range_that_has_it(self, life: Life) -> None:
        with life.mapping(6020):
            life.do("qvm-features work portmap-ports 6020-6029")
            assert life.ask(6030, 6030) in range(6020, 6030)
            assert life.sees(6020) == "work"

    def test_with_a_qube_whose_netvm_was_changed_and_back(self, life: Life) -> None:
        """Its interface is another one then; the gateway listened on the old one."""
        for netvm in ("other-firewall", "sys-firewall") * 3:
            life.do(f"qvm-prefs work netvm {netvm}")
        eventually(lambda: life.ask(6040, 6040), 6040)
        for _ in range(3):
            life.do("qvm-kill work")
            life.do("qvm-start work")
        with serving(life.lab, "work", [6041]):
            eventually(lambda: life.ask(6041, 6041), 6041)
            eventually(lambda: life.sees(6041), "work")

    def test_with_the_users_own_forward_of_the_port(self, life: Life) -> None:
        with life.mapping(6050), serving(life.lab, "personal", [6050]):
            rule = "forwardtype=external proto=udp srcports=6050"
            with forwarded(life.lab, "personal", rule):
                eventually(lambda: life.sees(6050), "personal")
                eventually(lambda: mapped(life.lab, "work"), {})
                outer = life.ask(6050, 6050)
                assert outer not in (None, 6050)


class TestStays:
    """Whatever is killed, the mapping is there, and it is told who holds it."""

    @pytest.mark.parametrize(
        ("port", "where", "program"),
        [
            (6101, "sys-firewall", "qubes-forward-gateway"),
            (6102, "sys-net", "qubes-forward-gateway"),
            (6103, "dom0", "qubes-forwardd"),
            (6104, "sys-firewall", "qubes-forward-agent"),
            (6105, "work", "qubes-forward-agent"),
        ],
    )
    def test_though_killed(
        self, life: Life, port: int, where: str, program: str
    ) -> None:
        with life.mapping(port):
            assert life.lab.pids(where, program)
            life.kill(where, program)
            assert life.sees(port) == "work"
            eventually(lambda: life.lab.exec("dom0", ["qvm-forward"]).returncode, 0)
            # Asked again it is the same one, and so it is deleted.
            eventually(lambda: life.ask(port, 0), port)
            eventually(lambda: mapped(life.lab, "work"), {f"udp {port}": "active"})
            assert life.ask(port, 0, 0) is not None
            life.wait_gone(port)

    def test_what_was_withdrawn_while_dom0_was_away(self, life: Life) -> None:
        """The program was told that it is deleted; nobody else was, ever."""
        with life.mapping(6110):
            for pid in life.lab.pids("dom0", "qubes-forwardd"):
                os.kill(pid, signal.SIGSTOP)
                assert life.ask(6110, 0, 0) is not None
                os.kill(pid, signal.SIGKILL)
            life.wait_gone(6110)

    def test_a_feature_switched_off_while_dom0s_daemon_was_away(
        self, life: Life
    ) -> None:
        gateway = addresses(life.lab, ["sys-firewall"])["sys-firewall"]
        with life.mapping(6120), Asker(life.lab, "work") as asker:
            for pid in life.lab.pids("dom0", "qubes-forwardd"):
                os.kill(pid, signal.SIGSTOP)
                life.do("qvm-features --unset work portmap")
                os.kill(pid, signal.SIGKILL)
            life.wait_gone(6120)
            eventually(lambda: asker.is_refused(gateway, 5351), True)


@contextmanager
def without_qubesdb(life: Life, qube: str) -> Iterator[None]:
    """Have the QubesDB of a qube killed; then there is another one, with nothing."""
    listing = life.lab.run("pids", "dom0").stdout.splitlines()
    (pid,) = (
        int(line.split()[0])
        for line in listing
        if f"qubesdb_daemon {qube} " in f"{line} "
    )
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    os.kill(pid, signal.SIGKILL)
    try:
        yield
    finally:
        started = life.lab.spawn("dom0", words)
        life.databases.append(started)
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"


# Old hops, without groups of interfaces, know of their uplink by QubesDB only.
@needs_nftables
@pytest.mark.parametrize(("port", "qube"), [(6150, "sys-firewall"), (6160, "sys-net")])
class TestQubesDbOfAHop:
    """What is open while it is gone is what was open, and is in every listing."""

    def test_that_is_killed_keeps_what_is_held(
        self, life: Life, port: int, qube: str
    ) -> None:
        with life.mapping(port):
            with without_qubesdb(life, qube):
                assert life.sees(port) == "work"
                assert set(mapped(life.lab, "work")) == {f"udp {port}"}
            # The gateway answers, and the hops say that it is open.
            eventually(lambda: life.ask(port, 0), port)
            eventually(lambda: mapped(life.lab, "work"), {f"udp {port}": "active"})
            assert life.sees(port) == "work"
            assert life.ask(port, 0, 0) is not None
            life.wait_gone(port)

    def test_that_is_killed_keeps_nothing_that_was_closed(
        self, life: Life, port: int, qube: str
    ) -> None:
        with life.mapping(port + 1):
            with without_qubesdb(life, qube):
                done = dom0(life.lab, "qvm-forward", "work", "--close-all", ok=False)
                assert f"{qube} did not answer" in done.stderr
                # The hops that can be told are enough.
                eventually(lambda: life.sees(port + 1), None)
            life.wait_gone(port + 1)
            eventually(lambda: life.ask(port + 2, 0), port + 2)


def leases(lab: RunningLab) -> dict[int, int]:
    """Return for how many seconds the router has which of its ports open."""
    text = lab.check("router", "sh", "-c", "date +%s; cat /run/igd-leases")
    now, *lines = text.split()
    found = [line.split(":") for line in lines if line.count(":") >= 4]
    return {int(each[1]): int(each[4]) - int(now) for each in found}


GATE = "qubes-forward-gateway"


class TestRouterOutside:
    """What its gateway could not withdraw is withdrawn by the next one."""

    def test_nothing_is_asked_of_it_for_long(self, life: Life) -> None:
        with life.mapping(6130):
            eventually(lambda: 0 < leases(life.lab).get(6130, 0) <= LIFETIME, True)

    def test_its_gateway_was_dead(self, life: Life) -> None:
        with life.mapping(6131), life.mapping(6132):
            with life.dead("sys-net", GATE):
                assert life.ask(6131, 0, 0) is not None
                eventually(lambda: life.sees(6131), None)
                assert life.traces(6131) == {"router"}
            eventually(lambda: life.traces(6131), set())
            # What is wanted stayed.
            assert "router" in life.traces(6132)

    def test_its_gateway_and_dom0s_daemon_were_dead(self, life: Life) -> None:
        with life.mapping(6133):
            with life.dead("sys-net", GATE), life.dead("dom0", "qubes-forwardd"):
                life.do("qvm-features --unset work portmap")
            life.wait_gone(6133)

    def test_its_qube_was_killed(self, life: Life) -> None:
        with life.mapping(6134):
            life.do("qvm-kill sys-net")
            life.do("qvm-features --unset work portmap")
            eventually(lambda: life.traces(6134), {"router"})
            life.do("qvm-start sys-net")
            eventually(lambda: life.traces(6134), set(), patience=15)


def test_a_gateway_that_waits_does_not_wake(life: Life) -> None:
    """It looked four times a second whether something had ended."""

    def count_wakes(where: str) -> int:
        (pid,) = life.lab.pids(where, GATE)
        status = Path(f"/proc/{pid}/status").read_text()
        return int(re.findall(r"^voluntary_ctxt_switches:\s+(\d+)", status, re.M)[0])

    def is_asleep(where: str) -> bool:
        before = count_wakes(where)
        time.sleep(1.5)
        return count_wakes(where) - before <= 2

    with life.mapping(6140):
        for where in ("sys-firewall", "sys-net"):
            eventually(partial(is_asleep, where), True, patience=40)


@contextmanager
def listening(lab: RunningLab) -> Iterator[subprocess.Popen[str]]:
    """Have a listener in work for what its gateway announces."""
    own = addresses(lab, ["work"])["work"]
    listener = lab.spawn("work", ["python3", "-c", _LISTENER, own])
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        yield listener
    finally:
        listener.kill()
        listener.communicate()


def hear(listener: subprocess.Popen[str]) -> tuple[str, bytes]:
    """Return the next announcement: from whom, and what."""
    assert listener.stdout is not None
    host, port, data = listener.stdout.readline().split()
    return f"{host} {port}", bytes.fromhex(data)


class TestAnnouncements:
    def test_a_gateway_that_was_killed_says_so(self, life: Life) -> None:
        gateway = addresses(life.lab, ["sys-firewall"])["sys-firewall"]
        with life.mapping(6201), listening(life.lab) as listener:
            life.kill("sys-firewall", "qubes-forward-gateway")
            source, said = hear(listener)
            assert source == f"{gateway} 5351"
            # NAT-PMP's answer about the address, with an epoch that began just now.
            assert said[:4] == bytes((0, 128, 0, 0))
            assert int.from_bytes(said[4:8], "big") < 5

    def test_another_outside_address_is_told(self, life: Life) -> None:
        lab = life.lab
        life.do("qvm-features work portmap-reach lan")
        try:
            eventually(lambda: outside_of(lab), NET)
            lab.check("sys-net", "ip", "addr", "del", f"{NET}/24", "dev", "ens6")
            lab.check("sys-net", "ip", "addr", "add", "192.168.1.77/24", "dev", "ens6")
            with listening(lab) as listener:
                eventually(lambda: outside_of(lab), "192.168.1.77")
                _source, said = hear(listener)
                assert said[0] in (0, 2)
        finally:
            plug_in(lab)
            life.do("qvm-features --unset work portmap-reach")
        eventually(lambda: outside_of(lab), EDGE, patience=15)

    def test_another_address_of_ours_keeps_the_way_from_the_internet(
        self, life: Life
    ) -> None:
        """The router was asked on from the old address, and led there.

        It may give another port now: the old one still leads to the old address.
        """
        lab = life.lab
        with life.mapping(6220):
            eventually(lambda: extent(lab), "internet")
            lab.check("sys-net", "ip", "addr", "del", f"{NET}/24", "dev", "ens6")
            card = ["dev", "ens6"]
            lab.check("sys-net", "ip", "addr", "add", "192.168.1.77/24", *card)
            gateway = ["default", "via", "192.168.1.1"]
            lab.check("sys-net", "ip", "route", "replace", *gateway, *card)
            try:
                with Prober(lab, "internet") as internet:

                    def reached() -> str | None:
                        edge = forwards_of(lab, "work")[0].get("edge") or f"{EDGE}:1"
                        address, _, port = edge.partition(":")
                        return internet.reach(address, int(port), "udp")

                    eventually(reached, "work", patience=20)
            finally:
                plug_in(lab)


def outside_of(lab: RunningLab) -> str | None:
    told = natpmpc(lab, "work")
    return None if told is None else told.address


def extent(lab: RunningLab) -> str:
    return next((str(each["extent"]) for each in forwards_of(lab, "work")), "")


def plug_in(lab: RunningLab) -> None:
    """Give sys-net's card the address that it had."""
    for words in (
        "addr flush dev ens6 scope global",
        f"addr replace {NET}/24 dev ens6",
        "-6 addr replace 2001:db8:1::10/64 dev ens6 nodad",
        "route replace default via 192.168.1.1 dev ens6",
        "-6 route replace default via 2001:db8:1::1 dev ens6",
    ):
        lab.check("sys-net", "ip", *words.split(" "))


class TestQubeOfItsOwn:
    """A gateway that is not in the netvm, but in a qube behind it."""

    def test_answers_in_the_netvms_stead(self, life: Life) -> None:
        lab = life.lab
        at = addresses(lab, ["work", "sys-firewall"])
        life.do("qvm-features sys-firewall portmap-gateway gw")
        try:
            with serving(lab, "work", [6300, 6301]), Asker(lab, "work") as asker:
                # Two qubes have to hear of it first, on a machine that may be busy.
                eventually(lambda: life.ask(6300, 6300), 6300, patience=20)
                eventually(lambda: life.sees(6300), "work")
                response = asker.pcp(at["work"], at["sys-firewall"], 6301, outer=6301)
                assert response is not None
                assert (response.result, response.external) == (0, 6301)
                eventually(lambda: life.sees(6301), "work")
                assert life.ask(6300, 0, 0) is not None
                eventually(lambda: life.sees(6300), None)
                asker.pcp(at["work"], at["sys-firewall"], 6301, lifetime=0)
                # Nobody else is served by it, nor reaches it.
                with Asker(lab, "personal") as other:
                    assert other.is_refused(at["sys-firewall"], 5351)
                    gw = addresses(lab, ["gw"])["gw"]
                    assert other.send(b"\0\0", gw, patience=0.5) is None
        finally:
            life.do("qvm-features --unset sys-firewall portmap-gateway")
        life.wait_gone(6301)


def test_off_leaves_nothing_to_be_served(life: Life) -> None:
    forbid(life.lab, "work")
    eventually(lambda: life.traces(5351), set())
