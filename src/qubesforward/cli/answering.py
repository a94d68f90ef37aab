# SPDX-License-Identifier: GPL-2.0-or-later
"""Saying yes or no to what a program asks for, and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence

from qubesforward.cli.console import Console
from qubesforward.cli.exits import DONE, REFUSED, UsageError
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.reaching import describe_extent
from qubesforward.cli.request import Request, decode_requests, format_port
from qubesforward.cli.requests import find_request
from qubesforward.cli.sentences import (
    When,
    describe_silence,
    explain_forwards,
    format_outer,
    group_by_source,
    join_words,
    unique,
)
from qubesforward.cli.status import ForwardStatus, State, Status, decode_status
from qubesforward.cli.waiting import wait_until


def grant(
    console: Console, firewall: Firewall, qube: str, request_id: str, scope: str
) -> int:
    """Say yes: `once`, until `reboot` or `always`; return the exit status."""
    request = _find(firewall, qube, request_id)
    firewall.grant(request.qube, request.id, scope)
    more = _describe_scope(request.qube, scope)
    if console.quiet:
        return DONE
    answers: list[bytes] = []

    def ask() -> Status:
        answers.append(firewall.status(request.qube))
        return decode_status(answers[-1])

    status = wait_until(lambda status: _is_open(status, request), ask)
    console.answer(answers[-1])
    forwards = _find_mappings(status, request)
    if not forwards:
        console.say(
            f"Granted, but port {format_port(request)} is not open for {request.qube}:"
            " the program has given up, or no port is free that it may have. If it"
            f" asks again within a minute it gets one.{more}"
        )
        return REFUSED
    for group in group_by_source(forwards):
        told = explain_forwards(group, request.qube, console.now, When.FROM_NOW)
        silence = describe_silence(group[0], request.qube)
        but = f"But {silence}." if silence else ""
        console.say(" ".join(filter(None, [told, describe_extent(group[0]), but])))
    console.say(_describe_end(request.qube, forwards) + more)
    return DONE


def _find(firewall: Firewall, qube: str, request_id: str) -> Request:
    if not (request_id.isascii() and request_id.isalnum()):
        raise UsageError(f"{request_id[:16]!a}: not the ID of a request")
    requests = decode_requests(firewall.requests(qube or COMPUTER))
    return find_request(requests, request_id.lower())


def _find_mappings(status: Status, request: Request) -> list[ForwardStatus]:
    return [
        forward
        for forward in status.find_qube(request.qube).forwards
        if forward.is_mapping
        and forward.rule.inner_ports.first == request.inner
        and forward.rule.proto in request.protos
    ]


def _is_open(status: Status, request: Request) -> bool:
    found = _find_mappings(status, request)
    open_protos = {each.rule.proto for each in found if each.state is State.ACTIVE}
    return open_protos >= set(request.protos)


def _describe_end(qube: str, forwards: Sequence[ForwardStatus]) -> str:
    ports = unique(format_outer(forward.rule) for forward in forwards)
    outers = unique(forward.rule.srcports.short for forward in forwards)
    if len(outers) == 1:
        # Without a protocol it is all that have the port.
        ports = outers
    closing = " ".join(f"--close {port}" for port in ports)
    return (
        f"It stays open as long as the program of {qube} renews it; to close it:"
        f" qvm-forward {qube} {closing}."
    )


def _describe_scope(qube: str, scope: str) -> str:
    said = f" What else programs of {qube} ask for they get unasked"
    if scope == "reboot":
        return f"{said} until the computer restarts, or you close a port of theirs."
    if scope == "always":
        change = f"qvm-forward {qube} --portmap ask"
        return f"{said} from now on; to be asked again: {change}"
    return ""


def deny(
    console: Console, firewall: Firewall, qube: str, request_id: str, scope: str
) -> int:
    """Say no: `once` or `never`; return the exit status."""
    request = _find(firewall, qube, request_id)
    firewall.deny(request.qube, request.id, scope)
    qube, protos = request.qube, join_words(list(request.protos))
    said = f"The program of {qube} does not get {protos} port {request.inner}."
    if scope == "never":
        said += (
            f" Nor does any program of {qube} get one from now on, and what they had is"
            f" closed; to change that: qvm-forward {qube} --portmap ask"
        )
    else:
        said += (
            f" You are not asked again for {qube} for a minute, and longer after each"
            f" no; to be asked never: qvm-forward {qube} --portmap off"
        )
    console.say(said)
    return DONE
