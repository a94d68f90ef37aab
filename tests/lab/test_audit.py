# SPDX-License-Identifier: GPL-2.0-or-later
"""The audit log in a lab: what the tools show of what they and others did."""

import json
import time
from typing import Any

import pytest

from tests.lab.forwards import dom0, wait_settled
from tests.lab.running_lab import RunningLab

pytestmark = pytest.mark.lab

FILE = "/var/log/qubes/qubes-forward.log"


def events(lab: RunningLab, since: float) -> list[dict[str, Any]]:
    told = dom0(
        lab, "qvm-forward", "work", "--log", "--since", str(int(since)), "--json"
    )
    return [event for event in json.loads(told.stdout)["events"]]


def wait_logged(lab: RunningLab, since: float, wanted: list[str]) -> None:
    end = time.monotonic() + 5
    while True:
        kinds = [event["event"] for event in events(lab, since)]
        if kinds == wanted or time.monotonic() > end:
            assert kinds == wanted
            return
        time.sleep(0.05)


def wait_opened(
    lab: RunningLab, since: float, path: list[str], kind: str = "opened"
) -> list[tuple[str, str]]:
    """Wait until the last event is this one; return all with their reasons."""
    end = time.monotonic() + 5
    while True:
        found = events(lab, since)
        last = found[-1]
        if (last["event"], last.get("path")) == (kind, path):
            return [(event["event"], event.get("reason", "")) for event in found]
        assert time.monotonic() < end, found
        time.sleep(0.05)


def test_what_users_changes_and_kills_do_is_in_the_log(lab: RunningLab) -> None:
    time.sleep(1.1)  # the log is asked for by whole seconds
    began = time.time()
    try:
        dom0(lab, "qvm-forward", "work", "443:8443", "--for", "1h")
        assert wait_settled(lab, "work") == ["active"]
        done = ["added", "opened"]
        wait_logged(lab, began, done)
        dom0(lab, "qvm-forward", "work", "443:8443", "--for", "2h")
        done += ["changed"]
        wait_logged(lab, began, done)
        dom0(lab, "qvm-prefs", "work", "netvm", "sys-net")
        # The target may shut its door for as long as it has no uplink.
        moved = wait_opened(lab, began, ["sys-net"])
        # Where hops take longer, the target is heard first.
        reasons = {
            "it leads through sys-net now",
            "work: in=self: this qube has no uplink",
        }
        assert any(("closed", reason) in moved for reason in reasons)
        assert dom0(lab, "qvm-forward", "personal", "443", ok=False).returncode
        (pid,) = lab.exec("dom0", ["pgrep", "-f", "qubes-forwardd"]).stdout.split()
        dom0(lab, "kill", "-9", pid)
        while dom0(lab, "qvm-forward", ok=False).returncode:
            time.sleep(0.05)
        assert wait_opened(lab, began, ["sys-net"], "found")
    finally:
        dom0(lab, "qvm-prefs", "work", "netvm", "sys-firewall")
        dom0(lab, "qvm-forward", "work", "--close-all")
    end = time.monotonic() + 5
    while events(lab, began)[-1]["event"] != "closed" and time.monotonic() < end:
        time.sleep(0.05)
    *_, removed, closed = events(lab, began)
    assert (removed["event"], removed["by"]) == ("removed", "dom0")
    assert (closed["event"], closed["reason"]) == ("closed", "removed")
    text = dom0(lab, "qvm-forward", "--log", "--since", "10m").stdout
    denied = [line for line in text.splitlines() if "denied" in line]
    assert "work has port 443 of sys-net already" in denied[-1]
    listed = dom0(lab, "stat", "-c", "%a %G", FILE).stdout.split()
    assert listed[0] == "640"
