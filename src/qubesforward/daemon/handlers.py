# SPDX-License-Identifier: GPL-2.0-or-later
"""The Admin API calls that qubes-forwardd serves (design, section 5).

A change is answered when it is stored and published. Whether the hops have it too
is asked with Status.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager

from qubesforward.daemon.announcer import Announcer
from qubesforward.daemon.diagnose import Diagnoser, take_client
from qubesforward.daemon.edges import Edges
from qubesforward.daemon.hops import Hops
from qubesforward.daemon.ledger import Ledger
from qubesforward.daemon.payloads import parse_addition, parse_forwards, parse_payload
from qubesforward.daemon.portmap import PortmapDesk
from qubesforward.daemon.reconciler import Reconciler, together
from qubesforward.daemon.requests import Requests
from qubesforward.daemon.rules import Rules
from qubesforward.daemon.status import (
    Fields,
    describe_edge,
    describe_forward,
    describe_hop,
)
from qubesforward.daemon.topology import Topology
from qubesforward.errors import (
    Conflict,
    ForwardError,
    InvalidRule,
    NotOurs,
    Unavailable,
    UnknownQube,
)
from qubesforward.model.rule import ForwardRule, Rule
from qubesforward.model.text import format_rule
from qubesforward.plan.planner import Outcome, Plan, Verdict
from qubesforward.plan.snapshot import Qube
from qubesforward.qubes.admin_server import AdminException, Call, Refused
from qubesforward.qubes.paths import QUBESD_SOCKET
from qubesforward.qubes.setting import Setting

REPORT_PATIENCE = 0.2
"""Seconds that Status waits for counters: a listing must not hang on a dead agent."""

START_PATIENCE = 5.0
"""Seconds that a call waits for a daemon that is starting."""

_NOWHERE = ("", "dom0")

_Handler = Callable[[Call], Awaitable[bytes]]


class Handlers:
    """Answers calls; `handle` is what the server is given."""

    def __init__(
        self,
        rules: Rules,
        topology: Topology,
        hops: Hops,
        reconciler: Reconciler,
        announcer: Announcer,
        ledger: Ledger,
        diagnoser: Diagnoser,
        desk: PortmapDesk,
        edges: Edges,
        requests: Requests,
        setting: Setting = Setting.INTEGRATED,
    ) -> None:
        self._rules = rules
        self._topology = topology
        self._hops = hops
        self._reconciler = reconciler
        self._announcer = announcer
        self._ledger = ledger
        self._diagnoser = diagnoser
        self._desk = desk
        self._edges = edges
        self._requests = requests
        self._calls: dict[tuple[str, str], _Handler] = {
            ("admin.vm.firewall.Get", ""): self._get,
            ("admin.vm.firewall.Set", ""): self._set,
            ("admin.vm.firewall.Reload", ""): self._reload,
            ("admin.vm.firewall.Reload", "forward"): self._reload,
            ("admin.vm.firewall.Get", "forward"): self._get_forwards,
            ("admin.vm.firewall.Set", "forward"): self._set_forwards,
            ("admin.vm.firewall.Add", "forward"): self._add_forwards,
            ("admin.vm.firewall.Remove", "forward"): self._remove_forwards,
            ("admin.vm.firewall.Plan", "forward"): self._plan,
            ("admin.vm.firewall.Status", "forward"): self._status,
            ("admin.vm.firewall.Confirm", "forward"): self._confirm,
            ("admin.vm.firewall.Log", "forward"): self._log,
            ("admin.vm.firewall.Diagnose", "forward"): self._diagnose,
            ("admin.vm.firewall.Requests", "forward"): self._list_requests,
            ("admin.vm.firewall.Grant", "forward"): self._grant,
            ("admin.vm.firewall.Deny", "forward"): self._deny,
        }
        if setting is Setting.BESIDE:
            for verb in ("Get", "Set", "Reload"):
                self._calls[f"admin.vm.firewall.{verb}", ""] = self._leave_to_qubesd

    async def handle(self, call: Call) -> bytes:
        """Answer one call; what goes wrong becomes an exception of the Admin API."""
        handler = self._calls.get((call.method, call.arg))
        if handler is None:
            raise Refused(f"no such call: {call.method}+{call.arg}")
        try:
            await self._wait_known()
            return await handler(call)
        except UnknownQube as error:
            self._ledger.note_denied(call, str(error))
            raise AdminException("QubesVMNotFoundError", "%s", str(error)) from error
        except ForwardError as error:
            self._ledger.note_denied(call, str(error))
            raise AdminException(type(error).__name__, "%s", str(error)) from error
        except OSError as error:
            reason = f"cannot store the rules: {error.strerror}"
            self._ledger.note_denied(call, reason)
            raise AdminException("StorageError", "%s", reason) from error

    async def _wait_known(self) -> None:
        try:
            async with asyncio.timeout(START_PATIENCE):
                await self._topology.known.wait()
        except TimeoutError:
            raise Unavailable(
                "qubesd has not told the qubes yet; is it running?"
            ) from None

    async def _qube(self, call: Call) -> Qube:
        if call.dest == "dom0":
            raise UnknownQube("dom0 has no network, and no firewall; name a qube")
        return await self._topology.find(call.dest)

    async def _leave_to_qubesd(self, call: Call) -> bytes:
        raise NotOurs(
            f"{call.method}: outbound rules are kept by qubesd, which answers this at"
            f" {QUBESD_SOCKET}; qubes-forwardd has {call.method}+forward"
        )

    async def _get(self, call: Call) -> bytes:
        _refuse_payload(call)
        rules = self._rules.get_outbound(
            await self._qube(call), self._topology.snapshot
        )
        return _join(rules)

    async def _set(self, call: Call) -> bytes:
        qube = await self._qube(call)
        outbound = []
        for rule in parse_payload(call.payload):
            if isinstance(rule, ForwardRule):
                raise InvalidRule(
                    "action=forward: this call sets outbound rules; forwards are set"
                    " with admin.vm.firewall.Set+forward"
                )
            outbound.append(rule)
        self._rules.set_outbound(qube, outbound)
        await self._settle(qube)
        return b""

    async def _reload(self, call: Call) -> bytes:
        _refuse_payload(call)
        qube = await self._qube(call)
        self._rules.forget(qube.name)
        await self._settle(qube)
        return b""

    async def _get_forwards(self, call: Call) -> bytes:
        _refuse_payload(call)
        return _join(self._rules.load(await self._qube(call)).rules.forwards)

    async def _set_forwards(self, call: Call) -> bytes:
        qube = await self._qube(call)
        forwards = parse_forwards(call.payload)
        after = self._rules.with_only(qube, forwards)
        with self._changing(call, qube, after):
            self._rules.store_own(qube, after)
        await self._settle(qube)
        return b""

    async def _add_forwards(self, call: Call) -> bytes:
        qube = await self._qube(call)
        wanted = parse_addition(call.payload)
        if not wanted.forwards:
            raise InvalidRule("no rule given; send one rule a line")
        if wanted.is_import:
            return await self._import_forwards(call, qube, wanted.forwards)
        self._require_confirmed(qube)
        forwards = self._rules.with_added(qube, wanted.forwards, wanted.instead)
        if not wanted.force:
            self._refuse_conflicts(qube, wanted.forwards, forwards)
        with self._changing(call, qube, forwards):
            self._rules.store_forwards(qube, forwards)
        await self._settle(qube)
        return b""

    async def _import_forwards(
        self, call: Call, qube: Qube, imported: Sequence[ForwardRule]
    ) -> bytes:
        before = self._rules.load(qube).rules.forwards
        after = self._rules.with_imported(qube, imported)
        if len(after) > len(before):
            with self._ledger.changing(call, before, after):
                self._rules.store_forwards(qube, after)
            await self._settle(qube)
        return b""

    def _require_confirmed(self, qube: Qube) -> None:
        rules = self._rules.load(qube).rules
        if not self._rules.is_confirmed(qube, rules):
            raise Conflict(
                f"the forwards of {qube.name} came with a copy of another qube;"
                f" activate them with 'qvm-firewall {qube.name} confirm' or remove"
                f" them with 'qvm-forward {qube.name} --close-all' first"
            )

    def _refuse_conflicts(
        self, qube: Qube, added: Sequence[ForwardRule], forwards: Sequence[ForwardRule]
    ) -> None:
        plan = self._reconciler.try_plan({qube.name: tuple(forwards)})
        for outcome in _outcomes_of(plan, qube, added):
            if outcome.verdict is Verdict.CONFLICT:
                raise Conflict(
                    f"{outcome.reason}; choose another outer port, or add it with"
                    " --force to have it wait for the port"
                )

    async def _remove_forwards(self, call: Call) -> bytes:
        qube = await self._qube(call)
        asked = parse_forwards(call.payload)
        before = self._rules.load(qube).rules.forwards
        closed = self._desk.close(qube, asked, call.source)
        removed = [rule for rule in asked if rule in before or rule.place not in closed]
        left = [rule for rule in before if rule not in removed]
        with self._ledger.changing(call, before, left):
            self._rules.remove_forwards(qube, removed)
        await self._settle(qube)
        return b""

    async def _confirm(self, call: Call) -> bytes:
        _refuse_payload(call)
        qube = await self._qube(call)
        before, after = self._rules.load(qube).rules, self._rules.with_confirmed(qube)
        is_own = self._rules.is_confirmed(qube, before)
        if not is_own or any(rule.is_waiting for rule in before.forwards):
            with self._changing(call, qube, after):
                self._rules.store_own(qube, after)
        await self._settle(qube)
        return b""

    def _changing(
        self, call: Call, qube: Qube, after: Sequence[ForwardRule]
    ) -> AbstractContextManager[None]:
        before = self._rules.load(qube).rules
        is_confirmed = self._rules.is_confirmed(qube, before)
        return self._ledger.changing(
            call, before.forwards, after, is_confirmed=is_confirmed
        )

    async def _log(self, call: Call) -> bytes:
        return _encode(await self._ledger.read(call))

    async def _diagnose(self, call: Call) -> bytes:
        qube = await self._qube(call)
        lines, client = take_client(call.payload)
        told = await self._diagnoser.diagnose(qube, parse_forwards(lines), client)
        described = self._describe_qube(qube.name, ())
        return _encode({**described, "forwards": told})

    async def _list_requests(self, call: Call) -> bytes:
        _refuse_payload(call)
        name = "" if call.dest in _NOWHERE else (await self._qube(call)).name
        return _encode(self._requests.list(name))

    async def _grant(self, call: Call) -> bytes:
        await self._requests.grant(call)
        return b""

    async def _deny(self, call: Call) -> bytes:
        await self._requests.deny(call)
        return b""

    async def _settle(self, qube: Qube) -> None:
        await self._reconciler.settle()
        self._announcer.announce(qube.name, "firewall-changed")

    async def _plan(self, call: Call) -> bytes:
        qube = await self._qube(call)
        wanted = parse_addition(call.payload)
        added = wanted.forwards
        self._require_confirmed(qube)
        forwards = self._rules.with_added(qube, added, wanted.instead)
        plan = self._reconciler.try_plan({qube.name: forwards})
        snapshot = self._topology.snapshot
        described = []
        for outcome in _outcomes_of(plan, qube, added):
            fields = describe_forward(outcome, snapshot, self._hops.open)
            if outcome.verdict is Verdict.READY:
                fields |= {"state": "active", "reason": ""}
            described.append(fields)
        return _encode({"forwards": described, "hops": self._hop_fields(plan)})

    async def _status(self, call: Call) -> bytes:
        _refuse_payload(call)
        names = set(self._topology.snapshot)
        if call.dest not in _NOWHERE:
            names = {(await self._qube(call)).name}
        plan = self._reconciler.plan
        outcomes = [o for o in plan.outcomes if o.asked.target in names]
        await self._ask_hops({step.qube for o in outcomes for step in o.steps})
        names &= set(self._topology.snapshot)  # some may be gone by now
        qubes = [self._describe_qube(name, outcomes) for name in sorted(names)]
        told = [fields for fields in qubes if fields is not None]
        hops, problem = self._hop_fields(plan), self._ledger.problem
        return _encode({"qubes": told, "hops": hops, "audit": problem})

    async def _ask_hops(self, names: set[str]) -> None:
        token = secrets.token_hex(8)
        hops = (self._hops.open[name] for name in names if name in self._hops.open)
        await together(
            hop.ask(token, REPORT_PATIENCE) for hop in hops if hop.has_answered
        )

    def _describe_qube(self, name: str, outcomes: Sequence[Outcome]) -> Fields:
        snapshot = self._topology.snapshot
        loaded = self._rules.load(snapshot[name])
        confirmed = self._rules.is_confirmed(snapshot[name], loaded.rules)
        vias = self._desk.list_vias(name)
        forwards = [
            describe_forward(outcome, snapshot, self._hops.open)
            | describe_edge(outcome, self._edges)
            | {"via": vias.get(outcome.asked.rule.place, [])}
            for outcome in outcomes
            if outcome.asked.target == name
        ]
        return {
            "name": name,
            "unconfirmed": not confirmed,
            "problem": loaded.problem,
            "cone": self._reconciler.refused_cones.get(name, ""),
            "forwards": forwards,
            "unreadable": [rule.reason for rule in loaded.rules.unreadable],
        }

    def _hop_fields(self, plan: Plan) -> list[Fields]:
        names = {step.qube for outcome in plan.outcomes for step in outcome.steps}
        # Whoever closed a forward must still see the hop that has not shut it.
        names |= {
            name
            for name, hop in self._hops.open.items()
            if hop.generation and not hop.has_answered
        }
        snapshot = self._topology.snapshot
        # Nor can be told what a hop has that cannot be read.
        names |= {
            qube.name
            for qube in snapshot.values()
            if qube.running and qube.agent and qube.name not in self._hops.open
        }
        return [describe_hop(n, snapshot, self._hops.open) for n in sorted(names)]


def _outcomes_of(plan: Plan, qube: Qube, rules: Sequence[ForwardRule]) -> list[Outcome]:
    return [
        outcome
        for outcome in plan.outcomes
        if outcome.asked.target == qube.name and outcome.asked.rule in rules
    ]


def _join(rules: Sequence[Rule]) -> bytes:
    return "".join(f"{format_rule(rule)}\n" for rule in rules).encode("ascii")


def _encode(fields: Fields) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode("utf-8")


def _refuse_payload(call: Call) -> None:
    if call.payload:
        raise Refused(f"{call.method}: takes no payload")
