# SPDX-License-Identifier: GPL-2.0-or-later
"""The root file system of a domain: the host's programs, and nothing of its state.

What programs read (``/usr`` and the like) is the host's, bound read-only. What they
write, and what tells where they are, is fresh for each domain.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab import kernel
from qubesforward.lab.ground import Ground

HOST = "/.host"
"""Where a root shows the host's ``etc``, ``var`` and ``usr/local/bin``."""

_FRESH = frozenset(
    "run tmp etc var rw home root proc sys dev mnt old lab host lost+found".split()
)
_FRESH_VAR = frozenset("lib log run lock tmp cache spool".split())
_OWN_ETC = frozenset("hostname hosts resolv.conf nsswitch.conf qubes qubes-rpc".split())
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "net/tun")
_SAFE = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n"


@dataclass(frozen=True, slots=True)
class Furniture:
    """What is a domain's own in its root.

    `binds` are further directories and files: path in the domain → path in the lab.
    `programs` are our own: name in ``/usr/local/bin`` → text of the script, or the
    path of the program if it starts with ``/``. `copies` are directories to begin
    with: path in the domain → path on the host. `links` are symbolic links to begin
    with: path in the domain → where it leads.
    """

    hostname: str
    resolvers: tuple[str, ...]
    binds: Mapping[str, str]
    programs: Mapping[str, str]
    copies: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)


def paths_of_python() -> tuple[str, ...]:
    """Return the directories that this interpreter and package must find again.

    They may lie where a root is fresh (a virtual environment in a home directory),
    and are then bound there one by one.
    """
    package = Path(__file__).parents[2]
    interpreter = Path(sys.executable).resolve().parent
    found = {sys.prefix, sys.base_prefix, sys.exec_prefix, str(package)}
    found |= {str(interpreter), str(Path(os.__file__).parent)}
    found |= {path for path in sys.path if Path(path).is_dir()}
    return tuple(sorted(path for path in found if path.startswith("/")))


def build_top(
    target: str, host: str, keep: Iterable[str], ground: Ground | None = None
) -> None:
    """Fill an empty root with the ground's top level, and `keep` where that is fresh.

    `host` is where the host's root is seen now, and the ground is seen from there; it
    is the host's root without one.
    """
    ground = ground or Ground(host)
    for entry in os.scandir(ground.root):
        new = f"{target}/{entry.name}"
        if entry.is_symlink():
            Path(new).symlink_to(Path(entry.path).readlink())
        elif entry.name not in _FRESH and entry.is_dir():
            _show_directory(ground, entry.name, new)
    for name in ("run", "etc", "var", "rw", "home", "root", "proc", "sys", "dev"):
        _make(f"{target}/{name}")
    _make_for_all(target, "tmp")
    done: list[str] = []
    for path in keep:
        covered = any(path == above or path.startswith(f"{above}/") for above in done)
        top = path.split("/")[1]
        is_shown = top not in _FRESH and Path(target, top).exists()
        if not is_shown and not covered:
            _bind_directory(host + path, target + path)
            done.append(path)


def furnish(
    target: str, host: str, own: Furniture, ground: Ground | None = None
) -> None:
    """Make everything in a root (after `build_top`) that is the domain's own."""
    ground = ground or Ground(host)
    _make_devices(target, host)
    _make_kernel_files(target, host)
    etc, var = f"{target}{HOST}/etc", f"{target}{HOST}/var"
    _show_directory(ground, "etc", etc)
    _show_directory(ground, "var", var)
    _link_entries(f"{target}/etc", f"{HOST}/etc", etc, _OWN_ETC)
    _link_entries(f"{target}/var", f"{HOST}/var", var, _FRESH_VAR)
    for name in ("log", "cache", "spool"):
        _make(f"{target}/var/{name}")
    _make_for_all(target, "var/tmp")
    _make(f"{target}/run/lock")
    Path(target, "var/run").symlink_to("/run")
    Path(target, "var/lock").symlink_to("/run/lock")
    own_lib = frozenset(("qubes",))
    _link_entries(f"{target}/var/lib", f"{HOST}/var/lib", f"{var}/lib", own_lib)
    for name in ("var/lib/qubes", "etc/qubes", "etc/qubes-rpc", "run/qubes"):
        _make(f"{target}/{name}")
    for name in ("etc/qubes/policy.d", "etc/qubes/rpc-config"):
        _make(f"{target}/{name}")
    for path, source in own.copies.items():
        # They are there if this is run from its source tree.
        if Path(host + source).is_dir():
            shutil.copytree(
                host + source, target + path, symlinks=True, dirs_exist_ok=True
            )
    for path, source in own.links.items():
        Path(target + path).symlink_to(source)
    for name in ("home/user", "rw/config", "run/qubes-base"):
        _make(f"{target}/{name}")
    _write_identity(f"{target}/etc", own)
    _install_programs(target, ground.root, own.programs)
    for path, source in own.binds.items():
        if Path(source).is_dir():
            _bind_directory(source, target + path)
        else:
            _bind_file(source, target + path)


