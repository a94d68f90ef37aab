# SPDX-License-Identifier: GPL-2.0-or-later
"""The tools in a qube that manages others, by qrexec and as dom0's policy has it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.forwards import dom0, forwards_of
from tests.lab.running_lab import RunningLab
from tests.lab.services import policy_file
from tests.lab.traffic import Answer, probe, serving

pytestmark = [pytest.mark.lab, pytest.mark.both_settings]

MANAGER = "personal"
NET, LAN = "192.168.1.10", "192.168.1.20"
VERBS = ("Get", "Set", "Add", "Remove", "Plan", "Status", "Reload")

# What stock has for those that restore backups or manage qubes, or worse.
WILDCARDS = (
    f"admin.vm.firewall.Get     *  {MANAGER}  @anyvm     allow target=dom0",
    f"admin.vm.firewall.Set     *  {MANAGER}  @anyvm     allow target=dom0",
    f"admin.vm.firewall.Reload  *  {MANAGER}  @anyvm     allow target=dom0",
    f"*                         *  {MANAGER}  @anyvm     allow target=dom0",
    f"*                         *  {MANAGER}  @adminvm   allow target=dom0",
)


@contextmanager
def allowed(lab: RunningLab, verbs: tuple[str, ...] = VERBS) -> Iterator[None]:
    """Have the user allow calls about forwards of work."""
    lines = [
        f"admin.vm.firewall.{verb} +forward {MANAGER} work allow target=dom0"
        for verb in verbs
    ]
    with policy_file(lab, "30-user.policy", *lines):
        yield


@pytest.fixture(autouse=True)
def _wildcards(lab: RunningLab) -> Iterator[None]:
    with policy_file(lab, "90-stock.policy", *WILDCARDS):
        yield
    dom0(lab, "qvm-forward", "work", "--close-all")


def manage(lab: RunningLab, *words: str) -> subprocess.CompletedProcess[str]:
    return lab.exec(MANAGER, words)


def test_a_qube_that_is_allowed_to_opens_and_closes_a_port(lab: RunningLab) -> None:
    with allowed(lab), serving(lab, "work", [8443]):
        done = manage(lab, "qvm-forward", "work", "443:8443/tcp")
        assert done.returncode == 0, done.stderr
        assert "can now reach tcp port 8443 of work" in done.stdout
        assert probe(lab, "lan", NET, 443) == Answer("work", LAN, 8443)
        listed = manage(lab, "qvm-firewall", "work")
        assert "443" in listed.stdout, listed.stderr
        assert "accept" in listed.stdout
        closed = manage(lab, "qvm-forward", "work", "--close", "443")
        assert closed.returncode == 0, closed.stderr
        assert probe(lab, "lan", NET, 443) is None
    log = dom0(lab, "qvm-forward", "work", "--log").stdout
    assert MANAGER in log


@pytest.mark.parametrize("verb", [*VERBS, "Confirm", "Log", "Diagnose", "Requests"])
def test_wildcards_of_the_system_do_not_reach_forwards(
    lab: RunningLab, verb: str
) -> None:
    for target in ("work", "dom0"):
        service = f"admin.vm.firewall.{verb}+forward"
        done = manage(lab, "qrexec-client-vm", target, service)
        assert (done.returncode, done.stdout) == (126, "")


def test_a_qube_that_is_not_allowed_to_is_told_so(lab: RunningLab) -> None:
    done = manage(lab, "qvm-forward", "work", "443:8443/tcp")
    assert done.returncode == 1
    assert "dom0 does not let this qube call admin.vm.firewall." in done.stderr
    assert forwards_of(lab, "work") == []
    outbound = manage(lab, "qvm-firewall", "--raw", "work")
    assert outbound.stdout == "action=accept\n"


def test_leave_for_one_qube_and_call_is_no_more(lab: RunningLab) -> None:
    with allowed(lab, ("Get", "Status")):
        assert manage(lab, "qvm-forward", "work").returncode == 0
        assert manage(lab, "qvm-forward", "work", "443").returncode == 1
        assert manage(lab, "qvm-forward", "untrusted").returncode == 1
        assert manage(lab, "qvm-forward").returncode == 1
    assert forwards_of(lab, "work") == []


def test_errors_are_those_of_the_daemon(lab: RunningLab) -> None:
    with allowed(lab):
        for _ in range(2):
            done = manage(lab, "qvm-firewall", "work", "del", "--rule-no", "7")
            assert done.returncode == 1
        service = "admin.vm.firewall.Add+forward"
        done = lab.exec(
            MANAGER,
            ["qrexec-client-vm", "work", service],
            input="action=forward forwardtype=external srcports=80443\n",
        )
        assert "ports are 1-65535" in done.stdout
