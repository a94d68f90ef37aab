# SPDX-License-Identifier: GPL-2.0-or-later
"""Rule lists on disk: one ``firewall.xml`` per qube, never half written.

In the integrated setting it is where Qubes has it, in the qube's own directory, which
goes with the qube. Beside a stock qubesd these files are Qubes' and ours are in a
directory of our own, which we remove.

A list counts as stored when its bytes and its name are on the disk; only then does
anybody get told so.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import stat
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path

from qubesforward.errors import ForwardError, InvalidRule, Unavailable
from qubesforward.model.rule import RuleList
from qubesforward.model.xml import (
    LARGEST_DOCUMENT,
    decode_rule_list,
    encode_rule_list,
)
from qubesforward.qubes.paths import is_qube_name
from qubesforward.qubes.setting import Setting

_log = logging.getLogger(__name__)

FILE_NAME = "firewall.xml"
FILE_MODE = 0o660
"""As Qubes has it: the user's group may read and write what the daemon stores."""


class RulesUnreadable(ForwardError):
    """A rule file that is no rule file; it is kept, and nothing of it applies."""


class RulesChanged(ForwardError):
    """A rule file that is not the one that was read: its qube may be another, too."""


_Identity = tuple[int, int, int]
"""Of a file: inode, time of its last change in ns, and size."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The rule list of a qube, or `problem`: why there is none to be had.

    `file` tells the file that it is of from those that may take its place; None if
    there is none.
    """

    rules: RuleList
    problem: str = ""
    exists: bool = True
    file: _Identity | None = None


class Store:
    """The rule files of all qubes below `root`, with what they hold in memory.

    `now` gives seconds since 1970, and `boot_id` names this boot.
    """

    def __init__(
        self,
        root: Path,
        now: Callable[[], float],
        boot_id: str,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        self._root = root
        self._setting = setting
        self._now = now
        self._boot_id = boot_id
        self._loaded: dict[str, Loaded] = {}

    def _path(self, qube: str, klass: str) -> Path:
        if self._setting is Setting.BESIDE:
            return self._root / qube / FILE_NAME
        kind = "vm-templates" if klass == "TemplateVM" else "appvms"
        return self._root / kind / qube / FILE_NAME

    def claim(self) -> int:
        """Have all rules for this process alone, until it ends or closes what is given.

        Returns a descriptor. Raises `Unavailable` where another daemon has them: each
        would take back what the other orders.
        """
        try:
            self._root.mkdir(mode=0o750, parents=True, exist_ok=True)
            descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise Unavailable(
                f"{self._root}: no rules there: {error.strerror}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise Unavailable(
                f"{self._root}: another qubes-forwardd has these rules; end that one"
                " first"
            ) from None
        return descriptor

    def load(self, qube: str, klass: str) -> Loaded:
        """Return the list of a qube, read from its file the first time."""
        found = self._loaded.get(qube)
        if found is None:
            found = self._loaded[qube] = self._read(self._path(qube, klass))
        return found

    def forget(self, qube: str) -> None:
        """Read the qube's file anew the next time: it is gone, or was replaced."""
        self._loaded.pop(qube, None)

    def remove(self, qube: str) -> None:
        """Forget a qube that is gone, and beside a stock qubesd remove its files."""
        self.forget(qube)
        # Of anything else the path would lead elsewhere.
        if self._setting is Setting.BESIDE and is_qube_name(qube):
            try:
                shutil.rmtree(self._root / qube)
            except FileNotFoundError:
                pass
            except OSError as error:
                # The next qube of this name has another uuid: for it they are a copy.
                _log.error("%s: its rules are left: %s", qube, error)

    def keep_only(self, qubes: Collection[str]) -> None:
        """Remove what is there of other qubes: they went while nobody looked."""
        if self._setting is Setting.BESIDE:
            # With what a kill may have left of one that was being written.
            found = {path.parent.name for path in self._root.glob(f"*/*{FILE_NAME}*")}
            for gone in found.difference(qubes):
                _log.info("%s is gone: its rules are removed", gone)
                self.remove(gone)

    def _read(self, path: Path) -> Loaded:
        if self._setting is Setting.BESIDE and path.parent.is_symlink():
            # A change of one qube's rules would be one of another's.
            return Loaded(RuleList(), f"{path.parent}: a symbolic link")
        # Before it is read: what changes meanwhile must not be taken for what was.
        file = _identify(path)
        try:
            data = _read_regular(path)
        except FileNotFoundError:
            return Loaded(RuleList(), exists=False)
        except OSError as error:
            return Loaded(RuleList(outbound=()), f"{path}: {error.strerror}")
        try:
            rules = decode_rule_list(data, int(self._now()), self._boot_id)
        except InvalidRule as error:
            _log.error("%s: not applied: %s", path, error)
            return Loaded(RuleList(outbound=()), f"{path}: {error}")
        for unreadable in rules.unreadable:
            _log.error("%s: one rule not applied: %s", path, unreadable.reason)
        return Loaded(rules, file=file)

    def save(self, qube: str, klass: str, rules: RuleList) -> None:
        """Replace the qube's file; on return it would survive a power cut.

        Raises `RulesUnreadable` where the present file cannot be read, so that
        nothing in it is lost; use `replace_unreadable` first. Raises `RulesChanged`
        where it is not the file that was read: a qube that was made in the place of
        a removed one must not get that one's rules.
        """
        path = self._path(qube, klass)
        loaded = self.load(qube, klass)
        if loaded.problem:
            raise RulesUnreadable(
                f"{loaded.problem}; mend or move that file away, then"
                f" run: qvm-firewall --reload {qube}"
            )
        if _identify(path) != loaded.file:
            raise RulesChanged(
                f"{path} was changed or removed meanwhile; to go on from what is there"
                f" now, run: qvm-firewall --reload {qube}"
            )
        data = encode_rule_list(rules, int(self._now()))
        try:
            _write_durably(path, data)
        except OSError:
            # It may have failed after the new file was in its place.
            if _identify(path) != loaded.file:
                self.forget(qube)
            raise
        self._loaded[qube] = Loaded(rules, file=_identify(path))

    def replace_unreadable(self, qube: str, klass: str) -> None:
        """Move a file that cannot be read aside, under a name that tells when."""
        path = self._path(qube, klass)
        if self.load(qube, klass).problem and path.exists():
            path.rename(_find_free(f"{path}.unreadable-{int(self._now())}"))
        self._loaded.pop(qube, None)


def _identify(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read_regular(path: Path) -> bytes:
    """Read a file; of one that is too large, enough for that to be found out."""
    # What is no file, a pipe above all, must not make the daemon wait for it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(LARGEST_DOCUMENT + 1)


def _find_free(name: str) -> Path:
    # Two of one second must not replace one another.
    names = chain([name], (f"{name}.{number}" for number in count(1)))
    return next(path for path in map(Path, names) if not path.exists())


def _write_durably(path: Path, data: bytes) -> None:
    path.parent.mkdir(mode=0o770, parents=True, exist_ok=True)
    # One name, so that a kill in between leaves one file and not one for each time.
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(temporary, flags, FILE_MODE), "wb") as file:
        file.write(data)
        file.flush()
        os.fchmod(file.fileno(), FILE_MODE)
        os.fsync(file.fileno())
    temporary.replace(path)
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
