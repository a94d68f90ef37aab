# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab that is up, as tests drive it: through its own command line."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qubesforward.lab.state import LabState

PROGRAM = [sys.executable, "-m", "qubesforward.lab.main"]
PATIENCE = 30.0

SETTINGS = ("integrated", "beside")
SETTING = os.environ.get("SETTING", "")
"""What the user wants all labs to be, `SETTING=beside`: outbound rules are those of a
stock Qubes then. Without it, tests marked `both_settings` run in both, others in the
first."""

_numbers = itertools.count()


class RunningLab:
    """One lab. `prefix` goes before every command, to run it as somebody else."""

    def __init__(self, name: str, prefix: Sequence[str] = ()) -> None:
        self.name = name
        self._prefix = list(prefix)

    def command(self, *words: str) -> list[str]:
        """Return the command line of `qubes-lab` for this lab."""
        return [*self._prefix, *PROGRAM, "--name", self.name, *words]

    def run(
        self, *words: str, timeout: float = 90, **more: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run `qubes-lab` with these words."""
        more = {"cwd": "/", "capture_output": True, **more}
        return subprocess.run(
            self.command(*words), text=True, timeout=timeout, check=False, **more
        )

    def exec(
        self,
        name: str,
        argv: Sequence[str],
        *,
        input: str | None = None,
        timeout: float = PATIENCE,
        **more: Any,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a domain; its output is text."""
        if input is None:
            more.setdefault("stdin", subprocess.DEVNULL)
        else:
            more["input"] = input
        return self.run("exec", name, "--", *argv, timeout=timeout, **more)

    def check(self, name: str, *argv: str, **more: Any) -> str:
        """Run a command that must succeed, and return what it printed."""
        done = self.exec(name, argv, **more)
        assert done.returncode == 0, f"{name}: {argv}: {done.stdout}{done.stderr}"
        return done.stdout

    def spawn(
        self, name: str, argv: Sequence[str], **more: Any
    ) -> subprocess.Popen[str]:
        """Start a command in a domain, with pipes; it ends with its `Popen`."""
        pipes = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **more,
        }
        return subprocess.Popen(
            self.command("exec", name, "--", *argv), text=True, **pipes
        )

    def pids(self, name: str, program: str) -> list[int]:
        """Return the host pids of a program (its first word) in a domain."""
        listing = self.run("pids", name).stdout
        lines = (line.split(maxsplit=3) for line in listing.splitlines())
        return [int(line[0]) for line in lines if line[2] == program]

    @property
    def state(self) -> Path:
        """The lab's directory on the host."""
        return LabState(self.name).path


def _end_orphans() -> None:
    """End the labs of test runs that were killed and could not do it themselves."""
    for path in LabState("any").path.parent.glob("test-*-*"):
        pid = path.name.split("-")[1]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            RunningLab(path.name).run("down")


@contextmanager
def running_lab(
    topology: Path | str | None = None,
    *,
    prefix: Sequence[str] = (),
    setting: str = SETTING or SETTINGS[0],
) -> Iterator[RunningLab]:
    """Have a lab, of a topology file or the default one, under a name of its own."""
    _end_orphans()
    lab = RunningLab(f"test-{os.getpid()}-{next(_numbers)}", prefix)
    words = ["--setting", setting]
    words += ["--topology", str(topology)] if topology else []
    done = lab.run("up", *words)
    assert done.returncode == 0, done.stderr
    try:
        yield lab
    finally:
        lab.run("down")
