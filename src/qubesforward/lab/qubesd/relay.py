# SPDX-License-Identifier: GPL-2.0-or-later
"""The firewall calls: they are `qubes-forwardd`'s, and are passed on to it as they are.

So a tool that knows only qubesd's socket, as every stock one does, works in the lab.
"""

from __future__ import annotations

from qubesforward.errors import MalformedMessage
from qubesforward.lab.qubesd.calls import Method, Qubesd
from qubesforward.qubes.admin import Service
from qubesforward.qubes.admin_async import send_call
from qubesforward.qubes.admin_server import AdminException, Refused
from qubesforward.qubes.admin_wire import Call, encode_call

_FORWARDD = "qubes-forwardd"
_SECONDS = 60.0


async def _pass_on(qubesd: Qubesd, call: Call) -> bytes:
    return await relay_call(qubesd.forwardd, call)


async def relay_call(path: str, call: Call) -> bytes:
    """Pass a call on, and answer with what comes back: content or exception."""
    service = Service(path, _FORWARDD)
    reply = await send_call(service, encode_call(call), _SECONDS)
    if not reply:
        raise Refused(f"refused by {_FORWARDD}")
    if reply.startswith(b"0\0"):
        return reply[2:]
    try:
        mark, kind, _traceback, text, *args, _end = (
            part.decode() for part in reply.split(b"\0")
        )
        if mark != "2" or _end:
            raise ValueError
    except ValueError:
        raise MalformedMessage(f"{_FORWARDD}: not a reply") from None
    raise AdminException(kind, text, *args)


RELAY_METHODS = {
    f"admin.vm.firewall.{verb}": Method(_pass_on, arg=None, payload=True)
    for verb in (
        "Get",
        "Set",
        "Reload",
        "Add",
        "Remove",
        "Plan",
        "Status",
        "Confirm",
        "Log",
    )
}
