# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a test in a network namespace of its own, as root or not."""

from __future__ import annotations

import ctypes
import functools
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

_CLONE_NEWUSER = 0x10000000
_CLONE_NEWNET = 0x40000000


def isolated(test: Callable[[], None]) -> Callable[[], None]:
    """Make a test run in a child process with a fresh network namespace."""

    @functools.wraps(test)
    def run() -> None:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            _run_child(test, writer)
        os.close(writer)
        with os.fdopen(reader) as said:
            problem = said.read()
        _pid, status = os.waitpid(pid, 0)
        assert status == 0, problem

    return run


def _run_child(test: Callable[[], None], writer: int) -> NoReturn:
    status = 1
    try:
        _enter_new_namespace()
        test()
        status = 0
    except BaseException:  # noqa: BLE001
        # It goes to the parent, which fails the test with it.
        os.write(writer, traceback.format_exc().encode())
    finally:
        os._exit(status)


def _enter_new_namespace() -> None:
    uid, gid = os.getuid(), os.getgid()
    flags = _CLONE_NEWNET if uid == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    if uid != 0:
        own = Path("/proc/self")
        (own / "setgroups").write_text("deny")
        (own / "uid_map").write_text(f"0 {uid} 1")
        (own / "gid_map").write_text(f"0 {gid} 1")
