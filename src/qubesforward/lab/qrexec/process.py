# SPDX-License-Identifier: GPL-2.0-or-later
"""The process of one call, forked by the init of the domain where it is dealt with."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Mapping
from typing import Any

from qubesforward.lab import kernel
from qubesforward.lab.qrexec.judge import judge_call
from qubesforward.lab.qrexec.messages import ServiceCall
from qubesforward.lab.qrexec.service import serve_call

JUDGE, SERVE = "judge", "serve"
"""What dom0's init, and a qube's, is asked by the hypervisor."""

PROCESS_NAME = "lab-qrexec"


def fork_call(
    request: Mapping[str, Any], caller: int, environment: Mapping[str, str]
) -> None:
    """Deal with a call in a new process; `caller` is its socket, and is closed here.

    A request has ``op``; to JUDGE a ``source``, to SERVE a ``call``.
    """
    pid = os.fork()
    if pid:
        os.close(caller)
        return
    try:
        _leave_init(caller)
        with socket.socket(fileno=caller) as connection:
            if request["op"] == JUDGE:
                judge_call(request["source"], connection, environment)
            else:
                serve_call(ServiceCall(**request["call"]), connection, environment)
    except BaseException:  # noqa: BLE001 - nothing may return into the copy of init
        traceback.print_exc()
    finally:
        os._exit(0)


def _leave_init(caller: int) -> None:
    """Let go of everything that is the init's."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    os.closerange(3, caller)
    os.closerange(caller + 1, os.sysconf("SC_OPEN_MAX"))
    os.setsid()
    kernel.set_process_name(PROCESS_NAME)
