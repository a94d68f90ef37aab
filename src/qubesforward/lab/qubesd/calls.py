# SPDX-License-Identifier: GPL-2.0-or-later
"""The Admin API of qubesd: which calls there are, and what each takes.

A call that is unknown, or comes with an argument, payload or destination that it
does not take, gets stock's protocol error: the connection ends without an answer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum

from qubesforward.errors import ForwardError
from qubesforward.lab.qubesd.events import EventHub
from qubesforward.lab.qubesd.faults import failed, no_such_qube
from qubesforward.lab.qubesd.firewall import StockFirewall
from qubesforward.lab.qubesd.lifecycle import Lifecycle
from qubesforward.lab.qubesd.links import Links
from qubesforward.lab.qubesd.state import DOM0, Computer
from qubesforward.qubes.admin_server import AdminException, Call, Refused


@dataclass(frozen=True)
class Qubesd:
    """The parts that the handlers of calls work with."""

    computer: Computer
    events: EventHub
    links: Links
    lifecycle: Lifecycle
    forwardd: str
    """The socket of `qubes-forwardd`, which has the firewall calls."""
    firewall: StockFirewall | None = None
    """Beside a stock qubesd's: those about outbound rules are its own."""


Handler = Callable[[Qubesd, Call], Awaitable[bytes]]


class Dest(Enum):
    """What a call may be about."""

    ANY = "any qube, dom0 too"
    DOM0 = "the computer: dom0"
    GUEST = "any qube but dom0"


@dataclass(frozen=True)
class Method:
    """One call of the API: its handler, and what it takes. None for `arg` is either."""

    handle: Handler
    dest: Dest = Dest.ANY
    arg: bool | None = False
    payload: bool = False


async def answer_call(qubesd: Qubesd, methods: dict[str, Method], call: Call) -> bytes:
    """Answer one call. Raises AdminException and Refused only."""
    _check_ends(qubesd, call)
    method = methods.get(call.method)
    if method is None:
        raise Refused(f"no such method: {call.method}")
    _check_contract(method, call)
    try:
        return await method.handle(qubesd, call)
    except (AdminException, Refused):
        raise
    except ForwardError as error:
        raise failed(str(error)) from error


def check_events_call(qubesd: Qubesd, call: Call) -> None:
    """See whether a call may follow events. Raises as `answer_call`."""
    _check_ends(qubesd, call)
    _check_contract(Method(_never), call)


async def _never(_qubesd: Qubesd, _call: Call) -> bytes:
    raise Refused("not a call to be answered")


def _check_ends(qubesd: Qubesd, call: Call) -> None:
    for name in (call.source, call.dest):
        if name not in qubesd.computer.qubes:
            raise no_such_qube(name)


def _check_contract(method: Method, call: Call) -> None:
    if call.payload and not method.payload:
        raise Refused("unexpected payload")
    if method.arg is not None and bool(call.arg) != method.arg:
        raise Refused("argument missing or not expected")
    if method.dest is Dest.DOM0 and call.dest != DOM0:
        raise Refused("only about dom0")
    if method.dest is Dest.GUEST and call.dest == DOM0:
        raise Refused("not about dom0")
