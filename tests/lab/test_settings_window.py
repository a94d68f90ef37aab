# SPDX-License-Identifier: GPL-2.0-or-later
"""What a user does in the settings of a qube, and what packets from the LAN find then.

The window is the real program, in dom0 and on no screen; clicks and keys are real.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.lab.forwards import dom0, forwarded, forwards_of
from tests.lab.running_lab import RunningLab
from tests.lab.settings_window import PATIENCE, Window
from tests.lab.standing import Prober, eventually
from tests.lab.traffic import serving

pytestmark = pytest.mark.lab

NET = "192.168.1.10"
TABLE, PORT, INNER = "Forwarded ports", "Port or service", "Port in work"


@pytest.fixture(scope="module")
def lan(lab: RunningLab) -> Iterator[Prober]:
    """Tries ports from the LAN; work and personal serve their 8443."""
    with (
        serving(lab, "work", [8443]),
        serving(lab, "personal", [8443]),
        Prober(lab, "lan") as prober,
    ):
        yield prober


@pytest.fixture
def window(lab: RunningLab, lan: Prober) -> Iterator[Window]:
    with Window(lab, "work") as one:
        yield one
    close = ["qvm-forward", "work", "--close-all"]
    # Where a test failed, the daemon may just be coming back.
    eventually(lambda: lab.exec("dom0", close).returncode, 0, PATIENCE)


def wait_answers(lan: Prober, wanted: dict[int, str | None]) -> None:
    """Wait until these qubes answer at ports of sys-net, all in one look.

    That one answers says that there was time for an answer from those that do not.
    """
    assert any(wanted.values())

    def look() -> dict[int, str | None]:
        answers = lan.probe_all([("tcp", NET, port) for port in wanted])
        found = [None if one is None else one.qube for one in answers]
        return dict(zip(wanted, found, strict=True))

    eventually(look, wanted, PATIENCE)


def wait_states(window: Window, wanted: dict[str, str]) -> None:
    eventually(lambda: window.states, wanted, PATIENCE)


def open_port(window: Window, port: int) -> None:
    """Open a port to 8443 by mouse and keys."""
    window.press("Open a port…")
    window.wait_title("Open a port of work")
    window.type(PORT, str(port))
    window.type(INNER, "8443")
    window.wait_text(f"reach tcp port 8443 of work at {NET}:{port}")
    window.press("Open the port")
    window.wait_title("Settings: work")


def change(window: Window, row: str) -> None:
    """Begin to change a forward by mouse."""
    window.choose(TABLE, row)
    window.press("Change the forwarded port")
    window.wait_title("Change a port of work")


def test_a_port_is_opened_and_then_another_instead(window: Window, lan: Prober) -> None:
    open_port(window, 443)
    wait_states(window, {"443 → 8443": "open"})
    wait_answers(lan, {443: "work"})
    change(window, "443 → 8443")
    window.type(PORT, "444")
    window.wait_text(f"at {NET}:444")
    window.press("Change")
    wait_states(window, {"444 → 8443": "open"})
    wait_answers(lan, {443: None, 444: "work"})


def test_a_port_is_closed_when_its_time_is_over(
    lab: RunningLab, window: Window, lan: Prober
) -> None:
    open_port(window, 443)
    open_port(window, 444)
    wait_states(window, {"443 → 8443": "open", "444 → 8443": "open"})
    wait_answers(lan, {443: "work", 444: "work"})
    change(window, "444 → 8443")
    window.type("For how long", "o")
    window.type("Other duration, or end", "5s")
    window.press("Change")
    wait_states(window, {"443 → 8443": "open"})
    wait_answers(lan, {443: "work", 444: None})
    # The change has not taken it away.
    eventually(lambda: "its time is over" in last_of(lab, "444:8443"), True, PATIENCE)


def last_of(lab: RunningLab, ports: str) -> str:
    """Return what the log told last of a forward."""
    log = dom0(lab, "qvm-forward", "work", "--log").stdout.splitlines()
    return str([line for line in log if ports in line][-1])


def test_a_port_that_another_qube_has_is_not_opened(
    lab: RunningLab, window: Window, lan: Prober
) -> None:
    with forwarded(lab, "personal", "forwardtype=external srcports=443 dstports=8443"):
        window.press("Open a port…")
        window.wait_title("Open a port of work")
        window.type(PORT, "443")
        taken = "personal has port 443 of sys-net already"
        eventually(lambda: taken in window.seen["fields"][PORT], True, PATIENCE)
        window.wait_text(taken)
        assert not window.can_press("Open the port")
        wait_answers(lan, {443: "personal"})
        assert forwards_of(lab, "work") == []
        # The user takes another one.
        window.type(PORT, "444")
        window.type(INNER, "8443")
        window.wait_text(f"at {NET}:444")
        window.press("Open the port")
        wait_states(window, {"444 → 8443": "open"})
        wait_answers(lan, {443: "personal", 444: "work"})


@contextmanager
def daemon_dead(lab: RunningLab) -> Iterator[None]:
    """Kill qubes-forwardd, and have it stay so until the end of the block."""
    # Who would start it again.
    (init,) = lab.pids("dom0", "lab-init")
    os.kill(init, signal.SIGSTOP)
    try:
        (pid,) = lab.pids("dom0", "qubes-forwardd")
        os.kill(pid, signal.SIGKILL)
        yield
    finally:
        os.kill(init, signal.SIGCONT)


def test_a_daemon_that_is_killed_is_told_and_found_again(
    lab: RunningLab, window: Window, lan: Prober
) -> None:
    open_port(window, 443)
    wait_states(window, {"443 → 8443": "open"})
    with daemon_dead(lab):
        window.wait_text("nothing can be changed now: qubes-forwardd")
        assert not window.can_press("Open a port…")
        # What is open stays open, and can be read.
        assert window.states == {"443 → 8443": "open"}
        wait_answers(lan, {443: "work"})
    window.wait_text("nothing can be changed now", is_there=False)
    open_port(window, 444)
    wait_states(window, {"443 → 8443": "open", "444 → 8443": "open"})
    wait_answers(lan, {443: "work", 444: "work"})
