# SPDX-License-Identifier: GPL-2.0-or-later
"""Measuring in a process of its own: fresh memory, and nothing left behind."""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any


def run_apart(measure: Callable[[], Any]) -> Any:
    """Return what `measure` returns in a forked process, by way of JSON."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                json.dump(measure(), out)
            status = 0
        except BaseException:  # noqa: BLE001 - whatever it is, only this process ends
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writer)
    with os.fdopen(reader) as told:
        text = told.read()
    _pid, status = os.waitpid(pid, 0)
    if status != 0:
        raise RuntimeError("measuring failed; see above")
    return json.loads(text)


def read_status(pid: int | str, field: str) -> int:
    """Return a number of ``/proc/PID/status``, such as VmRSS in KiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        if name == field:
            return int(rest.split()[0])
    raise KeyError(field)


def read_cpu(pid: int) -> float:
    """Return the processor time that a process has used so far, in seconds."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
