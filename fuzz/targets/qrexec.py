# SPDX-License-Identifier: GPL-2.0-or-later
"""What a qube calls with in the lab, and the policy that decides about it."""

from __future__ import annotations

from fuzz.target import Target
from qubesforward.errors import LabError, MalformedMessage
from qubesforward.lab.qrexec.messages import decode_request
from qubesforward.lab.qrexec.policy import (
    Allowed,
    QubeInfo,
    Request,
    evaluate,
    parse_policy,
)

_SYSTEM = {
    "dom0": QubeInfo("AdminVM", frozenset(), running=True),
    "work": QubeInfo("AppVM", frozenset(("chosen",)), running=True),
    "vault": QubeInfo("AppVM", frozenset(), running=False),
}

_POLICY = (
    b"# comment\n* * @tag:chosen @type:AppVM deny notify=no\n"
    b"s +a work @anyvm allow target=@adminvm\n"
    b"s * @anyvm @default ask target=vault default_target=vault user=root\n"
    b"qubes.PortMapping * @anyvm @adminvm allow autostart=no\n"
    b"s * @dispvm:vault @dispvm:@tag:chosen allow\ns * work vault allow\n"
)


def _decode_request(data: bytes) -> str:
    request = decode_request(data, "work")
    assert request.source == "work"
    assert "/" not in request.service + request.argument
    verdict = evaluate(parse_policy(_POLICY.decode(), "f"), request, _SYSTEM)
    return f"{type(verdict).__name__} {len(request.argument) > 1}"


def _parse_policy(data: bytes) -> str:
    rules = parse_policy(data.decode("latin-1"), "f")
    verdict = evaluate(rules, Request("s", "+", "work", "vault"), _SYSTEM)
    assert not isinstance(verdict, Allowed) or verdict.target in _SYSTEM
    return f"{[rule.action for rule in rules[:4]]} {type(verdict).__name__}"


TARGETS = (
    Target(
        "qrexec-request",
        _decode_request,
        (MalformedMessage,),
        (b"qubes.PortMapping+arg @adminvm", b"s vault", b"s+ "),
        (b"@default", b"@dispvm:", b"+", b" ", b"\0"),
    ),
    Target(
        "qrexec-policy",
        _parse_policy,
        (LabError,),
        (_POLICY, *_POLICY.splitlines()),
        (b"@anyvm", b"@tag:", b"@dispvm:@tag:", b" allow", b"target=", b"!include"),
    ),
)
