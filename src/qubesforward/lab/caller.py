# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls to a lab's hypervisor from the host, for the command line."""

from __future__ import annotations

import json
import os
import socket
from typing import Any

from qubesforward.errors import LabError
from qubesforward.lab.state import LabState

_PATIENCE = 30.0


def call_lab(state: LabState, op: str, **arguments: object) -> dict[str, Any]:
    """Make one call of `qubesforward.lab.control`; raise `LabError` if refused."""
    _ = state.supervisor
    # The path may be too long for a socket address (108 bytes); this one is not.
    directory = os.open(state.path, os.O_PATH | os.O_DIRECTORY)
    try:
        with socket.socket(socket.AF_UNIX) as channel:
            channel.settimeout(_PATIENCE)
            channel.connect(f"/proc/self/fd/{directory}/control.sock")
            line = json.dumps({"id": 0, "op": op, **arguments})
            channel.sendall(line.encode() + b"\n")
            with channel.makefile("rb") as answers:
                for answer in map(json.loads, answers):
                    if answer.get("id") == 0:
                        return _take(answer)
    except TimeoutError:
        raise LabError(f"the lab {state.name} does not answer") from None
    except OSError as error:
        raise LabError(f"the lab {state.name}: {error.strerror}") from None
    finally:
        os.close(directory)
    raise LabError(f"the lab {state.name} has just ended")


def _take(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer:
        raise LabError(answer["error"])
    value: dict[str, Any] = answer["value"]
    return value
