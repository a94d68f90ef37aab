# SPDX-License-Identifier: GPL-2.0-or-later
"""`qubes-lab exec` and `pids`, and services that are stopped, started and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lab.conftest import MakeLab
from tests.lab.running_lab import RunningLab

pytestmark = pytest.mark.lab


def eventually(condition: Callable[[], bool], patience: float = 5) -> bool:
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def test_exec_passes_files_and_exit_status(lab: RunningLab) -> None:
    done = lab.exec("work", ["sh", "-c", "cat; echo no >&2; exit 7"], input="yes")
    assert (done.stdout, done.stderr, done.returncode) == ("yes", "no\n", 7)


def test_exec_in_the_domain_as_a_login_would(lab: RunningLab) -> None:
    told = lab.check("work", "sh", "-c", "hostname; pwd; echo $HOME; echo $PPID")
    assert told.split() == ["work", "/root", "/root", "0"]


def test_exec_of_nothing_that_exists(lab: RunningLab) -> None:
    done = lab.exec("work", ["no-such-program"])
    assert done.returncode == 127
    assert "no-such-program" in done.stderr
    done = lab.exec("no-such-qube", ["true"])
    assert done.returncode == 1
    assert "does not run" in done.stderr
    assert "sys-firewall" in done.stderr


def test_exec_passes_signals_on(lab: RunningLab) -> None:
    script = "trap 'echo got it; exit 5' TERM; echo on; while :; do sleep 0.01; done"
    running = lab.spawn("work", ["sh", "-c", script])
    assert running.stdout is not None
    assert running.stdout.readline() == "on\n"
    running.terminate()
    assert running.communicate(timeout=5)[0] == "got it\n"
    assert running.returncode == 5


def test_program_does_not_outlive_its_exec(lab: RunningLab) -> None:
    running = lab.spawn("work", ["sleep", "1000"])
    assert eventually(lambda: len(lab.pids("work", "sleep")) == 1)
    running.kill()
    running.communicate()
    assert eventually(lambda: not lab.pids("work", "sleep"))


def test_exec_imports_nothing_slow(lab: RunningLab) -> None:
    program, *words = lab.command("exec", "work", "--", "true")
    told = subprocess.run(
        [program, "-X", "importtime", *words],
        capture_output=True,
        text=True,
        check=True,
    ).stderr
    assert " argparse\n" in told
    for module in ("asyncio", "subprocess", "logging", "lxml", "socket"):
        assert f" {module}\n" not in told, module


def test_pids_name_every_program_by_its_host_pid(lab: RunningLab) -> None:
    (daemon,) = lab.pids("dom0", "qubesd")
    assert b"qubesd" in Path(f"/proc/{daemon}/cmdline").read_bytes()
    assert len(lab.pids("work", "lab-init")) == 1
    assert lab.pids("work", "qubesd") == []
    (first,) = lab.pids("lab", "lab-hypervisor")
    everything = lab.run("pids").stdout.splitlines()
    assert {int(line.split()[0]) for line in everything} > {daemon, first}


def test_killed_service_is_back_in_a_moment(lab: RunningLab) -> None:
    (before,) = lab.pids("sys-vpn", "ping")
    os.kill(before, signal.SIGKILL)
    killed = time.monotonic()
    assert eventually(lambda: lab.pids("sys-vpn", "ping") not in ([], [before]))
    assert 0.15 < time.monotonic() - killed < 1


def test_service_that_is_stopped_stays_so(lab: RunningLab) -> None:
    def service(action: str) -> tuple[int, str]:
        done = lab.run("service", "sys-vpn", action, "vpn-keepalive")
        return done.returncode, done.stdout

    assert service("status")[0] == 0
    assert service("stop") == (0, service("status")[1])
    assert "stopped" in service("status")[1]
    assert service("status")[0] == 3
    assert lab.pids("sys-vpn", "ping") == []
    assert service("start")[0] == 0
    (first,) = lab.pids("sys-vpn", "ping")
    assert service("restart")[0] == 0
    assert lab.pids("sys-vpn", "ping") not in ([], [first])


def test_service_that_is_not_there(lab: RunningLab) -> None:
    done = lab.run("service", "work", "stop", "no-such-unit")
    assert done.returncode == 1
    assert "qubes-base-firewall" in done.stderr


def test_base_firewall_restarts_with_its_links(lab: RunningLab) -> None:
    sources = ["nft", "list", "set", "ip", "qubes", "vif_sources"]
    try:
        lab.check("sys-firewall", "nft", "flush", "ruleset")
        assert lab.exec("sys-firewall", sources).returncode != 0
    finally:
        done = lab.run("service", "sys-firewall", "restart", "qubes-base-firewall")
    assert done.returncode == 0
    rules = lab.check("sys-firewall", "nft", "list", "table", "ip", "qubes")
    assert rules.count('"vif') >= 4
    lab.check("work", "ping", "-c1", "-W2", "198.51.100.2")


def test_status_shows_domains_and_services(lab: RunningLab) -> None:
    told = lab.run("status").stdout
    assert "qubesd running" in told
    assert "vpn-keepalive running" in told


def test_service_that_cannot_run_is_tried_again_but_not_for_ever(
    make_lab: MakeLab,
) -> None:
    services = (
        '[hosts.lan.services]\nfails = ["false"]\nmissing = ["no-such-program"]\n'
    )
    with make_lab(services) as one:
        for unit in ("fails", "missing"):

            def starts(unit: str = unit) -> int:
                told = one.run("service", "lan", "status", unit).stdout
                return int(told.split()[-2])

            assert eventually(lambda: starts() >= 5)
            before = starts()
            time.sleep(1)
            assert starts() <= before + 1
        assert "no-such-program" in (one.state / "logs/lan/init.log").read_text()


def test_shell_has_a_terminal(lab: RunningLab) -> None:
    typed = "hostname; test -t 0 && echo terminal\nexit 4\n"
    shell = " ".join(lab.command("shell", "work"))
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", shell, os.devnull],
        input=typed,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert "\nterminal" in done.stdout.replace("\r", "")
    assert "job control" not in done.stdout
    assert done.returncode == 4
