# SPDX-License-Identifier: GPL-2.0-or-later
"""Remembers which hops send what comes from below through a tunnel.

A tunnel is not always there: its qube starts before it is up, and its program may
take it down to reconnect. A hop's agent remembers while the hop runs, and says so;
here that becomes a feature of the hop, which planning knows before the hop starts.
Only the user takes it back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from qubesforward.daemon.hop import Hop
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.topology import Topology
from qubesforward.errors import ForwardError
from qubesforward.plan.snapshot import TUNNEL_FEATURE
from qubesforward.qubes.admin_async import AsyncAdminClient

_log = logging.getLogger(__name__)

_RETRY_SECONDS = 5.0


class Tunnels:
    """Sets the feature of hops that newly say that they have a tunnel."""

    def __init__(
        self, client: AsyncAdminClient, topology: Topology, hops: Hops
    ) -> None:
        self._client = client
        self._topology = topology
        self._hops = hops
        self._noted: Mapping[str, int] = {}
        self._wake = asyncio.Event()

    def wake(self) -> None:
        """Look soon: a hop has said something."""
        self._wake.set()

    async def run(self) -> None:
        """Look whenever woken, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                for hop in list(self._hops.open.values()):
                    await self._note(hop)
            except ForwardError as error:
                _log.warning("feature %s: %s; trying again", TUNNEL_FEATURE, error)
                asyncio.get_running_loop().call_later(_RETRY_SECONDS, self.wake)

    async def _note(self, hop: Hop) -> None:
        qube = self._topology.snapshot.get(hop.name)
        # Once for each start: whoever takes the feature back meanwhile is heard.
        if not hop.tunnel or qube is None or self._noted.get(hop.name) == hop.xid:
            return
        if not qube.tunnel:
            _log.info("%s has a tunnel: %s", hop.name, hop.tunnel)
            value = hop.tunnel.encode("ascii")
            await self._client.call(
                "admin.vm.feature.Set", hop.name, TUNNEL_FEATURE, value
            )
        running = {one.name: one.xid for one in self._hops.open.values()}
        self._noted = {
            name: xid
            for name, xid in (*self._noted.items(), (hop.name, hop.xid))
            if running.get(name) == xid
        }
