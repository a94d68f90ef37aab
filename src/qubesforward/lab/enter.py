# SPDX-License-Identifier: GPL-2.0-or-later
"""Running a program in a domain from outside; and finding every process of a lab.

Tests do this thousands of times: nothing slow is imported here.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab import kernel
from qubesforward.lab.state import LabState

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PASSED_ON = ("TERM", "COLORTERM", "NO_COLOR", "COLUMNS", "LINES", "PYTHONPATH")
_FORWARDED = {
    signal.SIGHUP,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGUSR2,
}
# asm-generic/siginfo.h: sent by the kernel, as a terminal's Ctrl-C is.
_SI_KERNEL = 0x80
_NO_SUCH_PROGRAM = 127
OWN_PROCESSES = ("lab-hypervisor", "lab-init", "lab-qrexec")
"""Forked without exec, so that their command lines tell nothing."""


def run_inside(
    state: LabState,
    name: str,
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> int:
    """Run a program in a domain with this process's standard files.

    Returns its exit status, or 128 and the signal's number. Signals that this
    process gets go to the program, and it ends with this process. Raises `LabError`
    if the domain does not run.
    """
    enter_domain(state, name)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _FORWARDED | {signal.SIGCHLD})
    alive, _parent = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(_parent)
        kernel.die_with_parent(signal.SIGKILL)
        # If the parent was gone before that, nobody holds the other end.
        if select.select([alive], [], [], 0)[0]:
            os._exit(1)
        _execute(argv, _make_environment(environment), mask)
    return _await_end(pid)


def enter_domain(state: LabState, name: str) -> None:
    """Enter all namespaces of a domain; only children are in its pid namespace."""
    supervisor = state.supervisor
    namespaces = f"{_find_process(state, supervisor, name)}/ns"
    # In the order of entering: the first grants the others, and paths end with mnt.
    kinds = ["net", "uts", "ipc", "pid", "mnt"]
    if _identify("/proc/self/ns/user") != _identify(f"/proc/{supervisor}/ns/user"):
        kinds.insert(0, "user")
    try:
        opened = [os.open(f"{namespaces}/{kind}", os.O_RDONLY) for kind in kinds]
    except FileNotFoundError:
        raise LabError(f"{name}: has just ended") from None
    for descriptor in opened:
        kernel.setns(descriptor)
        os.close(descriptor)


def list_processes(state: LabState) -> Iterator[tuple[int, str, str]]:
    """Yield the host pid, domain and command of every process of a lab."""
    supervisor = state.supervisor
    domains = {_identify(f"/proc/{supervisor}/ns/pid"): ("lab", supervisor)}
    for name in list_domains(state):
        with suppress(OSError, LabError):
            process = _find_process(state, supervisor, name)
            domains[_identify(f"{process}/ns/pid")] = (name, 0)
    for entry in os.listdir("/proc"):
        if not entry.isdecimal():
            continue
        with suppress(OSError):
            where = domains.get(_identify(f"/proc/{entry}/ns/pid"))
            if where:
                yield int(entry), where[0], _describe_process(entry)


def list_domains(state: LabState) -> list[str]:
    """Return the names of all domains that run."""
    return sorted(os.listdir(state.path / "domains"))


def _find_process(state: LabState, supervisor: int, name: str) -> str:
    """Return the ``/proc`` directory of a domain's pid 1."""
    try:
        pid = int((state.path / "domains" / name).read_text())
    except (OSError, ValueError):
        there = ", ".join(list_domains(state))
        raise LabError(f"{name}: does not run; what runs is {there}") from None
    # The lab counts its processes its own way, and has a /proc that does so too.
    return f"/proc/{supervisor}/root/proc/{pid}"


def _identify(path: str) -> tuple[int, int]:
    found = Path(path).stat()
    return found.st_dev, found.st_ino


def _describe_process(pid: str) -> str:
    """Return the program's name and arguments, in one line."""
    cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()[:4096]
    words = cmdline.decode(errors="replace").rstrip("\0").split("\0")
    comm = Path(f"/proc/{pid}/comm").read_text().strip()
    if comm in OWN_PROCESSES or not words[0]:
        return comm
    name = words[0].rpartition("/")[2]
    if name.startswith("python") and len(words) > 1:
        # What runs is the script or module, for whoever picks a process to kill.
        module = words[1] == "-m"
        words = words[2 if module else 1 :]
        name = words[0].rpartition("." if module else "/")[2] if words else name
    return " ".join([name, *words[1:]]).replace("\n", " ")


def _make_environment(further: Mapping[str, str] | None) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    environment |= {"PATH": PATH, "HOME": "/root", "USER": "root", "LANG": "C.UTF-8"}
    return {**environment, **(further or {})}


def _execute(
    argv: Sequence[str], environment: Mapping[str, str], mask: set[int | signal.Signals]
) -> None:
    try:
        os.chdir("/root")
        # Python ignores it, and programs would inherit that.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        os.execvpe(argv[0], list(argv), dict(environment))  # noqa: S606
    except OSError as error:
        print(f"qubes-lab: {argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
    finally:
        os._exit(_NO_SUCH_PROGRAM)


def _await_end(pid: int) -> int:
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            if os.WIFSIGNALED(status):
                return 128 + os.WTERMSIG(status)
            return os.waitstatus_to_exitcode(status)
        got = signal.sigwaitinfo(_FORWARDED | {signal.SIGCHLD})
        # A terminal has sent it to the program, of the same group, already.
        if got.si_signo != signal.SIGCHLD and got.si_code != _SI_KERNEL:
            os.kill(pid, got.si_signo)
