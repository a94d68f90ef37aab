# SPDX-License-Identifier: GPL-2.0-or-later
"""A domain: a set of namespaces with an init, and the hypervisor's handle on it."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qubesforward.errors import LabError
from qubesforward.lab import kernel
from qubesforward.lab.command import PATH, log, run_command
from qubesforward.lab.ground import Ground
from qubesforward.lab.init import LONGEST_MESSAGE, Init
from qubesforward.lab.old_filter import OldFilter
from qubesforward.lab.root import Furniture, build_top, enter_root, furnish
from qubesforward.lab.sandbox import HOST, NEW_ROOT, STATE
from qubesforward.lab.topology import ServiceSpec

_NAMESPACES = (
    kernel.NEWNS | kernel.NEWNET | kernel.NEWPID | kernel.NEWUTS | kernel.NEWIPC
)
_CONTROL = 3
_PASSED_ON = ("LANG", "LC_ALL", "PYTHONPATH")

# Addresses are usable at once, and nothing is learned from strangers.
_SYSCTLS = {
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    "ipv4/conf/all/accept_redirects": "0",
    "ipv4/conf/all/send_redirects": "0",
    "ipv4/conf/default/send_redirects": "0",
    "ipv6/conf/all/accept_dad": "0",
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/all/accept_ra": "0",
    "ipv6/conf/default/accept_ra": "0",
    "ipv6/conf/default/router_solicitations": "0",
}
_ROUTING = {"ipv4/ip_forward": "1", "ipv6/conf/all/forwarding": "1"}


@dataclass(frozen=True, slots=True)
class DomainSpec:
    """What a domain is made with; `routes` lets packets through it.

    `old_filter` is that of a qube without nftables.
    """

    name: str
    role: str
    routes: bool
    services: tuple[ServiceSpec, ...]
    furniture: Furniture
    keep: tuple[str, ...]
    ground: Ground = field(default_factory=Ground)
    old_filter: OldFilter | None = None


def make_environment() -> dict[str, str]:
    """Return the environment that services run with."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {"LANG": "C.UTF-8", **passed, "PATH": PATH, "HOME": "/root", "USER": "root"}


