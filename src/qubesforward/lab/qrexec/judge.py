# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a call in dom0: decides by policy, and brings it to its service."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Mapping
from pathlib import Path

from qubesforward.errors import AdminError, ForwardError, LabError, MalformedMessage
from qubesforward.lab.command import log
from qubesforward.lab.qrexec.messages import (
    EXIT_PROBLEM,
    LONGEST_REQUEST,
    SWITCH_SOCKET,
    ServiceCall,
    decode_request,
    describe_call,
)
from qubesforward.lab.qrexec.policy import (
    Allowed,
    Denied,
    QubeInfo,
    Request,
    Rule,
    evaluate,
    parse_policy,
)
from qubesforward.lab.qrexec.service import answer, serve_call
from qubesforward.lab.qubesd.state import DOM0, Computer, Paths, Phase
from qubesforward.qubes.admin import AdminClient

POLICY = Path("/etc/qubes/policy.d")

_SUFFIX = ".policy"
# Another name of a file makes Qubes deny everything, as a line that is no rule does.
_FILE_NAME = re.compile(r"[0-9a-z_.-]+")
_PATIENCE = 5.0
_PATIENCE_OF_SWITCH = 20.0
_LONGEST_ANSWER = 4096


def judge_call(
    source: str, caller: socket.socket, environment: Mapping[str, str]
) -> None:
    """Read what a qube wants to call, and do it or refuse it."""
    caller.settimeout(_PATIENCE)
    try:
        untrusted_message = caller.recv(LONGEST_REQUEST + 1)
        request = decode_request(untrusted_message, source)
    except (OSError, MalformedMessage) as error:
        log(f"{source}: {error}")
        answer(caller, b"refused")
        return
    verdict = _decide(request)
    line = f"{request.service}{request.argument} from {source} to {request.target}"
    if isinstance(verdict, Denied):
        log(f"{line}: denied: {verdict.why}")
        answer(caller, b"refused")
        return
    log(f"{line}: allowed, to {verdict.target}")
    _deliver(request, verdict, caller, environment)


def _decide(request: Request) -> Allowed | Denied:
    try:
        return evaluate(load_policy(POLICY), request, _read_system())
    except (OSError, ValueError, LabError) as error:
        return Denied(str(error))


def load_policy(directory: Path) -> tuple[Rule, ...]:
    """Read all files of policy in their order.

    Raises `LabError`, OSError or UnicodeDecodeError if any of it cannot be read.
    """
    files = sorted(
        path
        for path in directory.iterdir()
        if path.suffix == _SUFFIX and not path.name.startswith(".") and path.is_file()
    )
    for path in files:
        if not _FILE_NAME.fullmatch(path.name):
            raise LabError(f"{path}: names are of a-z, 0-9, dot, dash and underscore")
    return tuple(
        rule
        for path in files
        for rule in parse_policy(path.read_text(encoding="utf-8"), path.name)
    )


def _read_system() -> dict[str, QubeInfo]:
    computer = Computer(Paths())
    computer.load()
    running = computer.load_running()
    return {
        name: QubeInfo(
            klass=qube.klass,
            tags=frozenset(qube.tags),
            running=name in running and running[name].phase is Phase.RUNNING,
        )
        for name, qube in computer.qubes.items()
    }


def _deliver(
    request: Request,
    verdict: Allowed,
    caller: socket.socket,
    environment: Mapping[str, str],
) -> None:
    call = ServiceCall(request.service, request.argument, request.source)
    if verdict.target == DOM0:
        told = ServiceCall(call.service, call.argument, call.source, verdict.requested)
        serve_call(told, caller, environment)
        return
    try:
        _start(verdict.target)
        _pass_on(call, verdict.target, caller)
    except (OSError, ForwardError) as error:
        log(f"{verdict.target}: {error}")
        answer(caller, b"ended %d" % EXIT_PROBLEM)


def _start(target: str) -> None:
    """Start a qube; no error if it runs."""
    try:
        AdminClient().call("admin.vm.Start", target)
    except AdminError as error:
        if error.kind != "QubesVMNotHaltedError":
            raise


def _pass_on(call: ServiceCall, target: str, caller: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as switch:
        switch.settimeout(_PATIENCE_OF_SWITCH)
        switch.connect(SWITCH_SOCKET)
        message = json.dumps({"target": target, "call": describe_call(call)})
        socket.send_fds(switch, [message.encode()], [caller.fileno()])
        problem = switch.recv(_LONGEST_ANSWER)
        if problem != b"ok":
            raise LabError(problem.decode() or "the hypervisor is gone")
