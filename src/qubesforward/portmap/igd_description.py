# SPDX-License-Identifier: GPL-2.0-or-later
"""What the gateway says of itself: the documents that its web server gives away.

Nothing in them tells one user of Qubes from another, but the UUID, which is made up at
each boot. Both versions of the device are described, each at a path of its own: old
programs look for the types of version 1 literally.
"""

from __future__ import annotations

from functools import cache
from itertools import starmap

from qubesforward.portmap.igd_services import (
    CONNECTION,
    LAYER3,
    LINK,
    SCHEMA,
    SERVICES,
    Action,
    Service,
    Variable,
)
from qubesforward.portmap.ssdp import NEWEST, Device

NAME = "Qubes network qube"
_MAKER = "Qubes OS"
_XML = '<?xml version="1.0"?>\n'


def find_document(untrusted_path: str, device: Device) -> bytes | None:
    """Return the document at a path, None if there is none."""
    for version in range(1, NEWEST + 1):
        if untrusted_path == f"/{version}/gateway.xml":
            return render_device(device, version)
        for service in SERVICES:
            if untrusted_path == f"/{version}/{service.path}.xml":
                return render_service(service, version)
    return None


def find_service(untrusted_path: str) -> Service | None:
    """Return the service that is controlled at a path."""
    for service in SERVICES:
        if untrusted_path == f"/control/{service.path}":
            return service
    return None


def render_device(device: Device, version: int) -> bytes:
    """Return the description of the gateway as a device of this version."""
    connection = _render_device(
        device, 2, "WANConnectionDevice", version, _render_use(CONNECTION, version)
    )
    wan = _render_device(
        device, 1, "WANDevice", version, _render_use(LINK, version), connection
    )
    root = _render_device(
        device,
        0,
        "InternetGatewayDevice",
        version,
        _render_use(LAYER3, version),
        wan,
    )
    # UDA 1.1 (2.3): configId is what CONFIGID.UPNP.ORG says; 1.0 has neither.
    return (
        f'{_XML}<root xmlns="{SCHEMA}:device-1-0" configId="1">'
        "<specVersion><major>1</major><minor>1</minor></specVersion>"
        f"{root}</root>\n"
    ).encode()


def _render_device(
    device: Device, at: int, name: str, version: int, services: str, inner: str = ""
) -> str:
    devices = f"<deviceList>{inner}</deviceList>" if inner else ""
    return (
        f"<device><deviceType>{SCHEMA}:device:{name}:{version}</deviceType>"
        f"<friendlyName>{NAME}</friendlyName><manufacturer>{_MAKER}</manufacturer>"
        f"<modelDescription>{NAME}</modelDescription><modelName>{NAME}</modelName>"
        f"<UDN>uuid:{device.part(at)}</UDN>"
        f"<serviceList>{services}</serviceList>{devices}</device>"
    )


def _render_use(service: Service, version: int) -> str:
    # UDA 1.1 (2.3): without evented variables the URL for events is empty.
    return (
        f"<service><serviceType>{service.type(version)}</serviceType>"
        f"<serviceId>{service.identifier}</serviceId>"
        f"<SCPDURL>/{version}/{service.path}.xml</SCPDURL>"
        f"<controlURL>/control/{service.path}</controlURL>"
        "<eventSubURL></eventSubURL></service>"
    )


def render_service(service: Service, version: int) -> bytes:
    """Return the description of a service: its actions and state variables."""
    return _render_service(SERVICES.index(service), version)


@cache
def _render_service(at: int, version: int) -> bytes:
    service = SERVICES[at]
    actions = {
        name: action
        for name, action in service.actions.items()
        if action.since <= version
    }
    used = {
        variable
        for action in actions.values()
        for _, variable in (*action.inputs, *action.outputs)
    }
    listed = "".join(starmap(_render_action, actions.items()))
    variables = "".join(
        _render_variable(name, variable)
        for name, variable in service.variables.items()
        if name in used
    )
    return (
        f'{_XML}<scpd xmlns="{SCHEMA}:service-1-0" configId="1">'
        "<specVersion><major>1</major><minor>1</minor></specVersion>"
        f"<actionList>{listed}</actionList>"
        f"<serviceStateTable>{variables}</serviceStateTable></scpd>\n"
    ).encode()


def _render_action(name: str, action: Action) -> str:
    arguments = "".join(
        f"<argument><name>{argument}</name><direction>{direction}</direction>"
        f"<relatedStateVariable>{variable}</relatedStateVariable></argument>"
        for direction, each in (("in", action.inputs), ("out", action.outputs))
        for argument, variable in each
    )
    listed = f"<argumentList>{arguments}</argumentList>" if arguments else ""
    return f"<action><name>{name}</name>{listed}</action>"


def _render_variable(name: str, variable: Variable) -> str:
    values = "".join(f"<allowedValue>{one}</allowedValue>" for one in variable.values)
    allowed = f"<allowedValueList>{values}</allowedValueList>" if values else ""
    return (
        f'<stateVariable sendEvents="no"><name>{name}</name>'
        f"<dataType>{variable.type}</dataType>{allowed}</stateVariable>"
    )
