# SPDX-License-Identifier: GPL-2.0-or-later
"""Property values: from what a caller sent to the text that is kept."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from qubesforward.lab.qubesd.faults import bad_value

LABELS = {
    "red": (1, "0xcc0000"),
    "orange": (2, "0xf57900"),
    "yellow": (3, "0xedd400"),
    "green": (4, "0x73d216"),
    "gray": (5, "0x555753"),
    "blue": (6, "0x3465a4"),
    "purple": (7, "0x75507b"),
    "black": (8, "0x000000"),
}
"""Stock's labels: name to index and colour."""

CLASSES = ("AppVM", "DispVM", "StandaloneVM", "TemplateVM")
"""What can be created. AdminVM exists once, and is not."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_NAME = re.compile(r"[a-zA-Z][a-zA-Z0-9_-]{0,30}")
_RESERVED = frozenset({"none", "default", "dom0", "Domain-0", "lost+found"})
_MAC = re.compile(r"(?:[0-9a-f]{2}:){5}[0-9a-f]{2}")
_TAG = re.compile(r"[A-Za-z0-9_-]{1,100}")
_FEATURE = re.compile(r"[A-Za-z0-9_.:-]{1,250}")


def parse_bool(untrusted_text: str) -> str:
    """Take a truth value in any of stock's spellings."""
    word = untrusted_text.lower()
    if word in _TRUE:
        return "True"
    if word in _FALSE:
        return "False"
    raise bad_value("not a truth value: say True or False")


def parse_ip(untrusted_text: str) -> str:
    """Take an IPv4 address."""
    try:
        return str(IPv4Address(untrusted_text))
    except AddressValueError as error:
        raise bad_value(f"not an IPv4 address: {error}") from None


def parse_ip6(untrusted_text: str) -> str:
    """Take an IPv6 address; a zone would mean another computer's interface."""
    try:
        address = IPv6Address(untrusted_text)
    except AddressValueError as error:
        raise bad_value(f"not an IPv6 address: {error}") from None
    if address.scope_id is not None:
        raise bad_value("not an IPv6 address: it has a zone")
    return str(address)


def parse_mac(untrusted_text: str) -> str:
    """Take an Ethernet address with colons."""
    lower = untrusted_text.lower()
    if not _MAC.fullmatch(lower):
        raise bad_value("not an Ethernet address")
    return lower


def parse_label(untrusted_text: str) -> str:
    """Take the name of a label."""
    if untrusted_text not in LABELS:
        raise bad_value(f"no such label; there are {', '.join(LABELS)}")
    return untrusted_text


def parse_name(untrusted_text: str) -> str:
    """Take a name for a new qube, by stock's rules."""
    if not _NAME.fullmatch(untrusted_text):
        raise bad_value(
            "a name starts with a letter, goes on with letters, digits, '_' or '-',"
            " and has 31 characters at most"
        )
    if untrusted_text in _RESERVED or untrusted_text.endswith("-dm"):
        raise bad_value(f"{untrusted_text!r} is a reserved name")
    return untrusted_text


def is_tag(untrusted_text: str) -> bool:
    """Whether this can be a tag."""
    return _TAG.fullmatch(untrusted_text) is not None


def is_feature(untrusted_text: str) -> bool:
    """Whether this can be the name of a feature."""
    return _FEATURE.fullmatch(untrusted_text) is not None
