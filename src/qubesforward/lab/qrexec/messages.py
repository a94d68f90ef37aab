# SPDX-License-Identifier: GPL-2.0-or-later
"""What passes between a caller, the hypervisor and a service, and where. No I/O.

All over sockets that keep messages apart (SOCK_SEQPACKET). A caller sends
``SERVICE[+ARGUMENT] TARGET`` and gets messages that each are a word:

===============  ====================  ===========================================
``refused``                            policy does not allow it
``pipes``        two descriptors       the service's input and its output
``socket``       one descriptor        the service's socket
``ended N``                            its exit status; after ``pipes``, or alone
===============  ====================  ===========================================

After ``pipes`` or ``socket`` both ends talk with nobody between them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from qubesforward.errors import MalformedMessage
from qubesforward.lab.hypercall import LAB_DIR
from qubesforward.lab.qrexec.policy import Request

CALLER_SOCKET = "/run/qubes/qrexec-agent"
"""In a qube; the name is Qubes'."""

SWITCH_SOCKET = f"{LAB_DIR}/qrexec.sock"
"""In dom0: how it passes a call that it has allowed on to a qube."""

LONGEST_REQUEST = 512
LONGEST_ANSWER = 64

# libqrexec/qrexec.h
EXIT_PROBLEM, EXIT_REFUSED, EXIT_NOT_FOUND = 125, 126, 127

_REQUEST = re.compile(
    rb"(?P<service>[A-Za-z0-9_.-]{1,255})(?P<argument>\+[A-Za-z0-9_.+-]{0,255})?"
    rb" (?P<target>[A-Za-z0-9_.:@-]{0,127})"
)


@dataclass(frozen=True, slots=True)
class ServiceCall:
    """A call that policy has allowed, as it is told to where the service is.

    `requested` is the target that was asked for; only dom0's services are told it.
    """

    service: str
    argument: str
    source: str
    requested: str = ""

    @property
    def full_name(self) -> str:
        """The service with its argument; the plus sign is always there."""
        return self.service + self.argument

    @property
    def descriptor(self) -> bytes:
        """What a socket service is told first."""
        words = [self.full_name, self.source]
        if self.requested:
            is_keyword = self.requested.startswith("@")
            words.append("keyword" if is_keyword else "name")
            words.append(self.requested.removeprefix("@"))
        return " ".join(words).encode("ascii") + b"\0"


def encode_request(service: str, target: str) -> bytes:
    """Return a caller's message; what cannot be in one is refused by the other side."""
    return f"{service} {target}".encode("ascii", "replace")


def decode_request(untrusted_message: bytes, source: str) -> Request:
    """Read a caller's message. Raises MalformedMessage."""
    found = None
    if len(untrusted_message) <= LONGEST_REQUEST:
        found = _REQUEST.fullmatch(untrusted_message)
    if found is None:
        raise MalformedMessage("qrexec: not a call")
    return Request(
        service=found["service"].decode("ascii"),
        argument=(found["argument"] or b"+").decode("ascii"),
        source=source,
        target=found["target"].decode("ascii"),
    )


def decode_ended(message: bytes) -> int | None:
    """Return the exit status that a message tells; None if it is another one."""
    word, _, number = message.partition(b" ")
    if word != b"ended" or not number.isdigit() or len(number) > 3:
        return None
    return int(number)


def describe_call(call: ServiceCall) -> dict[str, Any]:
    """Return a call as JSON takes it; ``ServiceCall(**…)`` makes it one again."""
    return {
        "service": call.service,
        "argument": call.argument,
        "source": call.source,
        "requested": call.requested,
    }
