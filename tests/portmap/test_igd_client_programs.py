# SPDX-License-Identifier: GPL-2.0-or-later
"""The client asks miniupnpd, which is what most home routers run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.agent.outbound_world import Space

OWN, ROUTER = "192.168.1.10", "192.168.1.1"

# Of a network for tests that is routed nowhere (AMPRNet); miniupnpd opens nothing where
# its outside address is known not to be reachable.
EDGE = "44.128.1.1"

pytestmark = pytest.mark.lab

_RULES = """
table inet router {
    chain forward { type filter hook forward priority 0; jump igd-forward; }
    chain prerouting { type nat hook prerouting priority -100; jump igd-prerouting; }
    chain postrouting { type nat hook postrouting priority 100; jump igd-postrouting; }
    chain igd-forward { }
    chain igd-prerouting { }
    chain igd-postrouting { }
}
"""
_CONFIG = f"""
ext_ifname=wan0
listening_ip=lan0
enable_natpmp=no
enable_upnp=yes
http_port=5000
secure_mode=yes
system_uptime=no
upnp_table_name=router
upnp_nat_table_name=router
upnp_forward_chain=igd-forward
upnp_nat_chain=igd-prerouting
upnp_nat_postrouting_chain=igd-postrouting
uuid=5f0d5f4e-6c1c-4d0c-9d7a-000000000001
allow 1024-65535 {OWN}/32 1024-65535
deny 0-65535 0.0.0.0/0 0-65535
"""

# As Qubes has it: what is not an answer does not come in.
_FIREWALL = """
table inet own {
    chain input {
        type filter hook input priority 0; policy drop;
        ct state established,related accept
    }
}
"""
_RUN = "import runpy; runpy.run_module('tests.portmap.igd_asker', run_name='__main__')"


class Home:
    """A router and a computer behind it, each in a namespace."""

    def __init__(self, stack: ExitStack, directory: Path, *options: str) -> None:
        self.router = Space(stack)
        self.own = Space(stack, self.router)
        self.router.run(
            f"ip link add lan0 type veth peer name eth0 netns {self.own.pid}",
            f"ip addr add {ROUTER}/24 dev lan0",
            "ip link set lan0 up",
            "ip link add wan0 type veth peer name wan1",
            f"ip addr add {EDGE}/24 dev wan0",
            "ip link set wan1 up",
            "ip link set wan0 up",
            "ip route add default dev wan0",
        )
        self.own.run(
            "ip link set eth0 up",
            f"ip addr add {OWN}/24 dev eth0",
            f"ip route add default via {ROUTER}",
        )
        self.router.nft(_RULES)
        self.own.nft(_FIREWALL)
        config = directory / "miniupnpd.conf"
        config.write_text(_CONFIG)
        command = ["miniupnpd", "-d", "-f", str(config), *options]
        pid_file = ["-P", str(directory / "pid")]
        self._start(stack, self.router, [*command, *pid_file], subprocess.DEVNULL)
        self.asker = self.own.script(_RUN, OWN, ROUTER)

    def _start(
        self, stack: ExitStack, space: Space, command: list[str], output: int
    ) -> None:
        process = subprocess.Popen(
            [*space.entered, *command], stdout=output, stderr=output
        )
        stack.callback(process.wait)
        stack.callback(process.kill)

    def tell(self, line: str) -> None:
        assert self.asker.stdin is not None
        self.asker.stdin.write(f"{line}\n")
        self.asker.stdin.flush()

    def hear(self) -> str:
        assert self.asker.stdout is not None
        return self.asker.stdout.readline()

    def redirects(self) -> str:
        return self.router.run("nft list chain inet router igd-prerouting")


@pytest.fixture(params=[1, 2])
def home(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Home]:
    with ExitStack() as stack:
        yield Home(stack, tmp_path, *(["-1"] if request.param == 1 else []))


def test_miniupnpd_opens_and_closes(home: Home) -> None:
    home.tell("open tcp 8443 600")
    assert home.hear() == f"EdgeChanged(edge=IPv4Address('{EDGE}'))\n"
    heard = home.hear()
    assert heard.startswith("MappingOpened(")
    assert "outer=8443, lifetime=600" in heard
    assert f"dnat ip to {OWN}:8443" in home.redirects()
    home.tell("open udp 500 600")
    heard = home.hear()
    assert heard.startswith("MappingRefused(")
    home.tell("close tcp 8443")
    assert "is_confirmed=True" in home.hear()
    assert "dnat" not in home.redirects()
