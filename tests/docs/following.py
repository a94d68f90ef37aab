# SPDX-License-Identifier: GPL-2.0-or-later
"""Follows a page of the guide in a lab, command by command, as it is written."""

from __future__ import annotations

import re
import time
from contextlib import ExitStack

from tests.docs.pages import Step
from tests.lab.routers import PUBLIC
from tests.lab.running_lab import RunningLab

PATIENCE = 10.0
"""Seconds in which a command must have printed what is shown."""

DOCUMENTED = "198.51.100."
"""Addresses outside, as pages have them; miniupnpd would not open a port at one."""

SHOWN_ID = "1a2b3c4d"
"""The ID of a request in pages; in the lab it is another one each time."""

_LIKE_A_SHELL = """
export PYTHONUNBUFFERED=1 COLUMNS=80 HOME=/root
sudo() { "$@"; }
cd; """

_TIDY_UP = """
qvm-forward --close-all
for qube in work personal; do
    qvm-features $qube | while read -r name value; do
        case $name in portmap*) qvm-features --unset $qube $name;; esac
    done
done
"""

# What differs from one run to another, written in one way.
_VARYING = (
    (re.compile(r"\b\d{4}-\d\d-\d\d\b"), "DATE"),
    (re.compile(r"\b(?:tomorrow )?\d\d:\d\d(:\d\d)?\b"), "CLOCK"),
    (re.compile(r"\b\d+ packets \([\d.]+ k?B\)"), "SOME packets"),
    (re.compile(r"\b\d+ packets"), "SOME packets"),
)
_LISTENING = "cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == \"0A\"'"


def _level(text: str) -> str:
    text = text.replace(PUBLIC, DOCUMENTED)
    for pattern, name in _VARYING:
        text = pattern.sub(name, text)
    return " ".join(text.split())


def matches(shown: str, printed: str, known: dict[str, str]) -> bool:
    """Whether a command printed what is shown; `known` gets the ID in it.

    Line ends and spaces count alike, ``…`` stands for anything, or nothing.
    """
    pattern = re.escape(_level(shown)).replace("…", ".*?")
    pattern = re.sub(r"(\\ )?\.\*\?(\\ )?", ".*?", pattern)
    if SHOWN_ID in pattern and SHOWN_ID not in known:
        pattern = pattern.replace(SHOWN_ID, "(?P<id>[0-9a-f]{8})", 1)
        pattern = pattern.replace(SHOWN_ID, "(?P=id)")
    found = re.fullmatch(pattern, _level(printed))
    if found is not None and "id" in found.groupdict():
        known[SHOWN_ID] = found["id"]
    return found is not None


class Follower:
    """One page in one lab; what it started in the background ends with it."""

    def __init__(self, lab: RunningLab) -> None:
        self._lab = lab
        self._known: dict[str, str] = {}
        self._started = ExitStack()

    def __enter__(self) -> Follower:
        return self

    def __exit__(self, *_: object) -> None:
        self._started.close()
        self._lab.exec("dom0", ["sh", "-c", _TIDY_UP])

    def _argv(self, step: Step) -> list[str]:
        command = step.command.replace(DOCUMENTED, PUBLIC)
        for shown, real in self._known.items():
            command = command.replace(shown, real)
        return ["bash", "-c", f"{_LIKE_A_SHELL}{command}"]

    def follow(self, step: Step) -> None:
        """Run one command; fail if it does not do what is shown."""
        if step.command.endswith("&"):
            self._start(step)
            return
        end = time.monotonic() + PATIENCE
        while True:
            done = self._lab.exec(step.where, self._argv(step))
            printed = done.stdout + done.stderr
            if done.returncode == step.status and matches(
                "\n".join(step.shown), printed, self._known
            ):
                return
            # What is outside, or only looks, may come a moment too early.
            assert _may_repeat(step), f"{step.command}: {done.returncode} {printed}"
            assert time.monotonic() < end, (
                f"[{step.where}] {step.command}: status {done.returncode}, printed:\n"
                f"{printed}\nshown:\n{step.shown}"
            )
            time.sleep(0.2)

    def _start(self, step: Step) -> None:
        """Start a command that goes on; wait until a server among them listens."""
        before = self._lab.exec(step.where, ["sh", "-c", _LISTENING]).stdout
        argv = self._argv(step)
        argv[-1] = argv[-1].removesuffix("&").replace("cd; ", "cd; exec ")
        process = self._lab.spawn(step.where, argv, stdout=-3, stderr=-3)
        self._started.callback(process.communicate)
        self._started.callback(process.kill)
        end = time.monotonic() + PATIENCE / 2
        while "http.server" in step.command and time.monotonic() < end:
            now = self._lab.exec(step.where, ["sh", "-c", _LISTENING]).stdout
            if now != before:
                break
            time.sleep(0.05)


def _may_repeat(step: Step) -> bool:
    opens = re.match(r"qvm-forward \S+ \d", step.command)
    return step.where != "dom0" or not opens
