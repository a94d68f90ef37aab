# SPDX-License-Identifier: GPL-2.0-or-later
"""SOAP 1.1 as UPnP uses it: one call in a body, one answer or fault; both sides.

Source: UPnP Device Architecture 1.1, section 3 (Control).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from qubesforward.portmap.xml_reader import Element, MalformedXml, escape, parse_xml

ENVELOPE = "http://schemas.xmlsoap.org/soap/envelope/"
_ENCODING = "http://schemas.xmlsoap.org/soap/encoding/"
_CONTROL = "urn:schemas-upnp-org:control-1-0"

_MAX_ELEMENTS = 64
"""A call has at most three elements and eight arguments."""

_MAX_ARGUMENTS = 16
_ACTION = re.compile(r'"?([!-~]{1,128})#([A-Za-z0-9_.-]{1,64})"?')

Arguments = tuple[tuple[str, str], ...]


class Markup(str):
    """An argument that is a document itself: miniupnpc reads it only in CDATA.

    Every ``>`` in its texts is an entity, so nothing in it ends the CDATA.
    """

    __slots__ = ()


ERRORS = {
    401: "Invalid Action",
    402: "Invalid Args",
    501: "Action Failed",
    600: "Argument Value Invalid",
    606: "Action not authorized",
    704: "ConnectionSetupFailed",
    713: "SpecifiedArrayIndexInvalid",
    714: "NoSuchEntryInArray",
    716: "WildCardNotPermittedInExtPort",
    718: "ConflictInMappingEntry",
    728: "NoPortMapsAvailable",
    729: "ConflictWithOtherMechanisms",
    730: "PortMappingNotFound",
    731: "ReadOnly",
    732: "WildCardNotPermittedInIntPort",
    733: "InconsistentParameters",
}
"""What the server may say: UDA 1.1 (3.2) and WANIPConnection:2."""


class MalformedSoap(Exception):
    """This is no call, or no answer; the only error of the parsers here."""


class Fault(Exception):
    """An action was not done; `code` is that of a UPnPError."""

    def __init__(self, code: int) -> None:
        super().__init__(f"{code} {ERRORS.get(code, '')}".rstrip())
        self.code = code


@dataclass(frozen=True, slots=True)
class Call:
    """An action of a service, and its arguments as they were written."""

    service: str
    action: str
    untrusted_arguments: dict[str, str]


def parse_call(untrusted_action: str, untrusted_body: bytes) -> Call:
    """Read a call: the field SOAPACTION, and the body, whose size is bounded already.

    The quotes around the field may be missing, as some programs leave them out. What
    field and body say must be the same. Raises MalformedSoap.
    """
    named = _ACTION.fullmatch(untrusted_action)
    if named is None:
        raise MalformedSoap("no SOAPACTION")
    content = _open_envelope(untrusted_body)
    if (content.namespace, content.name) != (named[1], named[2]):
        raise MalformedSoap("SOAPACTION and body differ")
    return Call(named[1], named[2], _read_arguments(content))


def _open_envelope(untrusted_body: bytes) -> Element:
    """Return the one element in the body of an envelope."""
    try:
        root = parse_xml(untrusted_body, _MAX_ELEMENTS)
    except MalformedXml as error:
        raise MalformedSoap(str(error)) from None
    bodies = [each for each in root.children if each.name == "Body"]
    if (root.namespace, root.name) != (ENVELOPE, "Envelope") or len(bodies) != 1:
        raise MalformedSoap("not an envelope with one body")
    if bodies[0].namespace != ENVELOPE or len(bodies[0].children) != 1:
        raise MalformedSoap("not one call in the body")
    return bodies[0].children[0]


def _read_arguments(content: Element) -> dict[str, str]:
    arguments: dict[str, str] = {}
    for each in content.children:
        if each.children or each.name in arguments or len(arguments) >= _MAX_ARGUMENTS:
            raise MalformedSoap("an argument twice, with elements in it, or too many")
        arguments[each.name] = each.text
    return arguments


def render_call(service: str, action: str, arguments: Arguments) -> bytes:
    """Write a call."""
    return _render_envelope(_render_content(service, action, arguments))


def render_answer(service: str, action: str, arguments: Arguments) -> bytes:
    """Write the answer to a call; `service` as the call named it."""
    return _render_envelope(_render_content(service, f"{action}Response", arguments))


def _render_content(service: str, name: str, arguments: Arguments) -> str:
    inner = "".join(f"<{name}>{_quote(text)}</{name}>" for name, text in arguments)
    return f'<u:{name} xmlns:u="{escape(service)}">{inner}</u:{name}>'


def _quote(untrusted_text: str) -> str:
    if isinstance(untrusted_text, Markup):
        return f"<![CDATA[{untrusted_text}]]>"
    return escape(untrusted_text)


def render_fault(code: int) -> bytes:
    """Write that an action was not done; it goes out with HTTP status 500."""
    return _render_envelope(
        "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>"
        f'<detail><UPnPError xmlns="{_CONTROL}"><errorCode>{code}</errorCode>'
        f"<errorDescription>{ERRORS[code]}</errorDescription></UPnPError></detail>"
        "</s:Fault>"
    )


def _render_envelope(content: str) -> bytes:
    return (
        f'<?xml version="1.0"?>\n<s:Envelope xmlns:s="{ENVELOPE}"'
        f' s:encodingStyle="{_ENCODING}"><s:Body>{content}</s:Body></s:Envelope>\n'
    ).encode()


def parse_answer(action: str, untrusted_body: bytes) -> dict[str, str]:
    """Read the answer to a call of this action: its arguments.

    Raises Fault if it says that the action was not done, otherwise MalformedSoap.
    """
    content = _open_envelope(untrusted_body)
    if content.name == "Fault":
        code = content.find("detail", "UPnPError", "errorCode")
        untrusted_code = code.text.strip() if code is not None else ""
        if re.fullmatch(r"[0-9]{3}", untrusted_code):
            raise Fault(int(untrusted_code))
        raise MalformedSoap("a fault without a code")
    if content.name != f"{action}Response":
        raise MalformedSoap("not the answer to this call")
    return _read_arguments(content)
