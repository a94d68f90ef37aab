# SPDX-License-Identifier: GPL-2.0-or-later
"""Starting a lab in the background, and ending it.

`launch` forks a process that enters the lab's namespaces and leaves its own child
there as the hypervisor; the two talk over a pipe, a line each: ``warning TEXT``, then
``ready`` or ``error TEXT``.
"""

from __future__ import annotations

import asyncio
import compileall
import os
import select
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

from qubesforward.errors import LabError
from qubesforward.lab import kernel
from qubesforward.lab.command import PATH
from qubesforward.lab.control import serve_control
from qubesforward.lab.ground import Grounds
from qubesforward.lab.root import paths_of_python
from qubesforward.lab.sandbox import (
    DOM0_DIR,
    STATE,
    build_lab_root,
    enter_namespaces,
)
from qubesforward.lab.state import LabState
from qubesforward.lab.supervisor import BASE_FIREWALL, DOM0, Supervisor
from qubesforward.lab.topology import Topology, load_topology
from qubesforward.qubes.setting import Setting

_PATIENCE = 60.0
_TAIL = 15
_QUBESD = "qubesd"
_STARTS_GIVEN = 5
_PACKAGES = {
    "ip": "iproute2",
    "nft": "nftables",
    "nsenter": "util-linux",
    "ping": "iputils-ping",
}


def launch(
    state: LabState,
    topology_file: Path,
    report: Callable[[str], None],
    shared: Sequence[str] = (),
    grounds: Grounds = Grounds(),  # noqa: B008 - cannot be changed
    setting: Setting | None = None,
) -> None:
    """Start a lab; return when every qube is up. `report` takes warnings.

    `shared` are files of the host that dom0 sees at the same paths; `grounds` say
    whose programs run; `setting` counts instead of the topology's.

    Raises `LabError` that says what went wrong; nothing is left then.
    """
    topology = load_topology(topology_file)
    if setting is not None:
        topology = replace(topology, setting=setting)
    text = topology_file.read_bytes()
    _check_programs(topology)
    # The lab cannot write here: programs in it would compile anew at every start.
    compileall.compile_dir(Path(__file__).parents[1], quiet=2)
    lock = state.claim()
    try:
        told, teller = os.pipe()
        between = os.fork()
        if not between:
            os.close(told)
            make = partial(Supervisor, topology, shared=shared, grounds=grounds)
            _run_between(state, text, teller, make)
        os.close(teller)
        os.close(lock)
        os.waitpid(between, 0)
        with open(told, "rb", buffering=0) as answers:  # noqa: PTH123
            _await_ready(answers, report)
    except BaseException as error:
        tails = _read_tails(state.path / "logs") if isinstance(error, LabError) else ""
        _end(state)
        if tails:
            raise LabError(f"{error}\n{tails}") from None
        raise


def end(state: LabState) -> None:
    """End a lab; return when nothing of it is left. `LabError` if it is not up."""
    _ = state.supervisor
    _end(state)


def _end(state: LabState) -> None:
    with suppress(OSError, ValueError):
        pid = int((state.path / "pid").read_text())
        descriptor = os.pidfd_open(pid)
        # With the hypervisor, pid 1 of its pid namespace, the kernel ends the rest.
        if state.is_up():
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            select.select([descriptor], [], [], _PATIENCE)
        os.close(descriptor)
    state.remove()


def _check_programs(topology: Topology) -> None:
    needed = dict(_PACKAGES)
    if topology.dns:
        needed["dnsmasq"] = "dnsmasq-base"
    if any(host.igd for host in topology.hosts):
        needed["miniupnpd"] = "miniupnpd-nftables"
    if topology.has_old_qubes:
        needed["xtables-nft-multi"] = "iptables"
    missing = [
        package
        for program, package in needed.items()
        if not shutil.which(program, path=PATH)
    ]
    if missing:
        raise LabError(
            "the lab needs programs that are not installed; on Debian:"
            f" apt install {' '.join(missing)}"
        )


