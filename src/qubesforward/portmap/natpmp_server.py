# SPDX-License-Identifier: GPL-2.0-or-later
"""The answers of a NAT-PMP server to one client: RFC 6886."""

from __future__ import annotations

from ipaddress import IPv4Address

from qubesforward.portmap.errors import MalformedRequest
from qubesforward.portmap.mapping import (
    Granted,
    Holder,
    Key,
    Pending,
    Reason,
    Via,
    Wish,
)
from qubesforward.portmap.natpmp_wire import (
    AddressRequest,
    AddressResponse,
    MapRequest,
    MapResponse,
    Result,
    decode_request,
    encode_refusal,
    encode_response,
)
from qubesforward.portmap.table import Table
from qubesforward.portmap.waiting import Waiting

HOLDER = Holder(Via.NATPMP)

_RESULTS = {
    Reason.DENIED: Result.NOT_AUTHORIZED,
    Reason.CONFLICT: Result.OUT_OF_RESOURCES,
    Reason.QUOTA: Result.OUT_OF_RESOURCES,
    Reason.NOT_YOURS: Result.NOT_AUTHORIZED,
    Reason.NETWORK: Result.NETWORK_FAILURE,
}


class NatPmpServer:
    """Answers what one client asks. `longest`: seconds that a mapping lives at most."""

    def __init__(self, table: Table, longest: int) -> None:
        self._table = table
        self._longest = longest
        self.waiting = Waiting()

    def receive(
        self,
        untrusted_data: bytes,
        port: int,
        outside: IPv4Address | None,
        epoch: int,
        now: float,
    ) -> bytes | None:
        """Return the answer to a datagram; None: say nothing, or nothing yet."""
        try:
            request = decode_request(untrusted_data)
        except MalformedRequest as error:
            if error.result is None:
                return None
            return encode_refusal(untrusted_data, error.result, epoch)
        if isinstance(request, AddressRequest):
            return encode_address(outside, epoch)
        if request.lifetime == 0:
            return self._delete(request, epoch)
        if request.internal == 0:
            return _refuse(request, Result.NOT_AUTHORIZED, epoch)
        if outside is None:
            return _refuse(request, Result.NETWORK_FAILURE, epoch)
        key = Key(request.transport, request.internal)
        lifetime = min(request.lifetime, self._longest)
        reply = self._table.ask(Wish(key, HOLDER, request.suggested, lifetime), now)
        if isinstance(reply, Pending):
            self.waiting.put(key, HOLDER, (untrusted_data, port))
            return None
        self.waiting.take(key)
        if not isinstance(reply, Granted):
            return _refuse(request, _RESULTS[reply.reason], epoch)
        # Never more than was asked for (3.3), though the table rounds up.
        lifetime = min(reply.lifetime, lifetime)
        return _answer(request, Result.SUCCESS, epoch, reply.outer, lifetime)

    def _delete(self, request: MapRequest, epoch: int) -> bytes:
        if request.internal:
            key = Key(request.transport, request.internal)
            self.waiting.take(key)
            is_done = self._table.release(key, HOLDER)
        else:
            self.waiting.forget_all(request.transport, HOLDER)
            is_done = self._table.release_all(request.transport, HOLDER)
        if not is_done:
            return _refuse(request, Result.NOT_AUTHORIZED, epoch)
        # What was not there is deleted as well: 3.4.
        return _answer(request, Result.SUCCESS, epoch, 0, 0)


def encode_address(outside: IPv4Address | None, epoch: int) -> bytes:
    """Encode an answer with the outside address, also as an announcement."""
    if outside is None:
        nowhere = AddressResponse(Result.NETWORK_FAILURE, epoch, IPv4Address(0))
        return encode_response(nowhere)
    return encode_response(AddressResponse(Result.SUCCESS, epoch, outside))


def _refuse(request: MapRequest, result: Result, epoch: int) -> bytes:
    return _answer(request, result, epoch, 0, 0)


def _answer(
    request: MapRequest, result: Result, epoch: int, external: int, lifetime: int
) -> bytes:
    transport, internal = request.transport, request.internal
    return encode_response(
        MapResponse(transport, result, epoch, internal, external, lifetime)
    )
