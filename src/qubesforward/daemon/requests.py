# SPDX-License-Identifier: GPL-2.0-or-later
"""The calls by which the user sees and answers what programs of qubes ask for.

| call | payload | |
|---|---|---|
| `….Requests+forward` | | the open requests, as JSON |
| `….Grant+forward` | `ID`, and perhaps `once`, `reboot` or `always` | yes |
| `….Deny+forward` | `ID`, and perhaps `once` or `never` | no |

An answer that is for good becomes the feature `portmap` of the qube.
"""

from __future__ import annotations

from qubesforward.daemon.consent import Question, Scope
from qubesforward.daemon.features import PORTMAP
from qubesforward.daemon.portmap import PortmapDesk
from qubesforward.daemon.status import Fields
from qubesforward.errors import InvalidRule
from qubesforward.qubes.admin_async import AsyncAdminClient
from qubesforward.qubes.admin_server import Call

_LONGEST = 40
_GRANTS = (Scope.ONCE, Scope.REBOOT, Scope.ALWAYS)
_DENIALS = (Scope.ONCE, Scope.NEVER)


class Requests:
    """Answers those calls; `client` is where features are set."""

    def __init__(self, desk: PortmapDesk, client: AsyncAdminClient) -> None:
        self._desk = desk
        self._client = client

    def list(self, qube: str) -> Fields:
        """Return the open requests of a qube; of all for an empty name."""
        found = [q for q in self._desk.consent.questions if qube in ("", q.qube)]
        return {
            "requests": [
                {**_describe(each), "reach": str(self._desk.questions.find_reach(each))}
                for each in found
            ]
        }

    async def grant(self, call: Call) -> None:
        """Say yes; raises `NoSuchRequest`, `InvalidRule`."""
        question_id, scope = self._parse(call, _GRANTS)
        question = self._desk.grant(question_id, scope, call.source)
        if scope is Scope.ALWAYS:
            await self._set_feature(question.qube, b"allow")

    async def deny(self, call: Call) -> None:
        """Say no; raises `NoSuchRequest`, `InvalidRule`."""
        question_id, scope = self._parse(call, _DENIALS)
        question = self._desk.questions.deny(question_id, call.source)
        if scope is Scope.NEVER:
            await self._set_feature(question.qube, b"")

    def _parse(self, call: Call, scopes: tuple[Scope, ...]) -> tuple[str, Scope]:
        untrusted_text = call.payload[:_LONGEST].decode("ascii", "replace")
        question_id, _, untrusted_scope = untrusted_text.strip().partition(" ")
        if untrusted_scope not in ("", *scopes):
            raise InvalidRule(f"{untrusted_scope!a}: give one of {', '.join(scopes)}")
        # Who may answer for one qube may not for another.
        if call.dest not in ("", "dom0"):
            self._desk.consent.require(question_id, call.dest)
        return question_id, Scope(untrusted_scope or Scope.ONCE)

    async def _set_feature(self, qube: str, value: bytes) -> None:
        await self._client.call("admin.vm.feature.Set", qube, PORTMAP, value)


def _describe(question: Question) -> Fields:
    return {
        "id": question.id,
        "qube": question.qube,
        "inner": question.inner,
        "protos": {str(proto): outer for proto, outer in question.protos.items()},
        "via": sorted(question.vias),
        "name": question.name,
        "asked": int(question.asked),
        "until": int(question.until),
    }