def _await_ready(answers: BinaryIO, report: Callable[[str], None]) -> None:
    deadline = time.monotonic() + _PATIENCE
    buffer = b""
    while time.monotonic() < deadline:
        if not select.select([answers], [], [], 1.0)[0]:
            continue
        got = answers.read(65536)
        if not got:
            raise LabError("the lab ended while it was starting")
        *lines, buffer = (buffer + got).split(b"\n")
        for line in lines:
            word, _, text = line.decode().partition(" ")
            if word == "ready":
                return
            if word == "error":
                raise LabError(text.replace("\\n", "\n"))
            report(text)
    raise LabError(f"the lab is not ready after {_PATIENCE:.0f} s")


def _read_tails(logs: Path) -> str:
    """Return the ends of the logs that may say why the lab did not come up."""
    files = [logs / "lab.log", *sorted((logs / DOM0).glob("*.log"))]
    # What its rules could not be loaded for keeps every qube from starting.
    files += sorted(logs.glob(f"*/{BASE_FIREWALL}.log"))
    tails = []
    for file in files:
        with suppress(OSError):
            lines = file.read_text(errors="replace").splitlines()[-_TAIL:]
            if lines:
                tails.append("\n".join([f"--- {file.relative_to(logs)}", *lines]))
    return "\n".join(tails)


def _run_between(
    state: LabState,
    text: bytes,
    teller: int,
    make: Callable[..., Supervisor],
) -> None:
    """Enter the namespaces, and start the hypervisor in them. Does not return."""
    try:
        os.setsid()
        os.umask(0o022)
        _redirect(state.path / "logs" / "lab.log")
        keep = paths_of_python()
        enter_namespaces()
        heard, here = os.pipe()
        pid = os.fork()
        if pid:
            (state.path / "pid").write_text(str(pid))
            os.write(here, b"written")
            os._exit(0)
        # Both are in one mount namespace: a new root would be the parent's as well,
        # and the host's files out of its reach.
        os.close(here)
        if not os.read(heard, 16):
            os._exit(1)
        os.close(heard)
        kernel.set_process_name("lab-hypervisor")
        build_lab_root(state.path, keep)
        Path(DOM0_DIR, "topology.toml").write_bytes(text)
        asyncio.run(_run_hypervisor(partial(make, keep=keep), teller))
    except LabError as error:
        _tell(teller, f"error {error}")
    except BaseException as error:  # noqa: BLE001 - nothing may return into the copy
        traceback.print_exc()
        _tell(teller, f"error {error!r}")
    finally:
        os._exit(1)


def _redirect(log_file: Path) -> None:
    output = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    os.close(null)


def _tell(teller: int, line: str) -> None:
    # `up` may have lost patience.
    with suppress(OSError):
        os.write(teller, line.replace("\n", "\\n").encode() + b"\n")


async def _run_hypervisor(make: Callable[[], Supervisor], teller: int) -> None:
    supervisor = make()
    servers = [
        await serve_control(supervisor, path)
        for path in (f"{DOM0_DIR}/hypervisor.sock", f"{STATE}/control.sock")
    ]
    try:
        await supervisor.boot()
        await _await_qubes(supervisor)
    finally:
        for warning in supervisor.warnings:
            _tell(teller, f"warning {warning}")
    _tell(teller, "ready")
    os.close(teller)
    await asyncio.gather(*(server.serve_forever() for server in servers))


async def _await_qubes(supervisor: Supervisor) -> None:
    """Wait until dom0's qubesd has started all that it shall."""
    dom0 = supervisor.domains[DOM0]
    if not any(service.unit == _QUBESD for service in dom0.spec.services):
        return
    ready = Path(DOM0_DIR, "ready")
    deadline = time.monotonic() + _PATIENCE * 0.9
    while time.monotonic() < deadline:
        with suppress(FileNotFoundError):
            text = ready.read_text().strip()
            if text and text != "ok":
                raise LabError(f"{_QUBESD} could not start every qube: {text}")
            if text:
                return
        services = await dom0.call("services")
        if services[_QUBESD]["failures"] >= _STARTS_GIVEN:
            raise LabError(f"{_QUBESD} does not start; this is its log")
        await asyncio.sleep(0.02)
    raise LabError(f"{_QUBESD} does not get ready; see its log")
