# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers of a PCP server to one client: RFC 6887.

Requests for other protocols than TCP and UDP, for all ports, for other hosts, and for
outgoing connections (PEER) are refused, each as the RFC wants it.
"""

from __future__ import annotations

from qubesforward.portmap.errors import MalformedRequest
from qubesforward.portmap.mapping import (
    Address,
    Holder,
    Key,
    Network,
    Pending,
    Reason,
    Refused,
    Transport,
    Via,
    Wish,
)
from qubesforward.portmap.pcp_result import LONG_LIVED, Result, error_lifetime
from qubesforward.portmap.pcp_wire import (
    NUMBERS,
    PROTOCOLS,
    AnnounceRequest,
    MapRequest,
    MapResponse,
    decode_request,
    encode_announcement,
    encode_error,
    encode_map_response,
    pack_address,
)
from qubesforward.portmap.table import Table, Withdrawn
from qubesforward.portmap.waiting import Datagram, Waiting

MOST_FILTERS = 8
"""Networks that may connect to one mapping: as many rules a grant becomes, at every
hop. RFC 6887 (13.3) wants one at least."""

_MOST_PORTS = 4096
"""Holders whose ports are remembered, the newest: above what limits leave a client."""

_RESULTS = {
    Reason.DENIED: Result.NOT_AUTHORIZED,
    Reason.CONFLICT: Result.CANNOT_PROVIDE_EXTERNAL,
    Reason.QUOTA: Result.USER_EX_QUOTA,
    Reason.NOT_YOURS: Result.NOT_AUTHORIZED,
    Reason.NETWORK: Result.NETWORK_FAILURE,
}


class PcpServer:
    """Answers what one client asks, the one with the address `client`.

    `shortest`, `longest`: seconds that a mapping lives.
    """

    def __init__(
        self, table: Table, client: Address, shortest: int, longest: int
    ) -> None:
        self._table = table
        self._source = pack_address(client)
        self._family = client.version
        self._shortest = shortest
        self._longest = longest
        self.waiting = Waiting()
        self._ports: dict[tuple[Key, Holder], int] = {}

    def receive(
        self,
        untrusted_data: bytes,
        port: int,
        outside: Address | None,
        epoch: int,
        now: float,
    ) -> bytes | None:
        """Return the answer to a datagram; None: say nothing, or nothing yet."""
        try:
            request = decode_request(untrusted_data, self._source)
            if isinstance(request, AnnounceRequest):
                return encode_announcement(epoch)
            if request.lifetime == 0:
                return self._delete(untrusted_data, request, epoch, now)
            return self._map((untrusted_data, port), request, outside, epoch, now)
        except MalformedRequest as error:
            if error.result is None:
                return None
            return encode_error(
                untrusted_data,
                error.result,
                error_lifetime(error.result),
                epoch,
                is_parsed=error.is_parsed,
            )

    def _map(
        self,
        datagram: Datagram,
        request: MapRequest,
        outside: Address | None,
        epoch: int,
        now: float,
    ) -> bytes | None:
        """Ask the table. Raises MalformedRequest for what it is not asked for."""
        if request.protocol not in PROTOCOLS or request.internal == 0:
            raise _refusal("protocol, or all its ports", Result.UNSUPP_PROTOCOL)
        if outside is None:
            raise _refusal("no outside", Result.NETWORK_FAILURE)
        options, address = request.options, request.address
        if options.exact and int(address) and address != outside:
            raise _refusal("another address", Result.CANNOT_PROVIDE_EXTERNAL)
        wish = self._wish_for(request)
        reply = self._table.ask(wish, now)
        if isinstance(reply, Pending):
            self.waiting.put(wish.key, wish.holder, datagram)
            return None
        if isinstance(reply, Refused):
            result = _result_of(reply, options.exact)
            return encode_error(datagram[0], result, reply.retry, epoch, is_parsed=True)
        self.waiting.take(wish.key)
        self._note_port(wish, datagram[1])
        response = _answer(request, reply.lifetime, epoch, reply.outer, outside)
        return encode_map_response(response, options.processed)

    def _note_port(self, wish: Wish, port: int) -> None:
        """Remember where a holder is answered: updates go there too (14.2)."""
        self._ports.pop((wish.key, wish.holder), None)
        self._ports[wish.key, wish.holder] = port
        if len(self._ports) > _MOST_PORTS:
            del self._ports[next(iter(self._ports))]

    def _wish_for(self, request: MapRequest) -> Wish:
        key = Key(PROTOCOLS[request.protocol], request.internal)
        holder = Holder(Via.PCP, request.nonce)
        lifetime = min(max(request.lifetime, self._shortest), self._longest)
        sources = self._sources_for(key, holder, request)
        return Wish(
            key, holder, request.suggested, lifetime, request.options.exact, sources
        )

    def _sources_for(
        self, key: Key, holder: Holder, request: MapRequest
    ) -> frozenset[Network]:
        """Return who may connect: filters come to those that are there (13.3)."""
        clears, filters = request.options.clears, request.options.filters
        if any(network.version != self._family for network in filters):
            raise _refusal("another family", Result.EXCESSIVE_REMOTE_PEERS)
        record = self._table.find(key)
        lease = record.leases.get(holder) if record and record.is_open else None
        if lease and lease.granted and not clears:
            filters |= lease.granted.sources
        if len(filters) > MOST_FILTERS:
            raise _refusal("too many filters", Result.EXCESSIVE_REMOTE_PEERS)
        return filters

    def _delete(
        self, untrusted_data: bytes, request: MapRequest, epoch: int, now: float
    ) -> bytes:
        """Delete what is asked for; what is not there is deleted already (15.1).

        All ports, and all protocols, stand for all mappings that have the nonce. One of
        all ports at once, which the RFC has in mind, there never is.
        """
        holder = Holder(Via.PCP, request.nonce)
        transport = PROTOCOLS.get(request.protocol)
        if request.protocol == 0:
            self._delete_all(Transport.TCP, holder)
            self._delete_all(Transport.UDP, holder)
        elif transport is not None and request.internal == 0:
            self._delete_all(transport, holder)
        elif transport is not None:
            key = Key(transport, request.internal)
            if not self._table.release(key, holder):
                lifetime = self._table.time_left(key, now)
                return encode_error(
                    untrusted_data,
                    Result.NOT_AUTHORIZED,
                    lifetime,
                    epoch,
                    is_parsed=True,
                )
            self.waiting.take(key)
        # Port and address come back as they were suggested.
        external, address = request.suggested, request.address
        return encode_map_response(_answer(request, 0, epoch, external, address))

    def _delete_all(self, transport: Transport, holder: Holder) -> None:
        self.waiting.forget_all(transport, holder)
        self._table.release_all(transport, holder)

    def update(
        self, event: Withdrawn, outside: Address | None, epoch: int
    ) -> list[Datagram]:
        """Return what tells the holders that a mapping ended before its time (14.2)."""
        if outside is None:
            return []
        return [
            (_encode_end(event, holder.nonce, outside, epoch), port)
            for holder in event.holders
            if (port := self._ports.get((event.key, holder))) is not None
        ]


def _encode_end(event: Withdrawn, nonce: bytes, outside: Address, epoch: int) -> bytes:
    return encode_map_response(
        MapResponse(
            Result.NOT_AUTHORIZED,
            LONG_LIVED,
            epoch,
            nonce,
            NUMBERS[event.key.transport],
            event.key.inner,
            event.outer,
            outside,
        )
    )


def _answer(
    request: MapRequest, lifetime: int, epoch: int, external: int, address: Address
) -> MapResponse:
    return MapResponse(
        Result.SUCCESS,
        lifetime,
        epoch,
        request.nonce,
        request.protocol,
        request.internal,
        external,
        address,
    )


def _result_of(refused: Refused, exact: bool) -> Result:
    """Return the code for a refusal: a conflict is for requests of one port (7.4)."""
    if refused.reason is Reason.CONFLICT and not exact:
        return Result.NO_RESOURCES
    return _RESULTS[refused.reason]


def _refusal(why: str, result: Result) -> MalformedRequest:
    return MalformedRequest(why, result, is_parsed=True)
