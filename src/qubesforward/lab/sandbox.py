# SPDX-License-Identifier: GPL-2.0-or-later
"""The walls around a lab: its namespaces, and a root that shows the host read-only.

Inside, the lab's first process is pid 1 of a pid namespace that holds everything
else, so that the kernel itself ends all of it with that process.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab import kernel
from qubesforward.lab.root import build_top, enter_root, mount_proc

HOST = "/host"
"""The host's root, as the lab sees it."""
STATE = "/lab/state"
"""The lab's directory on the host, as the lab sees it."""
DOM0_DIR = "/lab/dom0"
"""What dom0 sees as ``/run/qubes-lab``."""
STORE = "/lab/store"
"""What a qube keeps over a restart: ``NAME/rw`` and ``NAME/home``."""
NEW_ROOT = "/lab/root"
"""Where a domain that starts builds its root."""

_NAMESPACES = (
    kernel.NEWNS | kernel.NEWNET | kernel.NEWPID | kernel.NEWUTS | kernel.NEWIPC
)
_NO_USER_NAMESPACE = (
    "this machine does not let this user make namespaces ({problem}); run qubes-lab as"
    " root, or allow it: see the sysctls user.max_user_namespaces,"
    " kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns"
)


def enter_namespaces() -> bool:
    """Move this process into new namespaces; its next child is pid 1 there.

    Returns whether a user namespace was needed, in which this user is root. Raises
    `LabError` where the kernel refuses.
    """
    try:
        kernel.unshare(_NAMESPACES)
    except PermissionError:
        _become_root()
        return True
    except OSError as error:
        raise LabError(f"cannot make namespaces: {error.strerror}") from None
    return False


def _become_root() -> None:
    """Enter a user namespace that maps this user, and nobody else, to root."""
    user, group = os.geteuid(), os.getegid()
    try:
        kernel.unshare(kernel.NEWUSER)
        # Without this an ordinary user may not write gid_map (user_namespaces(7)).
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        kernel.unshare(_NAMESPACES)
    except OSError as error:
        problem = _NO_USER_NAMESPACE.format(problem=error.strerror)
        raise LabError(problem) from None


def build_lab_root(state: Path, keep: Sequence[str]) -> None:
    """Give this process, pid 1 of the lab, a root of its own.

    `state` is the lab's directory on the host, `keep` what `paths_of_python` said.
    Nothing mounted here is seen by the host, and nothing of the host can be written
    but `state`.
    """
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    root = str(state / "root")
    Path(root).mkdir(exist_ok=True)
    kernel.mount("lab", root, "tmpfs", kernel.MS_NOSUID, "mode=755")
    for path in (HOST, STATE, DOM0_DIR, STORE, NEW_ROOT):
        Path(root + path).mkdir(parents=True)
    kernel.bind("/", root + HOST)
    # The copy of the host's root has a copy of this very root in it.
    kernel.unmount(f"{root}{HOST}{root}")
    with contextlib.suppress(OSError):
        kernel.make_readonly(root + HOST, deep=True)
    kernel.mount(str(state), root + STATE, "", kernel.MS_BIND)
    build_top(root, root + HOST, keep)
    kernel.bind("/dev", f"{root}/dev")
    kernel.bind(f"{root}{HOST}/etc", f"{root}/etc")
    mount_proc(f"{root}/proc")
    enter_root(root)
