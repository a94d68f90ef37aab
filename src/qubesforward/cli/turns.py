# SPDX-License-Identifier: GPL-2.0-or-later
"""One edit of outbound rules at a time.

The Admin API can only replace all outbound rules of a qube, so every edit is a read,
a change and a write. Two edits at once would lose one of the two. All runs of the
tools on this computer therefore take turns, by a lock on a directory that is there
anyway; programs that do not take part can still get in between.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep

from qubesforward.errors import Unavailable

LOCKED_DIRECTORY = "/var/run/qubes"

_PATIENCE = 30.0
_PAUSE = 0.01


@contextmanager
def take_turn(
    directory: str = LOCKED_DIRECTORY, patience: float = _PATIENCE
) -> Iterator[None]:
    """Hold the lock while the body runs; the kernel lets go of it in any case.

    Raise `Unavailable` if it cannot be had within `patience` seconds. Where the
    directory cannot be opened, edits are made all the same, but not in turns.
    """
    fd = _open(directory)
    try:
        if fd is not None:
            _lock(fd, monotonic() + patience)
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _open(directory: str) -> int | None:
    try:
        return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _lock(fd: int, end: float) -> None:
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= end:
                raise Unavailable(
                    "another edit of the outbound rules does not come to its end"
                ) from None
            sleep(_PAUSE)
        else:
            return
