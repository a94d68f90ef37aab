# SPDX-License-Identifier: GPL-2.0-or-later
"""One question of a program of a qube, as data and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from qubesforward.cli.durations import format_duration
from qubesforward.cli.reaching import name_protocols, quote_words
from qubesforward.cli.reading import Reader, decode_object
from qubesforward.cli.sentences import join_words
from qubesforward.model.rule import Reach


@dataclass(frozen=True, slots=True)
class Request:
    """One question: a program of `qube` wants others to reach its port `inner`.

    `protos` are the protocols with the outer ports that it wishes for (0: any), `vias`
    by which protocols it asked. `name` is what it calls this. `until` is in seconds
    since 1970: then it gets a no. `reach` is how far out goes what it would be granted.
    """

    id: str
    qube: str
    inner: int
    protos: Mapping[str, int]
    vias: tuple[str, ...]
    name: str
    until: int
    reach: Reach = Reach.LAN


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
        reach=reader.choice("reach", Reach, Reach.LAN),
    )


def format_port(request: Request) -> str:
    """Write the port that is asked for: ``51413/tcp+udp``."""
    return f"{request.inner}/{'+'.join(request.protos)}"


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
