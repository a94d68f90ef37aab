# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's qubesd with the real hypervisor and QubesDB below it."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Iterator

import pytest

from tests.lab.running_lab import RunningLab, running_lab

pytestmark = pytest.mark.lab

LAN = "192.168.1.20"


@pytest.fixture(scope="module")
def own_lab() -> Iterator[RunningLab]:
    """A lab that only the tests here disturb."""
    with running_lab() as lab:
        yield lab


def _pings(lab: RunningLab, qube: str, address: str = LAN) -> bool:
    done = lab.exec(qube, ["ping", "-c", "1", "-W", "1", address])
    return done.returncode == 0


def _comes_through(lab: RunningLab, qube: str, address: str = LAN) -> bool:
    """Whether it does in a while: a netvm that starts has outbound rules to apply."""
    return any(_pings(lab, qube, address) for _ in range(10))


def _dom0(lab: RunningLab, line: str) -> str:
    return lab.check(
        "dom0", *["" if word == "''" else word for word in line.split(" ")]
    )


def test_traffic_follows_the_netvm(own_lab: RunningLab) -> None:
    assert _comes_through(own_lab, "work")
    _dom0(own_lab, "qvm-prefs work netvm ''")
    assert not _pings(own_lab, "work")
    _dom0(own_lab, "qvm-prefs work netvm sys-net")
    assert _comes_through(own_lab, "work")
    gateway = _dom0(own_lab, "qvm-prefs sys-net ip").strip()
    assert gateway in own_lab.check("work", "ip", "route")
    assert gateway == own_lab.check("work", "qubesdb-read", "/qubes-gateway").strip()
    _dom0(own_lab, "qvm-prefs --default work netvm")
    assert _comes_through(own_lab, "work")


def test_traffic_follows_a_new_address_of_the_netvm(own_lab: RunningLab) -> None:
    _dom0(own_lab, "qvm-prefs sys-firewall ip 10.137.77.7")
    assert _comes_through(own_lab, "work")
    assert "10.137.77.7" in own_lab.check("work", "ip", "route")
    _dom0(own_lab, "qvm-prefs --default sys-firewall ip")
    assert _comes_through(own_lab, "work")


def test_traffic_comes_back_with_a_killed_netvm(own_lab: RunningLab) -> None:
    _dom0(own_lab, "qvm-kill sys-firewall")
    assert "eth0" not in own_lab.check("work", "ip", "link")
    _dom0(own_lab, "qvm-start sys-firewall")
    assert _comes_through(own_lab, "work")


def test_disposable_has_network_and_leaves_nothing(own_lab: RunningLab) -> None:
    # There is no tool of Qubes that only makes one, so the call is made as is.
    script = (
        "from qubesforward.qubes.admin import AdminClient as Client;"
        "print(Client().call('admin.vm.CreateDisposable', 'default-dvm').decode())"
    )
    name = _python(own_lab, script)
    _dom0(own_lab, f"qvm-start {name}")
    assert _comes_through(own_lab, name)
    assert "10.138." in own_lab.check(name, "ip", "addr")
    _dom0(own_lab, f"qvm-shutdown --wait {name}")
    assert name not in _dom0(own_lab, "qvm-ls --raw-list")
    assert name not in own_lab.run("pids").stdout


def _python(lab: RunningLab, script: str) -> str:
    # qubesd's own interpreter is the one that has our package.
    where = lab.check("dom0", "sh", "-c", "head -1 $(command -v qvm-ls)")
    interpreter = where.strip().removeprefix("#!")
    return lab.check("dom0", interpreter, "-c", script).strip()


_DISTURBANCES = (
    "qvm-shutdown --wait work",
    "qvm-start --skip-if-running work",
    "qvm-prefs work netvm sys-net",
    "qvm-prefs -D work netvm",
    "qvm-kill sys-firewall",
    "qvm-start --skip-if-running sys-firewall",
    "qvm-prefs sys-firewall ip 10.137.5.5",
    "qvm-prefs -D sys-firewall ip",
    "qvm-features sys-net ipv6 ''",
    "qvm-pause work",
    "qvm-unpause work",
)


def _disturb(lab: RunningLab, dice: random.Random) -> None:
    """Kill qubesd at some moment in the middle of three things that it does."""
    running = [
        lab.spawn(
            "dom0", ["" if w == "''" else w for w in dice.choice(_DISTURBANCES).split()]
        )
        for _ in range(3)
    ]
    time.sleep(dice.uniform(0.1, 0.4))
    for pid in lab.pids("dom0", "qubesd"):
        os.kill(pid, signal.SIGKILL)
    for process in running:
        process.communicate(timeout=60)


def _wait_for_qubesd(lab: RunningLab) -> None:
    deadline = time.monotonic() + 10
    while lab.exec("dom0", ["qvm-ls", "work"]).returncode:
        assert time.monotonic() < deadline, "qubesd did not come back"
        time.sleep(0.1)


def _repair(lab: RunningLab) -> None:
    """Ask for the state that the lab came up with."""
    if "Paused" in _dom0(lab, "qvm-ls --raw-data work"):
        _dom0(lab, "qvm-unpause work")
    _dom0(lab, "qvm-start --skip-if-running sys-firewall")
    _dom0(lab, "qvm-prefs -D work netvm")
    _dom0(lab, "qvm-prefs -D sys-firewall ip")
    _dom0(lab, "qvm-features sys-net ipv6 1")
    _dom0(lab, "qvm-start --skip-if-running work")


def _databases(lab: RunningLab) -> list[str]:
    listing = lab.run("pids", "dom0").stdout
    return sorted(
        line.split()[3] for line in listing.splitlines() if "qubesdb_daemon" in line
    )


def test_kill_of_qubesd_at_any_moment_can_be_made_good(own_lab: RunningLab) -> None:
    dice = random.Random(20)
    for _ in range(5):
        _disturb(own_lab, dice)
        _wait_for_qubesd(own_lab)
        _repair(own_lab)
        assert _comes_through(own_lab, "work")
        assert _comes_through(own_lab, "work", "2001:db8:1::20")
        running = _dom0(own_lab, "qvm-ls --raw-list --running").split()
        assert _databases(own_lab) == sorted(running)
