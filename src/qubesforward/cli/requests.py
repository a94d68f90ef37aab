# SPDX-License-Identifier: GPL-2.0-or-later
"""What programs of qubes ask for, and nobody has answered yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qubesforward.cli.console import Console
from qubesforward.cli.durations import format_duration
from qubesforward.cli.exits import DONE
from qubesforward.cli.firewall import COMPUTER, Firewall
from qubesforward.cli.policy import read_reach
from qubesforward.cli.reaching import name_protocols, quote_words
from qubesforward.cli.reading import Reader, decode_object
from qubesforward.cli.sentences import join_words
from qubesforward.cli.table import (
    NOTHING,
    Screen,
    format_paragraph,
    format_table,
)
from qubesforward.errors import ForwardError
from qubesforward.model.rule import Reach

_HEADER = ("REQUEST", "QUBE", "PORT", "AS PORT", "ASKED BY", "OPEN FOR", "ITS WORDS")


@dataclass(frozen=True, slots=True)
class Request:
    """One question: a program of `qube` wants others to reach its port `inner`.

    `protos` are the protocols with the outer ports that it wishes for (0: any), `vias`
    by which protocols it asked. `name` is what it calls this. `until` is in seconds
    since 1970: then it gets a no.
    """

    id: str
    qube: str
    inner: int
    protos: Mapping[str, int]
    vias: tuple[str, ...]
    name: str
    until: int


def decode_requests(data: bytes) -> list[Request]:
    """Read a ``Requests+forward`` answer; raise `MalformedMessage` if it is none."""
    return list(decode_object(data, "requests").items("requests", _decode_request))


def _decode_request(reader: Reader) -> Request:
    return Request(
        id=reader.text("id"),
        qube=reader.text("qube"),
        inner=reader.number("inner"),
        protos=dict(sorted(reader.numbers("protos").items())),
        vias=reader.texts("via"),
        name=reader.text("name"),
        until=reader.number("until"),
    )


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


def format_port(request: Request) -> str:
    """Write the port that is asked for: ``51413/tcp+udp``."""
    return f"{request.inner}/{'+'.join(request.protos)}"


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


def describe_request(request: Request, reach: str, now: int) -> str:
    """Say in sentences what a request means; `reach` is how far out it would go."""
    qube, vias = request.qube, name_protocols(request.vias)
    by = f" by {join_words(vias)}" if vias else ""
    who = "the LAN"
    if reach == Reach.INTERNET:
        who = "the LAN, and the internet if the router agrees,"
    protos = " and ".join(request.protos)
    said = (
        f"{request.id}: a program of {qube} asks{by} that {who} can reach {protos} port"
        f" {request.inner} of {qube}{_describe_outer(request)}."
    )
    if request.name:
        said += (
            f" It calls this {quote_words(request.name)}: its own words, which anybody"
            " could have chosen."
        )
    left = format_duration(request.until - now)
    return f"{said} Unless you answer within {left}, it gets a no."


def _describe_outer(request: Request) -> str:
    outers = {proto: outer for proto, outer in request.protos.items() if outer}
    if not outers:
        return ""
    if len(set(outers.values())) == 1 and len(outers) == len(request.protos):
        (outer,) = set(outers.values())
        return f", as port {outer} if that is free"
    named = join_words([f"{proto} port {outer}" for proto, outer in outers.items()])
    return f", as {named} if that is free"


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
