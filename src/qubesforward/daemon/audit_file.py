# SPDX-License-Identifier: GPL-2.0-or-later
"""The file of the audit log: only ever longer, but never larger than its share."""

from __future__ import annotations

import contextlib
import errno
import grp
import os
import stat
from collections.abc import Iterator
from pathlib import Path

LARGEST = 5 * 1024 * 1024
"""Bytes of one file. There are two at most, so that no flood of events fills a disk:
the one that is written, and the one before it."""

FILE_MODE = 0o640
_GROUP = "qubes"
_FLAGS = (
    os.O_RDWR
    | os.O_APPEND
    | os.O_CREAT
    | os.O_NOFOLLOW
    # What is no file, a pipe above all, must not make the daemon wait for it.
    | os.O_NONBLOCK
    | os.O_CLOEXEC
)


class AuditFile:
    """Lines in a file, and older ones in the file of that name with ``.1``.

    The file is opened for every write: it may have been moved away since the last
    one, and a disk that was full or read-only may be so no more.
    """

    def __init__(self, path: Path, largest: int = LARGEST) -> None:
        self.path = path
        self._older = path.with_name(f"{path.name}.1")
        self._largest = largest

    def append(self, lines: bytes) -> None:
        """Write whole lines: all of them, or OSError and none."""
        self._make_room(len(lines))
        descriptor = self._open()
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            if status.st_size == 0:
                _hand_to_group(descriptor)
            _write_whole(descriptor, lines, status.st_size)
        finally:
            os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, _FLAGS, FILE_MODE)
        except FileNotFoundError:
            self.path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
            return os.open(self.path, _FLAGS, FILE_MODE)

    def _make_room(self, size: int) -> None:
        try:
            present = self.path.lstat().st_size
        except FileNotFoundError:
            return
        if present and present + size > self._largest:
            self.path.replace(self._older)

    def read_backwards(self) -> Iterator[bytes]:
        """Yield the lines, the newest first, without their ends; raise OSError."""
        for path in (self.path, self._older):
            yield from reversed(_read(path, self._largest).split(b"\n"))


def _read(path: Path, largest: int) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        # Of a file that somebody else has filled, the newest part.
        file.seek(max(status.st_size - largest, 0))
        return file.read(largest)


def _hand_to_group(descriptor: int) -> None:
    os.fchmod(descriptor, FILE_MODE)
    with contextlib.suppress(KeyError, OSError):
        os.fchown(descriptor, -1, grp.getgrnam(_GROUP).gr_gid)


def _write_whole(descriptor: int, lines: bytes, size: int) -> None:
    # After a power cut the last line may be half there; it must not spoil the next.
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        lines = b"\n" + lines
    # Together in one write: a kill leaves all or none of them.
    written = os.write(descriptor, lines)
    if written != len(lines):
        os.ftruncate(descriptor, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
