# SPDX-License-Identifier: GPL-2.0-or-later
"""`admin.vm.firewall.*` as a stock qubesd answers them: outbound rules only."""

from __future__ import annotations

from qubesforward.lab.qubesd.calls import Dest, Method, Qubesd
from qubesforward.lab.qubesd.firewall import StockFirewall
from qubesforward.qubes.admin_server import Call, Refused


def _firewall(qubesd: Qubesd) -> StockFirewall:
    if qubesd.firewall is None:
        raise Refused("the firewall is not qubesd's")
    return qubesd.firewall


async def _get(qubesd: Qubesd, call: Call) -> bytes:
    return _firewall(qubesd).get(qubesd.computer.qube(call.dest)).encode()


async def _set(qubesd: Qubesd, call: Call) -> bytes:
    await _firewall(qubesd).set(qubesd.computer.qube(call.dest), call.payload)
    return b""


async def _reload(qubesd: Qubesd, call: Call) -> bytes:
    await _firewall(qubesd).reload(qubesd.computer.qube(call.dest))
    return b""


FIREWALL_METHODS = {
    "admin.vm.firewall.Get": Method(_get, Dest.GUEST),
    "admin.vm.firewall.Set": Method(_set, Dest.GUEST, payload=True),
    "admin.vm.firewall.Reload": Method(_reload, Dest.GUEST),
}
