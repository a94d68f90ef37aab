# SPDX-License-Identifier: GPL-2.0-or-later
"""The system calls that make namespaces, which Python 3.11 does not have.

Every function raises `OSError` with the errno of the call.
"""

from __future__ import annotations

import ctypes
import os

# <linux/sched.h>
NEWNS = 0x00020000
NEWUTS = 0x04000000
NEWIPC = 0x08000000
NEWUSER = 0x10000000
NEWPID = 0x20000000
NEWNET = 0x40000000

# <linux/mount.h>
MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_REMOUNT = 0x20
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000
MNT_DETACH = 0x2
_MOUNT_ATTR_RDONLY = 0x1

# <linux/fcntl.h>, <linux/prctl.h>
_AT_FDCWD = -100
_AT_RECURSIVE = 0x8000
_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15

# These two have the same numbers on x86-64, AArch64 and RISC-V, but pivot_root
# does not, and glibc wraps neither it nor mount_setattr.
_SYS_MOUNT_SETATTR = 442
_SYS_PIVOT_ROOT = 155 if os.uname().machine == "x86_64" else 41

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = (
        ("attr_set", ctypes.c_uint64),
        ("attr_clr", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("userns_fd", ctypes.c_uint64),
    )


def _check(result: int, path: str = "") -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def unshare(flags: int) -> None:
    """Leave the namespaces named by `flags` for new ones."""
    _check(_libc.unshare(flags))


def setns(descriptor: int, flags: int = 0) -> None:
    """Enter the namespace that a descriptor stands for."""
    _check(_libc.setns(descriptor, flags))


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Mount; `kind` is the file system, empty for binds and propagation."""
    encoded = (source.encode(), target.encode(), kind.encode())
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), data.encode()), target)


def bind(source: str, target: str) -> None:
    """Show `source`, with all that is mounted below, at `target` too."""
    mount(source, target, "", MS_BIND | MS_REC)


def unmount(target: str) -> None:
    """Take a mount and all below away, lazily."""
    _check(_libc.umount2(target.encode(), MNT_DETACH), target)


def make_readonly(target: str, *, deep: bool) -> None:
    """Make a mount read-only, and with `deep` all mounts below (Linux 5.12)."""
    attributes = _MountAttr(attr_set=_MOUNT_ATTR_RDONLY)
    _check(
        _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR),
            ctypes.c_int(_AT_FDCWD),
            target.encode(),
            ctypes.c_uint(_AT_RECURSIVE if deep else 0),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        ),
        target,
    )


def pivot_root(new_root: str, put_old: str) -> None:
    """Make `new_root` this mount namespace's root; the old one goes to `put_old`."""
    number = ctypes.c_long(_SYS_PIVOT_ROOT)
    _check(_libc.syscall(number, new_root.encode(), put_old.encode()), new_root)


def die_with_parent(signal: int) -> None:
    """Have the kernel send this process `signal` when its parent ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal)))


def set_process_name(name: str) -> None:
    """Set what ``ps`` and ``top`` call this process (15 bytes count)."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode()))
