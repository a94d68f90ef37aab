# SPDX-License-Identifier: GPL-2.0-or-later
"""What a lab keeps on the host while it is up: one directory, gone with it.

`lock` is held by the lab's first process as long as it lives; `pid` is its pid on
the host; `control.sock` reaches it; `domains/NAME` has the pid of a domain's pid 1
as the lab counts; `logs/NAME/UNIT.log`.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from pathlib import Path

from qubesforward.errors import LabError

DEFAULT_NAME = "default"
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,31}")


class LabState:
    """The directory of the lab `name`, whether it is up or not."""

    def __init__(self, name: str) -> None:
        """Raise `LabError` if that cannot be the name of a lab."""
        if not _NAME.fullmatch(name):
            raise LabError(f"{name[:40]!a}: no name for a lab: letters, digits, - _ .")
        self.name = name
        self.path = _find_directory() / name

    @property
    def supervisor(self) -> int:
        """The pid of the lab's first process; `LabError` if it is not up."""
        if not self.is_up():
            raise LabError(
                f"the lab {self.name} is not up: start it with"
                f" `qubes-lab up{self.option}`"
            )
        return int((self.path / "pid").read_text())

    @property
    def option(self) -> str:
        """What to add to a command line to mean this lab."""
        return "" if self.name == DEFAULT_NAME else f" --name {self.name}"

    def is_up(self) -> bool:
        """Whether the lab's first process lives, and is past its first steps."""
        try:
            lock = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return (self.path / "pid").exists()
        finally:
            os.close(lock)
        return False

    def claim(self) -> int:
        """Make the directory afresh; return the descriptor that holds the lock.

        Raises `LabError` if the lab is up already. What a lab that died left there
        is removed.
        """
        if self.path.exists() and not self.is_up():
            self._discard_stale()
        # Made elsewhere and then renamed, so that nobody ever finds it unlocked.
        fresh = self.path.with_name(f".{self.name}.{os.getpid()}")
        _make_directory(fresh)
        lock = os.open(fresh / "lock", os.O_RDONLY | os.O_CREAT, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (fresh / "logs").mkdir()
        try:
            fresh.rename(self.path)
        except OSError:
            shutil.rmtree(fresh)
            os.close(lock)
            raise LabError(
                f"the lab {self.name} is up already: end it with"
                f" `qubes-lab down{self.option}`, or give another --name"
            ) from None
        return lock

    def _discard_stale(self) -> None:
        lock = os.open(self.path / "lock", os.O_RDONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            self.remove()
        finally:
            os.close(lock)

    def remove(self) -> None:
        """Remove the directory; the last lab to go takes the parent along."""
        shutil.rmtree(self.path, ignore_errors=True)
        try:
            self.path.parent.rmdir()
        except OSError:
            return


def _make_directory(path: Path) -> None:
    """Make a lab's directory; the parent may vanish with the last other lab."""
    for last in (False, False, True):
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            path.mkdir(mode=0o700)
        except FileNotFoundError:
            if last:
                raise
        else:
            return


def _find_directory() -> Path:
    """Return where all labs of this user are; `LabError` if it is not the user's."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        directory = Path(runtime, "qubes-lab")
    else:
        directory = Path(f"/tmp/qubes-lab-{os.geteuid()}")  # noqa: S108 - checked below
    try:
        found = directory.lstat()
    except FileNotFoundError:
        return directory
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise LabError(f"{directory}: belongs to somebody else; remove it first")
    return directory
