# SPDX-License-Identifier: GPL-2.0-or-later
"""A socket that systemd passes."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qubesforward.qubes.unix import take_passed

_TAKE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": sys.argv[2], "LISTEN_PID": str(os.getpid())}
from qubesforward.qubes.unix import take_passed
first, second = take_passed(), take_passed()
print(first and first.getsockname(), second, os.environ.get("LISTEN_FDS"))
"""


@pytest.mark.parametrize(("count", "is_taken"), [("1", True), ("2", False)])
def test_one_socket_is_taken_and_once(
    tmp_path: Path, count: str, is_taken: bool
) -> None:
    path = str(tmp_path / "passed")
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(path)
        done = subprocess.run(
            [sys.executable, "-c", _TAKE, str(passed.fileno()), count],
            pass_fds=[passed.fileno()],
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.strip() == f"{path if is_taken else None} None None"


def test_what_was_passed_to_another_process_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LISTEN_PID", str(os.getppid()))
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert take_passed() is None
