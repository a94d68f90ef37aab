# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs of qubes ask for, and nobody has answered yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qubesforward.cli.console import Console
from qubesforward.cli.durations import format_duration
from qubesforward.cli.exits import DONE
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.policy import read_reach
from qubesforward.cli.reaching import name_protocols, quote_words
from qubesforward.cli.request import (
    Request,
    decode_requests,
    describe_request,
    format_port,
)
from qubesforward.cli.sentences import join_words
from qubesforward.cli.table import (
    NOTHING,
    Screen,
    format_paragraph,
    format_table,
)
from qubesforward.errors import ForwardError

_HEADER = ("REQUEST", "QUBE", "PORT", "AS PORT", "ASKED BY", "OPEN FOR", "ITS WORDS")


def list_requests(console: Console, firewall: Firewall, qube: str) -> int:
    """Tell what programs ask for, of a qube or of the computer."""
    data = firewall.requests(qube or COMPUTER)
    requests = decode_requests(data)
    console.answer(data)
    if not requests:
        console.say(f"No program{f' of {qube}' if qube else ''} asks for a port.")
        return DONE
    if not console.json:
        told = format_requests(requests, read_reaches(firewall, requests), console)
        console.show(told)
    return DONE


def read_reaches(firewall: Firewall, requests: Sequence[Request]) -> dict[str, str]:
    """Return, by qube, how far out goes what its programs would be granted."""
    names = {request.qube for request in requests}
    return {name: read_reach(firewall, name) for name in names}


def format_requests(
    requests: Sequence[Request], reaches: Mapping[str, str], console: Console
) -> str:
    """Write a table of requests, and what each of them means."""
    rows = [_request_row(request, console.now) for request in requests]
    text = format_table(_HEADER, rows, console.screen)
    for request in requests:
        text += "\n" + format_request(request, reaches, console.now, console.screen)
    return text


def _request_row(request: Request, now: int) -> list[str]:
    outers = dict.fromkeys(map(_format_outer, request.protos.values()))
    return [
        request.id,
        request.qube,
        format_port(request),
        " or ".join(outers),
        ", ".join(name_protocols(request.vias)),
        format_duration(request.until - now),
        quote_words(request.name) if request.name else NOTHING,
    ]


def _format_outer(outer: int) -> str:
    return str(outer) if outer else "any"


def format_request(
    request: Request, reaches: Mapping[str, str], now: int, screen: Screen
) -> str:
    """Say what a request means, and how it is answered."""
    lines = [
        f"  yes: qvm-forward --grant {request.id}  (for this port; all that"
        f" {request.qube} asks for: --until-reboot, --for-good)",
        f"  no:  qvm-forward --deny {request.id}   (and no more questions of"
        f" {request.qube}: --for-good)",
    ]
    told = describe_request(request, reaches.get(request.qube, ""), now)
    return format_paragraph(told, screen) + "".join(f"{line}\n" for line in lines)


def find_request(requests: Sequence[Request], beginning: str) -> Request:
    """Return the one request whose ID begins like this; or raise `ForwardError`."""
    found = [request for request in requests if request.id.startswith(beginning)]
    if len(found) == 1:
        return found[0]
    if found:
        ids = join_words([request.id for request in found])
        raise ForwardError(f"{beginning}: {ids} begin like this; type more of it")
    hint = "no request is open now"
    if requests:
        ids = join_words([request.id for request in requests])
        hint = f"open: {ids} (qvm-forward --requests says what they mean)"
    raise ForwardError(
        f"there is no open request {beginning[:16]!a}: it was answered, its time is"
        f" over, or the program gave up; {hint}"
    )
