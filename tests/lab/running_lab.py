# SPDX-License-Identifier: GPL-2.0-or-later
"""A lab that is up, as tests drive it: through its own command line."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import pytest

from qubesforward.lab.state import LabState
from qubesforward.lab.topology import DEFAULT_TOPOLOGY

PROGRAM = [sys.executable, "-m", "qubesforward.lab.main"]
PATIENCE = 30.0

BACKEND = os.environ.get("LAB_BACKEND", "")
"""The packet filter of all qubes in labs that tests make: ``iptables``, or as usual."""

needs_nftables = pytest.mark.skipif(
    BACKEND == "iptables", reason="needs nftables in qubes"
)

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
        if argv[0] == "nft" and BACKEND == "iptables":
            pytest.skip("this test speaks to the nftables of qubes itself")
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
def _topology_file(topology: Path | str | None) -> Iterator[Path]:
    """Give the topology as it shall be with the packet filter that is asked for."""
    file = Path(topology or DEFAULT_TOPOLOGY)
    text = file.read_text()
    if not BACKEND or "backend = " in text:
        yield file
        return
    with NamedTemporaryFile("w", suffix=".toml") as changed:
        # Before the first table, or it would be part of the last.
        changed.write(f'backend = "{BACKEND}"\n{text}')
        changed.flush()
        Path(changed.name).chmod(0o644)
        yield Path(changed.name)


@contextmanager
def running_lab(
    topology: Path | str | None = None,
    *,
    prefix: Sequence[str] = (),
    grounds: Mapping[str, Path] | None = None,
    setting: str = SETTING or SETTINGS[0],
) -> Iterator[RunningLab]:
    """Have a lab, of a topology file or the default one, under a name of its own.

    `grounds` are directories for `qubes-lab up --from`.
    """
    _end_orphans()
    lab = RunningLab(f"test-{os.getpid()}-{next(_numbers)}", prefix)
    words = ["--setting", setting]
    for where, directory in (grounds or {}).items():
        words += ["--from", f"{where}={directory}"]
    with _topology_file(topology) as file:
        done = lab.run("up", "--topology", str(file), *words)
    assert done.returncode == 0, done.stderr
    try:
        yield lab
    finally:
        lab.run("down")
