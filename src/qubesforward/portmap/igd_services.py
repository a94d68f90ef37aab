# SPDX-License-Identifier: GPL-2.0-or-later
"""The services of an Internet gateway: their actions and arguments, as data.

Sources: WANIPConnection:1 and :2, WANCommonInterfaceConfig:1, Layer3Forwarding:1. What
is left out is optional there: byte counters, which would be made up, and what changes
the connection. State variables are not evented, so there is nothing to subscribe to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

SCHEMA = "urn:schemas-upnp-org"


class Variable(NamedTuple):
    """A state variable: its type, and the values that it may have, if few."""

    type: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """What can be called: arguments by name, each with its variable.

    `since`: the first version of the service that has it.
    """

    inputs: tuple[tuple[str, str], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    since: int = 1


@dataclass(frozen=True, slots=True)
class Service:
    """A service: its type without version, its id, and its paths on the web server."""

    name: str
    identifier: str
    newest: int
    path: str
    actions: dict[str, Action]
    variables: dict[str, Variable]

    def type(self, version: int) -> str:
        """Return the type of the service in a description of this version."""
        return f"{SCHEMA}:service:{self.name}:{min(version, self.newest)}"

    def find_version(self, untrusted_type: str) -> int | None:
        """Return the version that a call names, None if that is not served."""
        for version in range(1, self.newest + 1):
            if untrusted_type == self.type(version):
                return version
        return None


_NAMES = {
    "NewConnectionType": "ConnectionType",
    "NewPossibleConnectionTypes": "PossibleConnectionTypes",
    "NewConnectionStatus": "ConnectionStatus",
    "NewLastConnectionError": "LastConnectionError",
    "NewUptime": "Uptime",
    "NewRSIPAvailable": "RSIPAvailable",
    "NewNATEnabled": "NATEnabled",
    "NewExternalIPAddress": "ExternalIPAddress",
    "NewRemoteHost": "RemoteHost",
    "NewExternalPort": "ExternalPort",
    "NewProtocol": "PortMappingProtocol",
    "NewInternalPort": "InternalPort",
    "NewInternalClient": "InternalClient",
    "NewEnabled": "PortMappingEnabled",
    "NewPortMappingDescription": "PortMappingDescription",
    "NewLeaseDuration": "PortMappingLeaseDuration",
    "NewPortMappingIndex": "PortMappingNumberOfEntries",
    "NewReservedPort": "ExternalPort",
    "NewStartPort": "ExternalPort",
    "NewEndPort": "ExternalPort",
    "NewManage": "A_ARG_TYPE_Manage",
    "NewNumberOfPorts": "PortMappingNumberOfEntries",
    "NewPortListing": "A_ARG_TYPE_PortListing",
    "NewWANAccessType": "WANAccessType",
    "NewLayer1UpstreamMaxBitRate": "Layer1UpstreamMaxBitRate",
    "NewLayer1DownstreamMaxBitRate": "Layer1DownstreamMaxBitRate",
    "NewPhysicalLinkStatus": "PhysicalLinkStatus",
    "NewDefaultConnectionService": "DefaultConnectionService",
}


def _list(names: str) -> tuple[tuple[str, str], ...]:
    return tuple((f"New{name}", _NAMES[f"New{name}"]) for name in names.split())


_WHICH = "RemoteHost ExternalPort Protocol"
_WHERE = "InternalPort InternalClient Enabled PortMappingDescription LeaseDuration"
_RANGE = "StartPort EndPort Protocol Manage"

CONNECTION = Service(
    "WANIPConnection",
    "urn:upnp-org:serviceId:WANIPConn1",
    2,
    "connection",
    {
        "SetConnectionType": Action(_list("ConnectionType")),
        "GetConnectionTypeInfo": Action(
            outputs=_list("ConnectionType PossibleConnectionTypes")
        ),
        "RequestConnection": Action(),
        "ForceTermination": Action(),
        "GetStatusInfo": Action(
            outputs=_list("ConnectionStatus LastConnectionError Uptime")
        ),
        "GetNATRSIPStatus": Action(outputs=_list("RSIPAvailable NATEnabled")),
        "GetGenericPortMappingEntry": Action(
            _list("PortMappingIndex"), _list(f"{_WHICH} {_WHERE}")
        ),
        "GetSpecificPortMappingEntry": Action(_list(_WHICH), _list(_WHERE)),
        "AddPortMapping": Action(_list(f"{_WHICH} {_WHERE}")),
        "AddAnyPortMapping": Action(
            _list(f"{_WHICH} {_WHERE}"), _list("ReservedPort"), since=2
        ),
        "DeletePortMapping": Action(_list(_WHICH)),
        "DeletePortMappingRange": Action(_list(_RANGE), since=2),
        "GetExternalIPAddress": Action(outputs=_list("ExternalIPAddress")),
        "GetListOfPortMappings": Action(
            _list(f"{_RANGE} NumberOfPorts"), _list("PortListing"), since=2
        ),
    },
    {
        "ConnectionType": Variable("string"),
        "PossibleConnectionTypes": Variable("string", ("IP_Routed",)),
        "ConnectionStatus": Variable("string", ("Connected", "Disconnected")),
        "LastConnectionError": Variable("string", ("ERROR_NONE",)),
        "Uptime": Variable("ui4"),
        "RSIPAvailable": Variable("boolean"),
        "NATEnabled": Variable("boolean"),
        "ExternalIPAddress": Variable("string"),
        "RemoteHost": Variable("string"),
        "ExternalPort": Variable("ui2"),
        "PortMappingProtocol": Variable("string", ("TCP", "UDP")),
        "InternalPort": Variable("ui2"),
        "InternalClient": Variable("string"),
        "PortMappingEnabled": Variable("boolean"),
        "PortMappingDescription": Variable("string"),
        "PortMappingLeaseDuration": Variable("ui4"),
        "PortMappingNumberOfEntries": Variable("ui2"),
        "A_ARG_TYPE_Manage": Variable("boolean"),
        "A_ARG_TYPE_PortListing": Variable("string"),
    },
)

LINK = Service(
    "WANCommonInterfaceConfig",
    "urn:upnp-org:serviceId:WANCommonIFC1",
    1,
    "link",
    {
        "GetCommonLinkProperties": Action(
            outputs=_list(
                "WANAccessType Layer1UpstreamMaxBitRate Layer1DownstreamMaxBitRate"
                " PhysicalLinkStatus"
            )
        ),
    },
    {
        "WANAccessType": Variable("string", ("Ethernet",)),
        "Layer1UpstreamMaxBitRate": Variable("ui4"),
        "Layer1DownstreamMaxBitRate": Variable("ui4"),
        "PhysicalLinkStatus": Variable("string", ("Up", "Down")),
    },
)

LAYER3 = Service(
    "Layer3Forwarding",
    "urn:upnp-org:serviceId:L3Forwarding1",
    1,
    "layer3",
    {
        "SetDefaultConnectionService": Action(_list("DefaultConnectionService")),
        "GetDefaultConnectionService": Action(
            outputs=_list("DefaultConnectionService")
        ),
    },
    {"DefaultConnectionService": Variable("string")},
)

SERVICES = (CONNECTION, LINK, LAYER3)