@dataclass
class Domain:
    """A domain that runs. `pid` is its pid 1, as the hypervisor sees it."""

    spec: DomainSpec
    xid: int
    pid: int
    control: socket.socket
    paused: bool = False
    ports: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _ready: asyncio.Future[None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    _calls: dict[int, asyncio.Future[Any]] = field(default_factory=dict)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    @classmethod
    def start(cls, spec: DomainSpec, xid: int) -> Domain:
        """Start a domain; `wait_ready` tells when its init has set it up."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            pid = _fork_into_namespaces(spec, theirs)
        ours.setblocking(False)
        domain = cls(spec, xid, pid, ours)
        asyncio.get_running_loop().add_reader(ours.fileno(), domain._receive)
        return domain

    async def wait_ready(self) -> None:
        """Wait until root, loopback, sysctls and oneshots are done (`LabError`)."""
        try:
            await asyncio.wait_for(self._ready, timeout=20)
        except TimeoutError:
            raise LabError(f"{self.spec.name}: its init hangs") from None

    async def call(self, op: str, unit: str = "") -> Any:
        """Ask the domain's init for something; raise `LabError` if it refuses."""
        return await self._ask({"op": op, "unit": unit})

    async def pass_call(self, request: Mapping[str, Any], caller: int) -> None:
        """Have the domain's init deal with a qrexec call; raise `LabError`."""
        await self._ask(request, [caller])

    async def _ask(
        self, request: Mapping[str, Any], descriptors: Sequence[int] = ()
    ) -> Any:
        if self.paused:
            raise LabError(f"{self.spec.name}: is paused")
        number = next(self._numbers)
        answer = self._calls[number] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": number, **request}).encode()
        try:
            socket.send_fds(self.control, [message], descriptors)
            return await answer
        except OSError:
            raise LabError(f"{self.spec.name}: has just ended") from None
        finally:
            del self._calls[number]

    def kill(self) -> None:
        """End everything in the domain at once."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    async def shut_down(self, patience: float = 5.0) -> None:
        """Ask init to end in order; kill it if that takes longer than `patience`."""
        if self.paused:
            self.kill()
        with suppress(OSError):
            self.control.send(json.dumps({"id": -1, "op": "shutdown"}).encode())
        try:
            await asyncio.wait_for(self.ended.wait(), patience)
        except TimeoutError:
            self.kill()
            await self.wait_end()

    async def wait_end(self) -> None:
        """Wait until all is gone, after `kill`."""
        try:
            await asyncio.wait_for(self.ended.wait(), timeout=10)
        except TimeoutError:
            # The kernel keeps pid 1 until each child of a process outside, such as
            # one of `qubes-lab exec`, has been waited for.
            raise LabError(
                f"{self.spec.name}: does not end; something that was run in it from"
                " outside is held up there"
            ) from None

    def stop_processes(self) -> None:
        """Stop every process of the domain, until none is left that runs."""
        stopped: set[int] = set()
        while new := set(self.list_pids()) - stopped:
            _signal_all(new, signal.SIGSTOP)
            stopped |= new

    def continue_processes(self) -> None:
        """Undo `stop_processes`."""
        _signal_all(set(self.list_pids()), signal.SIGCONT)

    def list_pids(self) -> list[int]:
        """Return the pids, as the hypervisor sees them, of the domain's processes."""
        own = Path(f"/proc/{self.pid}/ns/pid").readlink()
        found = []
        for entry in os.listdir("/proc"):
            # Any of them may end meanwhile.
            with suppress(OSError):
                known = entry.isdecimal() and Path(f"/proc/{entry}/ns/pid").readlink()
                if known == own:
                    found.append(int(entry))
        return found

    def take_end(self) -> None:
        """Note that pid 1 has ended, and with it all the others."""
        self._forget_control()
        self.ended.set()

    def _receive(self) -> None:
        try:
            message = self.control.recv(LONGEST_MESSAGE)
        except OSError:
            message = b""
        if not message:
            self._forget_control()
            return
        answer = json.loads(message)
        if "ready" in answer:
            self._take_ready(answer["failed"])
        elif (call := self._calls.get(answer["id"])) and not call.done():
            if "error" in answer:
                call.set_exception(LabError(f"{self.spec.name}: {answer['error']}"))
            else:
                call.set_result(answer["value"])

    def _take_ready(self, failed: list[str]) -> None:
        if failed:
            self._ready.set_exception(
                LabError(f"{self.spec.name}: {', '.join(failed)} failed; see its log")
            )
        else:
            self._ready.set_result(None)

    def _forget_control(self) -> None:
        if self.control.fileno() == -1:
            return
        asyncio.get_running_loop().remove_reader(self.control.fileno())
        self.control.close()
        gone = LabError(f"{self.spec.name}: has just ended; see its log")
        for waiting in (self._ready, *self._calls.values()):
            if not waiting.done():
                waiting.set_exception(gone)
        if not self._ready.cancelled():
            # Nobody may be waiting any more, which is no error then.
            self._ready.exception()


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _fork_into_namespaces(spec: DomainSpec, control: socket.socket) -> int:
    """Fork a domain's pid 1 and return its pid.

    A pid namespace holds only children of the process that made it, so that takes
    a second process, which is gone when this returns. Pid 1 is then this process's
    own child again, because this one is the reaper of the lab.
    """
    told, teller = os.pipe()
    between = os.fork()
    if not between:
        try:
            kernel.unshare(_NAMESPACES)
            pid = os.fork()
            if pid:
                os.write(teller, str(pid).encode())
            else:
                _become_init(spec, control.fileno())
        except BaseException:  # noqa: BLE001 - nothing may return into the copy
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(1)
    os.close(teller)
    os.waitpid(between, 0)
    with open(told, "rb") as answer:  # noqa: PTH123
        text = answer.read()
    if not text:
        raise LabError(f"{spec.name}: cannot make its namespaces; see the log")
    return int(text)


def _become_init(spec: DomainSpec, control: int) -> None:
    # The copied objects of the hypervisor must not be collected: they would close
    # descriptors that have other uses here.
    gc.freeze()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    os.dup2(control, _CONTROL, inheritable=False)
    os.closerange(_CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
    kernel.set_process_name("lab-init")
    logs = Path(STATE, "logs", spec.name)
    logs.mkdir(exist_ok=True)
    _redirect(logs / "init.log")
    socket.sethostname(spec.name)
    kernel.mount("domain", NEW_ROOT, "tmpfs", kernel.MS_NOSUID, "mode=755")
    ground = spec.ground.seen_from(HOST)
    build_top(NEW_ROOT, HOST, spec.keep, ground)
    furnish(NEW_ROOT, HOST, spec.furniture, ground)
    enter_root(NEW_ROOT)
    _write_sysctls(_SYSCTLS)
    if spec.routes:
        _write_sysctls(_ROUTING)
    run_command(["ip", "link", "set", "lo", "up"])
    channel = socket.socket(fileno=_CONTROL)
    Init(spec.services, channel, make_environment(), "/var/log/qubes-lab").run()


def _redirect(log_file: Path) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    output = os.open(log_file, flags, 0o644)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(null)
    os.close(output)
    # What was buffered before the fork is the hypervisor's to print.
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115


def _write_sysctls(values: Mapping[str, str]) -> None:
    for name, value in values.items():
        try:
            Path("/proc/sys/net", name).write_text(value)
        except OSError as error:
            log(f"/proc/sys/net/{name}: {error.strerror}")
