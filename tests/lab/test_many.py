# SPDX-License-Identifier: GPL-2.0-or-later
"""Many callers at once, and a daemon that is killed while they call."""

import random
import threading
import time

import pytest

from tests.lab.forwards import dom0, forwarded, wait_settled
from tests.lab.running_lab import RunningLab
from tests.lab.traffic import Answer, probe, serving

pytestmark = pytest.mark.lab

RULE = "action=forward forwardtype=external proto=tcp srcports={0}-{0}"


def in_parallel(command: str, numbers: range) -> list[str]:
    """Return a shell command that runs `command` for each number at once."""
    script = (
        "failed=0; pids=; for n in $(seq $1 $2); do "
        f'{command} & pids="$pids $!"; done; '
        "for pid in $pids; do wait $pid || failed=$((failed+1)); done; echo $failed"
    )
    return ["bash", "-c", script, "-", str(numbers[0]), str(numbers[-1])]


def test_a_hundred_forwards_at_once_are_a_hundred(lab: RunningLab) -> None:
    add = f"qvm-firewall work add {RULE.format('$n')} >/dev/null"
    try:
        done = lab.exec("dom0", in_parallel(add, range(7000, 7100)), timeout=120)
        assert done.stdout.strip() == "0", done.stderr
        raw = dom0(lab, "qvm-firewall", "--raw", "work").stdout
        ports = {line for line in raw.splitlines() if "action=forward" in line}
        assert ports == {RULE.format(port) for port in range(7000, 7100)}
        assert set(wait_settled(lab, "work")) == {"active"}
        with serving(lab, "work", [7042]):
            assert probe(lab, "lan", "192.168.1.10", 7042) == Answer(
                "work", "192.168.1.20", 7042
            )
    finally:
        dom0(lab, "qvm-forward", "work", "--close-all")


def test_a_hundred_outbound_rules_at_once_are_a_hundred(lab: RunningLab) -> None:
    add = "qvm-firewall personal add accept 10.9.8.$n >/dev/null"
    try:
        done = lab.exec("dom0", in_parallel(add, range(1, 101)), timeout=120)
        assert done.stdout.strip() == "0", done.stderr
        raw = dom0(lab, "qvm-firewall", "--raw", "personal").stdout
        assert sum("dst4=10.9.8." in line for line in raw.splitlines()) == 100
    finally:
        dom0(lab, "qvm-firewall", "personal", "reset")


def test_a_daemon_killed_again_and_again_loses_nothing_acknowledged(
    lab: RunningLab,
) -> None:
    chance = random.Random(2)
    over = threading.Event()

    def kill() -> None:
        while not over.is_set():
            time.sleep(chance.uniform(0.05, 0.5))
            lab.exec("dom0", ["pkill", "-9", "-f", "qubes-forwardd"])

    killer = threading.Thread(target=kill)
    killer.start()
    acknowledged = set()
    try:
        for port in range(7200, 7230):
            rule = RULE.format(port)
            done = lab.exec("dom0", ["qvm-firewall", "work", "add", *rule.split(" ")])
            if done.returncode == 0:
                acknowledged.add(rule)
    finally:
        over.set()
        killer.join()
    try:
        end = time.monotonic() + 5
        while (tried := lab.exec("dom0", ["qvm-forward", "work"])).returncode:
            assert time.monotonic() < end, tried.stderr
        found = dom0(lab, "qvm-firewall", "--raw", "work")
        stored = {line for line in found.stdout.splitlines() if "=forward" in line}
        assert acknowledged
        assert acknowledged <= stored
        assert set(wait_settled(lab, "work")) == {"active"}
    finally:
        dom0(lab, "qvm-forward", "work", "--close-all")


def test_what_is_applied_stays_and_ends_in_time_with_every_daemon_dead(
    lab: RunningLab,
) -> None:
    forever = "forwardtype=external proto=tcp srcports=7300"
    with (
        serving(lab, "work", [7300, 7301]),
        forwarded(lab, "work", forever),
    ):
        add = ["qvm-firewall", "work", "add", "action=forward"]
        timed = "forwardtype=external proto=tcp srcports=7301 expire=+4"
        dom0(lab, *add, *timed.split(" "))
        assert set(wait_settled(lab, "work")) == {"active"}
        units = [("dom0", "qubes-forwardd")]
        units += [
            (n, "qubes-forward-agent") for n in ("sys-net", "sys-firewall", "work")
        ]
        try:
            for name, unit in units:
                assert lab.run("service", name, "stop", unit).returncode == 0
            assert probe(lab, "lan", "192.168.1.10", 7300) is not None
            end = time.monotonic() + 6
            while probe(lab, "lan", "192.168.1.10", 7301) is not None:
                assert time.monotonic() < end
            assert probe(lab, "lan", "192.168.1.10", 7300) is not None
        finally:
            for name, unit in units:
                assert lab.run("service", name, "start", unit).returncode == 0
            wait_until_served(lab)


def wait_until_served(lab: RunningLab) -> None:
    """Wait until the daemon answers again."""
    end = time.monotonic() + 5
    while lab.exec("dom0", ["qvm-forward", "work"]).returncode:
        assert time.monotonic() < end
