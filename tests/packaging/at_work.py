# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs of packages have to show in a lab."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.lab.forwards import wait_settled
from tests.lab.running_lab import RunningLab
from tests.lab.traffic import Answer, probe, serving

HOP, TARGET = "sys-firewall", "work"
OUTSIDE, CLIENT = "192.168.1.10", "192.168.1.20"
PORT, INNER = 443, 8443

_WHERE = "import qubesforward; print(qubesforward.__file__)"

# RFC 6886, section 3.3: version 0, opcode 1 (UDP), reserved, the internal port, the
# suggested external one, a lifetime. Prints the result code and the external port.
_NATPMP = """
import socket, struct, subprocess
said = subprocess.run(["ip", "route", "show", "default"], stdout=-1, text=True).stdout
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
    asking.settimeout(2)
    asking.connect((said.split()[2], 5351))
    asking.send(struct.pack("!BBHHHI", 0, 1, 0, 5000, 5000, 600))
    answer = asking.recv(16)
print(*struct.unpack("!2xH6xH4x", answer))
"""


def check_modules(lab: RunningLab, where: str, directory: str) -> None:
    """Our modules are the package's, and those of other packages are not there."""
    found = lab.check(where, "/usr/bin/python3", "-I", "-c", _WHERE)
    assert found.strip() == f"{directory}/qubesforward/__init__.py"


def check_forward(lab: RunningLab) -> None:
    """A port is opened by the tool, seen by the client, and closed by it."""
    with serving(lab, TARGET, [INNER]):
        lab.check("dom0", "qvm-forward", TARGET, f"{PORT}:{INNER}/tcp")
        assert set(wait_settled(lab, TARGET)) == {"active"}
        assert probe(lab, "lan", OUTSIDE, PORT) == Answer(TARGET, CLIENT, INNER)
        assert "action=forward" in lab.check("dom0", "qvm-firewall", "--raw", TARGET)
        lab.check("dom0", "qvm-forward", TARGET, "--close-all")
        assert probe(lab, "lan", OUTSIDE, PORT) is None


def check_gateway(lab: RunningLab) -> None:
    """A program asks its router for a port and has it, through qrexec and policy."""
    lab.check("dom0", "qvm-features", TARGET, "portmap", "allow")

    def is_granted() -> bool:
        done = lab.exec(TARGET, ["/usr/bin/python3", "-c", _NATPMP])
        return done.stdout.split() == ["0", "5000"]

    assert eventually(is_granted)
    with serving(lab, TARGET, [5000]):
        assert eventually(lambda: probe(lab, "lan", OUTSIDE, 5000, "udp") is not None)
    lab.check("dom0", "qvm-features", "--unset", TARGET, "portmap")


def check_withdrawal(lab: RunningLab) -> None:
    """Dom0's package goes, and nothing is open; then those of qubes."""
    with serving(lab, TARGET, [INNER]):
        lab.check("dom0", "qvm-forward", TARGET, f"{PORT}:{INNER}/tcp")
        assert set(wait_settled(lab, TARGET)) == {"active"}
        assert lab.run("service", "dom0", "stop", "qubes-forwardd").returncode == 0
        lab.check("dom0", "qubes-forwardd", "--withdraw")
        assert probe(lab, "lan", OUTSIDE, PORT) is None
    for qube in ("sys-net", HOP, TARGET):
        entries = lab.check("dom0", "qubesdb-list", "-d", qube, "/qubes-forward/")
        assert entries.strip() == ""
        assert "qubes-forward" in lab.check(qube, "nft", "list", "tables")
        for unit in ("qubes-forward-gateway", "qubes-forward-agent"):
            if qube != TARGET or unit.endswith("agent"):
                assert lab.run("service", qube, "stop", unit).returncode == 0
        lab.check(qube, "qubes-forward-agent", "--withdraw")
        assert "qubes-forward" not in lab.check(qube, "nft", "list", "ruleset")


def eventually(is_so: Callable[[], bool], patience: float = 10) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if is_so():
            return True
        time.sleep(0.1)
    return False
