# SPDX-License-Identifier: GPL-2.0-or-later
"""The windows of a lab's dom0 on a screen outside, with real keys and a real mouse."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from qubesforward.errors import LabError
from qubesforward.gui.prompt_queue import ARMING
from qubesforward.lab.screen import find_screen, loosen_cookies
from tests.lab.running_lab import RunningLab
from tests.lab.screen_world import PATIENCE, Screen, screen, wait_until
from tests.lab.traffic import probe, serving

# Where a button of the prompt is, in parts of its width and height.
ALLOW = (0.18, 0.83)
# Where that for another port is in the settings of a qube.
ADD = (0.92, 0.48)


@pytest.fixture(scope="module")
def monitor() -> Iterator[Screen]:
    with screen() as made:
        yield made


@pytest.fixture(scope="module")
def lab(monitor: Screen) -> Iterator[RunningLab]:
    """A lab that `qubes-lab desktop` has started; its programs may ask for ports."""
    made = RunningLab(f"test-{os.getpid()}-desktop")
    desktop = subprocess.Popen(
        made.command("desktop"), env=monitor.environment, cwd="/"
    )
    try:
        monitor.wait("Open ports")
        made.check("dom0", "qvm-features", "work", "portmap", "ask")
        made.check("dom0", "qvm-features", "personal", "portmap", "ask")
        yield made
    finally:
        desktop.terminate()
        desktop.wait()
    assert not made.state.exists()


@contextmanager
def asking(lab: RunningLab, qube: str, port: int) -> Iterator[subprocess.Popen[str]]:
    """Have a program of a qube ask its router for a port."""
    words = ["natpmpc", "-a", str(port), str(port), "udp", "3600"]
    with lab.spawn(qube, words) as program:
        try:
            yield program
        finally:
            program.kill()


def answer(
    monitor: Screen, act: Callable[[], object], title: str = "asks for a port"
) -> None:
    """Do it until the window is gone: on a busy machine it takes keys late."""

    def is_gone() -> bool:
        act()
        time.sleep(0.5)
        return not monitor.find(title)

    wait_until(is_gone)


def wait_armed() -> None:
    time.sleep(ARMING + 0.3)


@pytest.mark.lab
@pytest.mark.alone
def test_a_click_gives_a_program_its_port(lab: RunningLab, monitor: Screen) -> None:
    with asking(lab, "work", 5000) as program:
        prompt = monitor.wait("asks for a port")
        wait_armed()
        answer(monitor, lambda: monitor.click(prompt, *ALLOW))
        out, _ = program.communicate(timeout=60)
    assert "Mapped public port 5000 protocol UDP to local port 5000" in out


@pytest.mark.lab
@pytest.mark.alone
def test_it_does_not_take_the_keys_and_enter_is_a_no(
    lab: RunningLab, monitor: Screen
) -> None:
    overview = monitor.wait("Open ports")
    monitor.use("windowfocus", "--sync", overview)
    with asking(lab, "personal", 6000) as program:
        prompt = monitor.wait("asks for a port")
        assert monitor.use("getwindowfocus") == overview
        monitor.use("key", "Return")
        wait_armed()
        monitor.use("key", "Return")
        assert monitor.find("asks for a port") == prompt
        monitor.use("windowfocus", "--sync", prompt)
        wait_armed()
        answer(monitor, lambda: monitor.use("key", "Return"))
        out, _ = program.communicate(timeout=60)
    assert "Mapped" not in out
    assert "declined" in lab.check("dom0", "qvm-forward", "personal", "--log")


@pytest.mark.lab
@pytest.mark.alone
def test_a_port_is_opened_with_mouse_and_keys_and_packets_arrive(
    lab: RunningLab, monitor: Screen
) -> None:
    found = find_screen(monitor.environment).environment
    pairs = [f"{name}={value}" for name, value in found.items()]
    program = ["env", *pairs, "qubes-forward-settings", "work"]
    with serving(lab, "work", [8080]), lab.spawn("dom0", program) as settings:
        try:
            window = monitor.wait("Settings: work")
            # Until the daemon has told what is open, nothing can be pressed.
            wait_until(lambda: open_dialog(monitor, window))
            dialog = monitor.wait("Open a port of work")
            monitor.use("windowfocus", "--sync", dialog)
            monitor.use("type", "8080")
            # It takes Return once it has said what will happen.
            answer(monitor, lambda: monitor.use("key", "Return"), "Open a port of")
        finally:
            settings.kill()
        # Of what stands in the window as open, a neighbour gets an answer.
        answered = probe(lab, "lan", "192.168.1.10", 8080, patience=PATIENCE)
    assert answered is not None
    assert answered.qube == "work"
    assert "8080/tcp" in lab.check("dom0", "qvm-forward", "work", "--log")


def open_dialog(monitor: Screen, window: str) -> str:
    """Press the button for another port; return the dialog, if it has come."""
    monitor.click(window, *ADD)
    time.sleep(0.5)
    return monitor.find("Open a port of work")


@pytest.mark.lab
@pytest.mark.alone
def test_qubes_do_not_see_the_screen(lab: RunningLab, monitor: Screen) -> None:
    name = monitor.environment["DISPLAY"].removeprefix(":")
    path = f"/tmp/.X11-unix/X{name}"
    assert lab.exec("dom0", ["test", "-S", path]).returncode == 0
    for qube in ("sys-net", "work"):
        assert lab.exec(qube, ["test", "-e", path]).returncode != 0


# Finding the screen


def entry(family: int, *texts: bytes) -> bytes:
    fields = (struct.pack(">H", len(text)) + text for text in texts)
    return struct.pack(">H", family) + b"".join(fields)


COOKIE = (b"0", b"MIT-MAGIC-COOKIE-1", b"sixteen bytes...")


def test_cookies_are_for_any_host() -> None:
    local, wild = entry(256, b"myhost", *COOKIE), entry(0xFFFF, b"", *COOKIE)
    assert loosen_cookies(local + wild) == wild + wild


@pytest.mark.parametrize("cut", range(len(entry(256, b"myhost", *COOKIE))))
def test_a_cookie_that_is_cut_off_is_left_out(cut: int) -> None:
    whole = entry(256, b"myhost", *COOKIE)
    loose = loosen_cookies(whole + whole[:cut])
    assert loose == entry(0xFFFF, b"", *COOKIE)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DISPLAY": "elsewhere:0"},
        {"DISPLAY": ":99999"},
        {"WAYLAND_DISPLAY": "wayland-0", "XDG_RUNTIME_DIR": "/nowhere"},
    ],
)
def test_without_a_screen_it_is_said(environment: dict[str, str]) -> None:
    with pytest.raises(LabError, match="there is no screen"):
        find_screen(environment)


def test_only_what_windows_need_is_passed_on(tmp_path: Path, monitor: Screen) -> None:
    (tmp_path / "cookies").write_bytes(entry(256, b"myhost", *COOKIE))
    found = find_screen(
        {
            "DISPLAY": monitor.environment["DISPLAY"] + ".0",
            "XAUTHORITY": str(tmp_path / "cookies"),
            "LANG": "de_DE.UTF-8",
            "SECRET": "x",
        }
    )
    number = monitor.environment["DISPLAY"].removeprefix(":")
    assert found.sockets == (f"/tmp/.X11-unix/X{number}",)
    assert "SECRET" not in found.environment
    assert found.environment["LANG"] == "de_DE.UTF-8"
    assert found.environment["XAUTHORITY"] == "/run/qubes-lab/Xauthority"
    assert found.cookies == entry(0xFFFF, b"", *COOKIE)
