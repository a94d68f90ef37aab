# SPDX-License-Identifier: GPL-2.0-or-later
"""The end of a call where the service is, dom0 or a qube: finds it, and runs it.

Every call is a process of its own here, so nothing in it is asynchronous.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from qubesforward.errors import LabError
from qubesforward.lab.command import log
from qubesforward.lab.qrexec.messages import (
    EXIT_NOT_FOUND,
    EXIT_PROBLEM,
    ServiceCall,
)

SERVICES = Path("/etc/qubes-rpc")
SETTINGS = Path("/etc/qubes/rpc-config")

_SKIP_DESCRIPTOR = "skip-service-descriptor"
_PATIENCE = 5.0
_LONGEST_NAME = 255


def serve_call(
    call: ServiceCall, caller: socket.socket, environment: Mapping[str, str]
) -> None:
    """Connect a caller with a service, and tell it how that ended.

    Returns when the service has ended, or needs nobody any more.
    """
    path = find_service(call)
    try:
        if path is None:
            log(f"{call.full_name}: no such service, called by {call.source}")
            answer(caller, b"ended %d" % EXIT_NOT_FOUND)
        elif stat.S_ISSOCK(path.stat().st_mode):
            _connect(call, path, caller)
        else:
            _run(call, path, caller, environment)
    except (OSError, LabError) as error:
        log(f"{call.full_name}: {error}")
        answer(caller, b"ended %d" % EXIT_PROBLEM)


def find_service(call: ServiceCall) -> Path | None:
    """Return the file of a service, with its argument or without it."""
    for name in (call.full_name, call.service):
        path = SERVICES / name
        # A link that leads nowhere is a service that does not run, not none.
        if len(name) <= _LONGEST_NAME and os.path.lexists(path):
            return path
    return None


def answer(caller: socket.socket, word: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send a message; a caller that is gone needs none."""
    try:
        socket.send_fds(caller, [word], descriptors)
    except OSError as error:
        log(f"a caller is gone: {error.strerror}")


def _connect(call: ServiceCall, path: Path, caller: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.settimeout(_PATIENCE)
        channel.connect(str(path))
        if not _skips_descriptor(call):
            channel.sendall(call.descriptor)
        # The caller gets this very socket, with all its flags.
        channel.setblocking(True)
        answer(caller, b"socket", [channel.fileno()])


def _skips_descriptor(call: ServiceCall) -> bool:
    for name in (call.full_name, call.service):
        try:
            settings = tomllib.loads((SETTINGS / name).read_text())
        except FileNotFoundError:
            continue
        except ValueError as error:
            raise LabError(f"{SETTINGS / name}: {error}") from None
        unknown = settings.keys() - {_SKIP_DESCRIPTOR}
        value = settings.get(_SKIP_DESCRIPTOR, False)
        if unknown or not isinstance(value, bool):
            raise LabError(f"{SETTINGS / name}: the lab knows {_SKIP_DESCRIPTOR} only")
        return value
    return False


def _run(
    call: ServiceCall,
    path: Path,
    caller: socket.socket,
    environment: Mapping[str, str],
) -> None:
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise LabError(f"{path}: neither a program nor a socket")
    service_in, to_service = os.pipe()
    from_service, service_out = os.pipe()
    # Signals are as for any program: Python ignores some, which is inherited.
    pid = os.posix_spawn(
        path,
        [str(path), *filter(None, [call.argument.removeprefix("+")])],
        {**environment, **_describe(call)},
        file_actions=[
            (os.POSIX_SPAWN_DUP2, service_in, 0),
            (os.POSIX_SPAWN_DUP2, service_out, 1),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGPIPE, signal.SIGINT],
    )
    answer(caller, b"pipes", [to_service, from_service])
    for descriptor in (service_in, to_service, from_service, service_out):
        os.close(descriptor)
    status = os.waitpid(pid, 0)[1]
    code = os.waitstatus_to_exitcode(status)
    answer(caller, b"ended %d" % (128 - code if code < 0 else code))


def _describe(call: ServiceCall) -> dict[str, str]:
    described = {
        "QREXEC_REMOTE_DOMAIN": call.source,
        "QREXEC_SERVICE_FULL_NAME": call.full_name,
        "QREXEC_SERVICE_ARGUMENT": call.argument.removeprefix("+"),
        "QREXEC_REQUESTED_TARGET_TYPE": "",
    }
    if call.requested.startswith("@"):
        described["QREXEC_REQUESTED_TARGET_TYPE"] = "keyword"
        keyword = call.requested.removeprefix("@")
        described["QREXEC_REQUESTED_TARGET_KEYWORD"] = keyword
    elif call.requested:
        described["QREXEC_REQUESTED_TARGET_TYPE"] = "name"
        described["QREXEC_REQUESTED_TARGET"] = call.requested
    return described
