# SPDX-License-Identifier: GPL-2.0-or-later
"""Ends connections that the outbound rules of their source permit no more.

New rules are asked for new connections only. What is deleted here is a new one to
conntrack when the source's next packet comes, and is then rejected.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address

from qubesforward.agent.flow_wire import (
    DELETE_FLOW,
    GET_FLOWS,
    TrackedFlow,
    decode_flow,
    encode_flow_deletion,
    encode_flow_request,
)
from qubesforward.agent.netlink import NETLINK_NETFILTER, NetlinkSocket
from qubesforward.errors import ApplyError, MalformedMessage
from qubesforward.model.hosts import Address
from qubesforward.nft.outbound_match import TCP, UDP, Flow

LOG = logging.getLogger(__name__)


class OutboundFlows:
    """The connections that this network namespace tracks, by their sources."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_NETFILTER)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def cut(self, permitted: Mapping[Address, Callable[[Flow], bool]]) -> None:
        """End connections of these sources for which their function returns False.

        Failing is logged: the rules hold for all that is new in any case.
        """
        by_source = {source.packed: check for source, check in permitted.items()}
        try:
            doomed = [
                encode_flow_deletion(tracked)
                for family in {source.version for source in permitted}
                for tracked in self._list(family)
                if tracked.original.src in by_source
                and not by_source[tracked.original.src](_flow(tracked))
            ]
            self._socket.tell_all(DELETE_FLOW, doomed)
        except (ApplyError, MalformedMessage) as error:
            LOG.error("connections not permitted any more go on: %s", error)

    def _list(self, family: int) -> Iterator[TrackedFlow]:
        request = encode_flow_request(family, mark=0, mask=0)
        for answer in self._socket.dump(GET_FLOWS, request, "connections"):
            yield decode_flow(answer)


def _flow(tracked: TrackedFlow) -> Flow:
    # Answers come from where a translated destination really is. ICMP goes without
    # its type: to end a ping that is permitted does it no harm.
    reply = tracked.reply
    return Flow(
        reply.proto,
        asked=ip_address(tracked.original.dst),
        to=ip_address(reply.src),
        port=reply.src_port if reply.proto in (TCP, UDP) else None,
    )
