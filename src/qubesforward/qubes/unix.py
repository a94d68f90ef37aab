# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix stream sockets: binding one that survives a crash, connecting patiently."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
from pathlib import Path

from qubesforward.errors import Unavailable

BACKLOG = 1024
"""Connections that may wait to be accepted; a hundred tools at once are normal."""

_FIRST_PASSED = 3
"""SD_LISTEN_FDS_START: the number of the first descriptor that is passed."""

_RETRY = 0.01
"""Seconds until a connection is tried again that found the backlog full."""


def bind_unix(path: str, mode: int, group: str = "") -> socket.socket:
    """Return a socket that listens at `path` with this mode, in place of a dead one.

    It is `group`'s, where there is such a group. Raises Unavailable when the path is
    another server's that is alive, or not ours to take.
    """
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    # Whoever sees the path can connect to it: it gets its name last.
    temporary = f"{path}.new"
    try:
        _remove_dead(path)
        Path(temporary).unlink(missing_ok=True)
        # The mode must hold from the first moment on, not only after a chmod.
        previous = os.umask(0o777 & ~mode)
        try:
            bound.bind(temporary)
        finally:
            os.umask(previous)
        if group:
            with contextlib.suppress(LookupError, OSError):
                shutil.chown(temporary, group=group)
        bound.listen(BACKLOG)
        # Unlike renaming, this takes nothing else's place.
        os.link(temporary, path)
        Path(temporary).unlink()
    except OSError as error:
        bound.close()
        raise Unavailable(f"{path}: cannot serve there: {error}") from error
    except BaseException:
        bound.close()
        raise
    return bound


def take_passed() -> socket.socket | None:
    """Return the listening socket that systemd passed to this process, if it did.

    Source of the protocol: sd_listen_fds(3). It can be taken once.
    """
    pid = os.environ.pop("LISTEN_PID", "")
    count = os.environ.pop("LISTEN_FDS", "")
    if pid != str(os.getpid()) or count != "1":
        return None
    passed = socket.socket(fileno=_FIRST_PASSED)
    passed.set_inheritable(False)
    return passed


def _remove_dead(path: str) -> None:
    if not Path(path).is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        # A full backlog is a live server too; waiting for it could take for ever.
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            Path(path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass
    raise Unavailable(f"{path}: another process serves it; end that one first")


async def connect_unix(path: str) -> socket.socket:
    """Return a connected, non-blocking socket. Raises OSError.

    The loop's own connect takes the EAGAIN of a full backlog for a connection under
    way, and success; so it is tried again here. The caller bounds the time.
    """
    connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connected.setblocking(False)
        while True:
            try:
                connected.connect(path)
            except BlockingIOError:
                await asyncio.sleep(_RETRY)
            else:
                return connected
    except BaseException:
        connected.close()
        raise