def mount_proc(target: str) -> None:
    """Mount this pid namespace's ``/proc``; raise `LabError` if that is refused."""
    try:
        kernel.mount("proc", target, "proc", _SAFE)
    except PermissionError:
        raise LabError(
            "cannot mount /proc in a user namespace: this machine has other mounts"
            " over its own /proc, as containers do; run qubes-lab as root"
        ) from None


def enter_root(target: str) -> None:
    """Make `target` this process's root, and let go of the old one."""
    old = f"{target}/old"
    _make(old)
    kernel.pivot_root(target, old)
    os.chdir("/")
    kernel.unmount("/old")
    Path("/old").rmdir()


def write_resolvers(etc: str, resolvers: Iterable[str]) -> None:
    """Write ``resolv.conf`` in `etc`."""
    lines = [f"nameserver {address}\n" for address in resolvers]
    # A lost packet shall not cost a test the usual five seconds.
    lines.append("options timeout:2 attempts:2\n")
    Path(etc, "resolv.conf").write_text("".join(lines))


def _make(path: str, mode: int = 0o755) -> None:
    Path(path).mkdir(parents=True, exist_ok=True)
    Path(path).chmod(mode)


def _make_for_all(target: str, name: str) -> None:
    _make(f"{target}/{name}", 0o1777)


def _show_directory(ground: Ground, name: str, target: str) -> None:
    """Bind a directory of the ground, with what packages have in it laid over."""
    source, over = f"{ground.root}/{name}", f"{ground.packages}/{name}"
    if not ground.packages or not Path(over).is_dir():
        _bind_directory(source, target)
        return
    Path(target).mkdir(parents=True, exist_ok=True)
    try:
        kernel.mount("overlay", target, "overlay", 0, f"lowerdir={over}:{source}")
    except OSError as error:
        raise LabError(f"cannot lay {over} over {source}: {error.strerror}") from None


def _bind_directory(source: str, target: str) -> None:
    Path(target).mkdir(parents=True, exist_ok=True)
    try:
        kernel.bind(source, target)
    except OSError as error:
        raise LabError(f"cannot show {source} in the lab: {error.strerror}") from None


def _bind_file(source: str, target: str) -> None:
    if not Path(target).exists():
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        Path(target).touch()
    try:
        kernel.bind(source, target)
    except OSError as error:
        raise LabError(f"cannot show {source} in the lab: {error.strerror}") from None


def _link_entries(
    directory: str, shown: str, seen: str, without: frozenset[str]
) -> None:
    """Link a fresh directory's entries to the host's, but for some names."""
    _make(directory)
    for name in os.listdir(seen):
        if name not in without:
            Path(directory, name).symlink_to(f"{shown}/{name}")


def _make_devices(target: str, host: str) -> None:
    """Only harmless devices: as root the others would reach the host's disks."""
    _make(f"{target}/dev/net")
    for name in _DEVICES:
        if Path(host, "dev", name).exists():
            Path(target, "dev", name).touch()
            kernel.bind(f"{host}/dev/{name}", f"{target}/dev/{name}")
    _bind_directory(f"{host}/dev/pts", f"{target}/dev/pts")
    _make_for_all(target, "dev/shm")
    for name, number in (
        ("fd", ""),
        ("stdin", "/0"),
        ("stdout", "/1"),
        ("stderr", "/2"),
    ):
        Path(target, "dev", name).symlink_to(f"/proc/self/fd{number}")


def _make_kernel_files(target: str, host: str) -> None:
    """Mount ``/proc`` and ``/sys`` of this process's pid and network namespaces."""
    mount_proc(f"{target}/proc")
    try:
        readonly = _SAFE | kernel.MS_RDONLY
        kernel.mount("sysfs", f"{target}/sys", "sysfs", readonly)
    except OSError:
        # The same restriction, but here the host's shows all that programs need.
        _bind_directory(f"{host}/sys", f"{target}/sys")
    # Without a user namespace the domain's root could set the host's kernel
    # parameters; those of its network namespace must stay writable.
    settings = f"{target}/proc/sys"
    with contextlib.suppress(OSError):
        kernel.bind(settings, settings)
        kernel.bind(f"{settings}/net", f"{settings}/net")
        kernel.make_readonly(settings, deep=False)


def _write_identity(etc: str, own: Furniture) -> None:
    Path(etc, "hostname").write_text(f"{own.hostname}\n")
    Path(etc, "hosts").write_text(
        f"127.0.0.1 localhost {own.hostname}\n::1 localhost {own.hostname}\n"
    )
    Path(etc, "nsswitch.conf").write_text(_NSSWITCH)
    write_resolvers(etc, own.resolvers)


def _install_programs(target: str, ground: str, programs: Mapping[str, str]) -> None:
    """Put our programs beside the ground's own in ``/usr/local/bin``."""
    binaries, seen = f"{target}{HOST}/own-bin", f"{ground}/usr/local/bin"
    _bind_directory(seen, f"{target}{HOST}/bin")
    _link_entries(binaries, f"{HOST}/bin", seen, frozenset(programs))
    for name, text in programs.items():
        program = Path(binaries, name)
        if text.startswith("/"):
            program.symlink_to(text)
        else:
            program.write_text(text)
            program.chmod(0o755)
    kernel.bind(binaries, f"{target}/usr/local/bin")
