# SPDX-License-Identifier: GPL-2.0-or-later
"""A screen that nobody sees, with a real keyboard and mouse; and windows on it."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 30.0


def wait_until(is_so: Callable[[], object]) -> None:
    """Wait until something is so; fail after `PATIENCE`."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


class Screen:
    """An X server. `environment` leads programs to it."""

    def __init__(self, display: str) -> None:
        self.environment = {**os.environ, "DISPLAY": display}
        self.environment.pop("WAYLAND_DISPLAY", None)
        self.environment.pop("QT_QPA_PLATFORM", None)

    def use(self, *words: str) -> str:
        """Move the mouse, press keys, or look for windows; return what is found."""
        done = subprocess.run(
            ["xdotool", *words],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        return done.stdout.strip()

    def find(self, title: str) -> str:
        """Return the window that has this in its title and is seen, or nothing."""
        found = self.use("search", "--onlyvisible", "--name", title)
        return found.partition("\n")[0]

    def wait(self, title: str) -> str:
        """Wait for a window."""
        wait_until(lambda: self.find(title))
        return self.find(title)

    def size(self, window: str) -> tuple[int, int]:
        """Return width and height of a window."""
        lines = self.use("getwindowgeometry", "--shell", window).splitlines()
        found = dict(line.split("=") for line in lines)
        return int(found["WIDTH"]), int(found["HEIGHT"])

    def click(self, window: str, right: float, down: float) -> None:
        """Click into a window, at parts of its width and height."""
        width, height = self.size(window)
        place = (str(round(width * right)), str(round(height * down)))
        self.use("mousemove", "--window", window, *place, "click", "1")


@contextmanager
def screen() -> Iterator[Screen]:
    """Have an X server of our own."""
    told, teller = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(teller), "-screen", "0", "1280x900x24"],
        pass_fds=[teller],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(teller)
    try:
        with open(told, "rb", buffering=0) as answer:  # noqa: PTH123
            number = answer.readline().decode().strip()
        assert number, "Xvfb does not start"
        yield Screen(f":{number}")
    finally:
        server.terminate()
        server.wait()
