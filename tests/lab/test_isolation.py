# SPDX-License-Identifier: GPL-2.0-or-later
"""Labs beside each other and beside the host: nobody touches anybody."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qubesforward.errors import LabError
from qubesforward.lab.boot import launch
from qubesforward.lab.state import LabState
from qubesforward.lab.topology import DEFAULT_TOPOLOGY
from tests.lab.conftest import MakeLab
from tests.lab.running_lab import RunningLab, running_lab
from tests.lab.traffic import probe, serving

pytestmark = pytest.mark.lab

NOBODY = 65534
SMALL = """
[networks.home]
ip = "192.168.1.0/24"
ip6 = "2001:db8:1::/64"
[hosts.lan]
cards = [{ network = "home", ip = "192.168.1.20", ip6 = "2001:db8:1::20" }]
[hosts.lan2]
cards = [{ network = "home", ip = "192.168.1.21", ip6 = "2001:db8:1::21" }]
"""


def describe_host_network() -> list[str]:
    """Return everything about the host's own network that a lab could change."""
    commands = ["ip -j link", "ip -j addr", "ip -j route", "ip -6 -j route", "ip rule"]
    if os.geteuid() == 0:
        commands.append("nft list ruleset")
    return [
        subprocess.run(command.split(), capture_output=True, text=True).stdout
        for command in commands
    ]


def list_namespaces(pids: list[int]) -> set[str]:
    kinds = ("net", "mnt", "pid", "uts", "ipc", "user")
    found = set()
    for pid in pids:
        for kind in kinds:
            try:
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
            except OSError:
                continue
    return found


def list_all_pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdecimal()]


def list_lab_pids(lab: RunningLab) -> list[int]:
    return [int(line.split()[0]) for line in lab.run("pids").stdout.splitlines()]


def identify(pids: list[int]) -> set[tuple[int, str]]:
    """Return processes by pid and start time, since pids come back."""
    found = set()
    for pid in pids:
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            continue
        found.add((pid, stat.rpartition(")")[2].split()[19]))
    return found


def wait_gone(processes: set[tuple[int, str]]) -> bool:
    """Wait a moment for what reaps orphans on this machine."""
    end = time.monotonic() + 3
    while processes & identify(list_all_pids()):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def check_leaves_nothing(prefix: list[str]) -> None:
    network = describe_host_network()
    mounts = Path("/proc/self/mountinfo").read_text()
    with running_lab(prefix=prefix) as lab:
        pids = list_lab_pids(lab)
        assert len(pids) > 20
        processes = identify(pids)
        namespaces = list_namespaces(pids) - list_namespaces([os.getpid()])
        # With its processes then, nobody is left who could hold a namespace.
        others = sorted(set(list_all_pids()) - set(list_lab_pids(lab)))
        assert not namespaces & list_namespaces(others)
        assert describe_host_network() == network
        assert Path("/proc/self/mountinfo").read_text() == mounts
        lab.check("work", "ping", "-c1", "-W2", "198.51.100.2")
        lab.check("work", "ping", "-c1", "-W2", "2001:db8:ffff::2")
        directory = find_directory(pids)
        assert directory.exists()
        done = lab.run("down")
        assert done.returncode == 0, done.stderr
        assert not directory.exists()
        assert wait_gone(processes)
        assert describe_host_network() == network
        assert Path("/proc/self/mountinfo").read_text() == mounts
        assert lab.run("status").returncode == 1


def find_directory(pids: list[int]) -> Path:
    """Return the state directory, told by the log of the lab's first process."""
    return Path(f"/proc/{pids[0]}/fd/2").readlink().parents[1]


def test_down_leaves_nothing() -> None:
    check_leaves_nothing([])


def test_ordinary_user_can_do_it_all() -> None:
    if os.geteuid() != 0:
        pytest.skip("all the other tests are run by an ordinary user already")
    user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    found = subprocess.run(
        [*user, sys.executable, "-c", "import qubesforward"], capture_output=True
    )
    if found.returncode:
        pytest.skip("the program lies where an ordinary user cannot read it")
    check_leaves_nothing([*user, "env", "--unset=XDG_RUNTIME_DIR"])


def test_two_labs_do_not_meet(lab: RunningLab, make_lab: MakeLab) -> None:
    with make_lab(SMALL) as other:
        with serving(lab, "lan2", [80]):
            assert probe(lab, "lan", "192.168.1.21", 80) is not None
            assert probe(other, "lan", "192.168.1.21", 80) is None
        assert not set(list_lab_pids(lab)) & set(list_lab_pids(other))
        listed = other.run("status").stdout
        assert "lan2" in listed
        assert "work" not in listed
    assert lab.run("status").returncode == 0


def test_lab_that_is_up_is_not_started_twice(make_lab: MakeLab) -> None:
    with make_lab(SMALL) as one:
        done = one.run("up")
        assert done.returncode == 1
        assert "up already" in done.stderr
        one.check("lan", "true")


def test_lab_that_was_killed_is_gone_and_can_come_up_again(make_lab: MakeLab) -> None:
    with make_lab(SMALL) as one:
        processes = identify(list_lab_pids(one))
        (first,) = one.pids("lab", "lab-hypervisor")
        os.kill(first, signal.SIGKILL)
        assert wait_gone(processes)
        assert "is not up" in one.exec("lan", ["true"]).stderr
        assert one.run("up").returncode == 0
        one.check("work", "true")


def test_failure_to_come_up_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    # Only the kernel notices that two cards of a host cannot have one name.
    card = (
        '{ name = "c", network = "home", ip = "192.168.1.20", ip6 = "2001:db8:1::20" }'
    )
    wrong.write_text(SMALL + f"[hosts.twice]\ncards = [{card}, {card}]\n")
    one = RunningLab(f"test-{os.getpid()}-wrong")
    done = one.run("up", "--topology", str(wrong))
    assert done.returncode == 1
    assert "twice" in done.stderr or "File exists" in done.stderr
    assert not one.state.exists()
    assert one.run("down").returncode == 1


def test_missing_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = shutil.which

    def which(program: str, path: str) -> str | None:
        return None if program == "dnsmasq" else find(program, path=path)

    monkeypatch.setattr(shutil, "which", which)
    with pytest.raises(LabError, match="apt install dnsmasq-base"):
        launch(LabState("never"), DEFAULT_TOPOLOGY, print)
