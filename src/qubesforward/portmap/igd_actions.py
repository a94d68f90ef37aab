# SPDX-License-Identifier: GPL-2.0-or-later
"""What the actions of the gateway's services do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address

from qubesforward.portmap.igd_mappings import (
    Entry,
    Mappings,
    parse_number,
    parse_range,
    parse_remote,
    parse_transport,
    parse_wish,
)
from qubesforward.portmap.igd_services import CONNECTION, Service
from qubesforward.portmap.mapping import Key
from qubesforward.portmap.soap import Arguments, Call, Fault, Markup
from qubesforward.portmap.ssdp import Device
from qubesforward.portmap.xml_reader import escape

MAX_LISTED = 256
"""Mappings in one answer of GetListOfPortMappings: some 100 KB. Others follow from
asking again with a later first port."""

_LISTING = "urn:schemas-upnp-org:gw:WANIPConnection"


@dataclass(frozen=True, slots=True)
class Waiting:
    """An action that cannot be answered before this key is settled."""

    key: Key


@dataclass(frozen=True, slots=True)
class _Job:
    untrusted: dict[str, str]
    version: int
    now: float


Outcome = Arguments | Waiting


class Actions:
    """All actions, for one client."""

    def __init__(self, mappings: Mappings, device: Device, now: float) -> None:
        self._mappings = mappings
        self._device = device
        self._outside: IPv4Address | None = None
        self._since = now
        self._jobs: dict[str, Callable[[_Job], Outcome]] = {
            "SetConnectionType": _refuse(731),
            "GetConnectionTypeInfo": _say(
                ("NewConnectionType", "IP_Routed"),
                ("NewPossibleConnectionTypes", "IP_Routed"),
            ),
            "RequestConnection": self._request_connection,
            "ForceTermination": _refuse(606),
            "GetStatusInfo": self._get_status,
            "GetNATRSIPStatus": _say(("NewRSIPAvailable", "0"), ("NewNATEnabled", "1")),
            "GetGenericPortMappingEntry": self._get_by_index,
            "GetSpecificPortMappingEntry": self._get_by_port,
            "AddPortMapping": self._add,
            "AddAnyPortMapping": self._add_any,
            "DeletePortMapping": self._delete,
            "DeletePortMappingRange": self._delete_range,
            "GetExternalIPAddress": self._get_address,
            "GetListOfPortMappings": self._list,
            "GetCommonLinkProperties": self._get_link,
            "SetDefaultConnectionService": _refuse(606),
            "GetDefaultConnectionService": self._get_default_service,
        }

    def set_outside(self, address: IPv4Address | None, now: float) -> None:
        """Take in the address at the edge, None while there is no way outside."""
        if address != self._outside:
            self._outside = address
            self._since = now

    def perform(self, service: Service, call: Call, now: float) -> Outcome:
        """Do an action and return its answer; it may be done again after Waiting.

        Raises Fault.
        """
        version = service.find_version(call.service)
        action = service.actions.get(call.action)
        if version is None or action is None:
            raise Fault(401)
        untrusted_arguments = call.untrusted_arguments
        if any(name not in untrusted_arguments for name, _ in action.inputs):
            raise Fault(402)
        # Programs call what came with version 2 by the type that they found.
        version = max(version, action.since)
        return self._jobs[call.action](_Job(untrusted_arguments, version, now))

    def _request_connection(self, _job: _Job) -> Outcome:
        if self._outside is None:
            raise Fault(704)
        return ()

    def _get_status(self, job: _Job) -> Outcome:
        is_up = self._outside is not None
        return (
            ("NewConnectionStatus", "Connected" if is_up else "Disconnected"),
            ("NewLastConnectionError", "ERROR_NONE"),
            ("NewUptime", str(int(job.now - self._since) if is_up else 0)),
        )

    def _get_address(self, _job: _Job) -> Outcome:
        address = "" if self._outside is None else str(self._outside)
        return (("NewExternalIPAddress", address),)

    def _get_link(self, _job: _Job) -> Outcome:
        # Nobody knows the rates of what is outside; 0 is what routers then say.
        return (
            ("NewWANAccessType", "Ethernet"),
            ("NewLayer1UpstreamMaxBitRate", "0"),
            ("NewLayer1DownstreamMaxBitRate", "0"),
            ("NewPhysicalLinkStatus", "Up" if self._outside else "Down"),
        )

    def _get_default_service(self, _job: _Job) -> Outcome:
        # Layer3Forwarding:1 has it in this form.
        where = f"uuid:{self._device.part(2)}:WANConnectionDevice:1"
        service = f"{where},{CONNECTION.identifier}"
        return (("NewDefaultConnectionService", service),)

    def _add(self, job: _Job) -> Outcome:
        client = self._mappings.client
        wish = parse_wish(job.untrusted, client, True, job.version)
        if self._mappings.add(wish, job.version, job.now) is None:
            return Waiting(wish.key)
        return ()

    def _add_any(self, job: _Job) -> Outcome:
        client = self._mappings.client
        wish = parse_wish(job.untrusted, client, False, job.version)
        outer = self._mappings.add(wish, job.version, job.now)
        if outer is None:
            return Waiting(wish.key)
        return (("NewReservedPort", str(outer)),)

    def _find(self, job: _Job) -> Entry:
        transport = parse_transport(job.untrusted["NewProtocol"])
        outer = parse_number(job.untrusted["NewExternalPort"], 65535)
        remote = parse_remote(job.untrusted["NewRemoteHost"])
        return self._mappings.find(transport, outer, remote, job.now)

    def _get_by_port(self, job: _Job) -> Outcome:
        return self._describe(self._find(job))

    def _get_by_index(self, job: _Job) -> Outcome:
        index = parse_number(job.untrusted["NewPortMappingIndex"], 65535)
        entries = self._mappings.list_all(job.now)
        if index >= len(entries):
            raise Fault(713)
        entry = entries[index]
        return (*_identify(entry), *self._describe(entry))

    def _describe(self, entry: Entry) -> Arguments:
        return (
            ("NewInternalPort", str(entry.key.inner)),
            ("NewInternalClient", str(self._mappings.client)),
            ("NewEnabled", "1"),
            ("NewPortMappingDescription", entry.untrusted_name),
            ("NewLeaseDuration", str(entry.lifetime)),
        )

    def _delete(self, job: _Job) -> Outcome:
        self._mappings.delete(self._find(job))
        return ()

    def _delete_range(self, job: _Job) -> Outcome:
        # NewManage=1 would be about other clients' mappings: there are none to see.
        wanted = parse_range(job.untrusted)
        found = [
            entry
            for entry in self._mappings.list_all(job.now)
            if wanted.has(entry) and entry.holder is not None
        ]
        if not found:
            raise Fault(730)
        for entry in found:
            self._mappings.delete(entry)
        return ()

    def _list(self, job: _Job) -> Outcome:
        wanted = parse_range(job.untrusted)
        number = parse_number(job.untrusted["NewNumberOfPorts"], 65535)
        most = min(number or MAX_LISTED, MAX_LISTED)
        found = [each for each in self._mappings.list_all(job.now) if wanted.has(each)]
        if not found:
            raise Fault(730)
        found.sort(key=lambda entry: entry.outer)
        return (("NewPortListing", self._render_listing(found[:most])),)

    def _render_listing(self, entries: list[Entry]) -> Markup:
        """Write the document that is the answer (A_ARG_TYPE_PortListing)."""
        return Markup(
            f'<p:PortMappingList xmlns:p="{_LISTING}">'
            + "".join(map(self._render_listed, entries))
            + "</p:PortMappingList>"
        )

    def _render_listed(self, entry: Entry) -> str:
        # The listing calls two of the arguments by other names.
        renamed = {
            "NewPortMappingDescription": "NewDescription",
            "NewLeaseDuration": "NewLeaseTime",
        }
        return (
            "<p:PortMappingEntry>"
            + "".join(
                f"<p:{name}>{escape(text)}</p:{name}>"
                for name, text in (
                    (renamed.get(name, name), text)
                    for name, text in (*_identify(entry), *self._describe(entry))
                )
            )
            + "</p:PortMappingEntry>"
        )


def _identify(entry: Entry) -> Arguments:
    return (
        ("NewRemoteHost", entry.remote),
        ("NewExternalPort", str(entry.outer)),
        ("NewProtocol", entry.key.transport.upper()),
    )


def _say(*arguments: tuple[str, str]) -> Callable[[_Job], Outcome]:
    return lambda _job: arguments


def _refuse(code: int) -> Callable[[_Job], Outcome]:
    def refuse(_job: _Job) -> Outcome:
        raise Fault(code)

    return refuse
