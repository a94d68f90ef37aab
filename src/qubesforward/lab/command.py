# SPDX-License-Identifier: GPL-2.0-or-later
"""The one way out to other programs, with a log that can be pasted into a shell."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence

from qubesforward.errors import LabError

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_LONGEST_RUN = 20.0


def run_command(argv: Sequence[str], *, text: str = "", inside: int = 0) -> str:
    """Run a program to its end and return what it printed.

    `text` is its standard input; `inside` the pid of a process in whose network
    namespace it runs. Raises `LabError` with its complaint when it fails.
    """
    if inside:
        argv = ["nsenter", f"--net=/proc/{inside}/ns/net", *argv]
    log_command(argv, text)
    try:
        done = subprocess.run(
            argv,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=_LONGEST_RUN,
            env={"PATH": PATH, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise LabError(f"{argv[0]}: there is no such program here") from None
    except subprocess.TimeoutExpired:
        raise LabError(f"{shlex.join(argv)}: no end after {_LONGEST_RUN} s") from None
    if done.returncode:
        complaint = (done.stderr or done.stdout).strip()
        log(complaint)
        raise LabError(f"{shlex.join(argv)}: {complaint or done.returncode}")
    return done.stdout


def log_command(argv: Sequence[str], text: str = "") -> None:
    """Write a command to the log the way a shell takes it."""
    log(f"{shlex.join(argv)} <<'.'\n{text.rstrip()}\n." if text else shlex.join(argv))


def log(line: str) -> None:
    """Write a line to the log, which is standard error."""
    print(line, file=sys.stderr, flush=True)
