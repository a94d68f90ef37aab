# SPDX-License-Identifier: GPL-2.0-or-later
"""Windows of the lab's dom0 on the user's own screen, to be tried by hand."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from qubesforward.lab.boot import end, launch
from qubesforward.lab.sandbox import DOM0_DIR
from qubesforward.lab.screen import COOKIES, Screen, find_screen
from qubesforward.lab.state import LabState

_HINTS = """\
A Qubes network runs on this machine; its windows are on your screen. To try:
  qubes-lab{option} exec lan -- curl http://192.168.1.10:443/   what a neighbour sees
  qubes-lab{option} exec dom0 -- qvm-forward work 443:8443      open by command
  qubes-lab{option} exec dom0 -- qvm-features work portmap ask  programs may ask, then
  qubes-lab{option} exec work -- natpmpc -a 5000 5000 udp 3600  one does
Close the window "Open ports" to end all of it.
"""


def show_desktop(state: LabState, topology: Path, report: Callable[[str], None]) -> int:
    """Start the lab if it is not up, and show the overview; return its exit status.

    The prompt runs beside it. A lab that was started here ends with the window. Raises
    `LabError` where there is no screen, or the lab cannot start.
    """
    screen = find_screen(os.environ)
    # Whoever ends this program ends the lab that it started, too.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    is_ours = not state.is_up()
    if is_ours:
        launch(state, topology, report, screen.sockets)
    try:
        _hand_over(state, screen)
        print(_HINTS.format(option=state.option), flush=True)
        prompt = _start(state, screen, "qubes-forward-prompt")
        try:
            return _start(state, screen, "qubes-forward-settings").wait()
        finally:
            prompt.terminate()
            prompt.wait()
    finally:
        if is_ours:
            end(state)


def _hand_over(state: LabState, screen: Screen) -> None:
    """Write the cookies to where dom0 finds them."""
    inside = Path(f"/proc/{state.supervisor}/root{DOM0_DIR}", Path(COOKIES).name)
    inside.touch(mode=0o600)
    inside.write_bytes(screen.cookies)


def _start(state: LabState, screen: Screen, *command: str) -> subprocess.Popen[bytes]:
    pairs = [f"{name}={value}" for name, value in screen.environment.items()]
    return subprocess.Popen(_make_command(state, ["env", *pairs, *command]))


def _make_command(state: LabState, argv: Sequence[str]) -> list[str]:
    lab = [sys.executable, "-m", "qubesforward.lab.main", "exec", "--name", state.name]
    return [*lab, "dom0", "--", *argv]
