# SPDX-License-Identifier: GPL-2.0-or-later
"""Admin API calls from a qube that dom0's policy lets manage others.

What is sent and what comes back is the same as in dom0; qrexec says who calls whom.
Source: the client of Qubes (qubesadmin), agent/qrexec-client-vm.rst of core-qrexec.
"""

from __future__ import annotations

import subprocess

from qubesforward.errors import AdminError, Unavailable
from qubesforward.qubes.admin_wire import Call, read_reply

DENIED = "PermissionDenied"
"""The kind of the error if policy refuses a call."""

_REFUSED, _NO_SERVICE = 126, 127


def call_by_qrexec(program: str, call: Call, timeout: float) -> bytes:
    """Make a call through qrexec-client-vm, and return its content.

    Raises AdminError, of kind DENIED if dom0's policy refuses it, Unavailable, and
    MalformedMessage. `timeout` is in seconds.
    """
    # The plus sign is there without an argument too: policy tells the two apart.
    service = f"{call.method}+{call.arg}"
    try:
        done = subprocess.run(
            [program, call.dest, service],
            input=call.payload,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(
            f"dom0 did not answer {service} within {timeout:g} s; what was asked for"
            " may still happen"
        ) from None
    except OSError as error:
        raise Unavailable(f"{program}: {error.strerror}") from error
    if done.returncode == _REFUSED:
        raise AdminError(
            DENIED,
            f"dom0 does not let this qube call {service} for {call.dest}: a line in"
            " its /etc/qubes/policy.d/30-user.policy would",
        )
    if done.returncode == _NO_SERVICE:
        raise Unavailable(f"dom0 has no service {service}")
    if done.returncode and not done.stdout:
        raise Unavailable(
            f"{service}: qrexec ended with status {done.returncode}; is"
            " qubes-forwardd running in dom0?"
        )
    return read_reply(done.stdout, "dom0")
