# SPDX-License-Identifier: GPL-2.0-or-later
"""Rule lists as ``firewall.xml`` holds them.

Version 2 is written in the very shape that Qubes writes, with the properties of
forwards beside the old ones and the owner's uuid on the root. Version 1 (Qubes 3) is
read too. A rule that cannot be read is kept as it is and never costs the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from qubesforward.errors import InvalidRule
from qubesforward.model.elements import collect_elements, parse_elements
from qubesforward.model.ports import PortRange
from qubesforward.model.rule import (
    REBOOT,
    ForwardRule,
    OutboundRule,
    Reach,
    Rule,
    RuleList,
    UnreadableRule,
)
from qubesforward.model.values import check_line, parse_number
from qubesforward.model.xml_v1 import PolicyV1

if TYPE_CHECKING:
    from lxml.etree import _Element

LARGEST_DOCUMENT = 16 * 2**20
"""Bytes of a file: far above 10,000 forwards with long comments."""

MOST_TAGS = 2**20
"""Tags of a file, and attributes: they cost far more memory than their bytes. As far
above."""

MOST_RULES = 65536
"""Rules of a file."""

LONGEST_TAG = 4096
"""Bytes of a tag with what follows it: libxml2 compares each attribute of a tag with
all others, and takes 12 seconds for a megabyte of them."""

_LONG_TAG = re.compile(rb"<[^<]{%d}" % LONGEST_TAG)
# No text that a rule may hold looks like this: it has no equals sign.
_NAMESPACE = re.compile(rb"\sxmlns:[^\s=<]{1,64}\s*=")

_LONGEST_OWNER = 64
# No uuid, so that the list counts as copied from another qube.
_UNKNOWN_OWNER = "unknown"
_LAST_CREATED = 2**63 - 1
_METADATA = ("created", "boot-id", "confirmed")


def decode_rule_list(untrusted_xml: bytes, now: float, boot_id: str) -> RuleList:
    """Read a ``firewall.xml``, version 1 or 2.

    Forwards until the end of an earlier boot than `boot_id` are left out: nothing of
    them can be open any more. Rules whose moment is over stay until they are saved:
    whoever reads the list may still have to close them. A forward that bears no age
    is as old as `now`, in seconds since 1970. Raises `InvalidRule` if the file as a
    whole is none of ours; a single rule that cannot be read is in
    `RuleList.unreadable`.
    """
    root = _parse_document(untrusted_xml)
    untrusted_version = root.get("version", "1")
    if untrusted_version == "1":
        return _decode_v1(root)
    if untrusted_version != "2":
        raise InvalidRule(
            f"version={untrusted_version[:40]!a}: only versions 1 and 2 can be read"
        )
    if root.tag != "firewall" or root.find("rules") is None:
        raise InvalidRule("not a firewall.xml: there is no <firewall> with <rules>")
    found = _read_rules(_rule_elements(root), _decode_rule)
    forwards = (
        rule if rule.created else replace(rule, created=int(now * 1_000_000))
        for rule in found.forwards
        if rule.expire != REBOOT or rule.boot_id == boot_id
    )
    return RuleList(
        tuple(found.outbound),
        tuple(forwards),
        tuple(found.unreadable),
        _decode_owner(root.get("owner", "")),
    )


def encode_rule_list(rules: RuleList, now: float) -> bytes:
    """Write a ``firewall.xml``, version 2, without the rules that ended by `now`.

    Raises `InvalidRule` for a list that could not be read again: too many rules, or
    an owner that is no word.
    """
    check_line(rules.owner, "owner", _LONGEST_OWNER)
    written = [_write_rule(rule) for rule in rules.outbound if not rule.has_ended(now)]
    written += [
        _write_rule(rule)
        for rule in rules.forwards
        if not rule.has_ended(now, rule.boot_id)
    ]
    written += [f"    {rule.xml}\n" for rule in rules.unreadable]
    owner = f' owner="{rules.owner}"' if rules.owner else ""
    body = f"  <rules>\n{''.join(written)}  </rules>\n" if written else "  <rules/>\n"
    document = f'<firewall version="2"{owner}>\n{body}</firewall>\n'.encode()
    _check_bounds(document)
    if len(written) > MOST_RULES:
        raise InvalidRule(f"{len(written)} rules; at most {MOST_RULES} fit")
    return document


def _check_bounds(untrusted_xml: bytes) -> None:
    if len(untrusted_xml) > LARGEST_DOCUMENT:
        raise InvalidRule(
            f"{len(untrusted_xml)} bytes; a firewall.xml has at most {LARGEST_DOCUMENT}"
        )
    if max(untrusted_xml.count(b"<"), untrusted_xml.count(b"=")) > MOST_TAGS:
        raise InvalidRule(
            f"more than {MOST_TAGS} tags or attributes; a firewall.xml has fewer"
        )
    if _LONG_TAG.search(untrusted_xml):
        raise InvalidRule(f"a tag and text of over {LONGEST_TAG} bytes; shorten it")


def _parse_document(untrusted_xml: bytes) -> _Element:
    # Only who reads rule files pays for lxml; command-line tools do not.
    from lxml import etree

    _check_bounds(untrusted_xml)
    # Entities can only be declared in a DTD. Looked for before any of it is parsed,
    # and the encoding is fixed below so that it cannot hide.
    if b"<!DOCTYPE" in untrusted_xml:
        raise InvalidRule("a firewall.xml has no DOCTYPE; take it out")
    # Every prefix is looked for among all that are declared around it.
    if _NAMESPACE.search(untrusted_xml):
        raise InvalidRule("a firewall.xml has no namespaces; take them out")
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
    )
    try:
        # Without DTD, entities and network there is nothing left to attack with.
        return etree.fromstring(untrusted_xml, parser)  # noqa: S320
    except etree.XMLSyntaxError as error:
        raise InvalidRule(f"line {error.lineno or 1}: not XML") from None


@dataclass
class _Found:
    outbound: list[OutboundRule] = field(default_factory=list)
    forwards: list[ForwardRule] = field(default_factory=list)
    unreadable: list[UnreadableRule] = field(default_factory=list)


def _read_rules(
    elements: Iterable[_Element], decode: Callable[[_Element], Rule]
) -> _Found:
    found = _Found()
    for number, element in enumerate(elements, 1):
        if number > MOST_RULES:
            raise InvalidRule(f"more than {MOST_RULES} rules; a firewall.xml has fewer")
        try:
            rule = decode(element)
        except InvalidRule as error:
            reason = f"rule {number}: {error}"
            found.unreadable.append(UnreadableRule(_keep_xml(element), reason))
            continue
        if isinstance(rule, OutboundRule):
            found.outbound.append(rule)
        else:
            found.forwards.append(rule)
    return found


def _keep_xml(element: _Element) -> str:
    from lxml import etree

    return etree.tostring(element, encoding="unicode", with_tail=False)


def _rule_elements(root: _Element) -> Iterator[_Element]:
    for child in root:
        if child.tag == "rules":
            yield from (element for element in child if _is_element(element))
        elif _is_element(child) and child.tag != "policy":
            # Not known to this version, so to be kept. The policy of early Qubes 4
            # is no rule; Qubes itself does not look at it any more.
            yield child


def _is_element(node: _Element) -> bool:
    # lxml gives comments and processing instructions a function for a tag.
    return isinstance(node.tag, str)


def _decode_rule(element: _Element) -> Rule:
    if element.tag != "rule":
        raise InvalidRule("not a rule: its tag is not rule")
    untrusted_pairs = []
    untrusted_metadata: dict[str, str] = {}
    for untrusted_name, untrusted_value in _read_properties(element):
        if untrusted_name not in _METADATA:
            untrusted_pairs.append((untrusted_name, untrusted_value))
        elif untrusted_name in untrusted_metadata:
            raise InvalidRule(f"{untrusted_name}: given twice; give it once")
        else:
            untrusted_metadata[untrusted_name] = untrusted_value
    rule = parse_elements(collect_elements(untrusted_pairs))
    if not untrusted_metadata:
        return rule
    if isinstance(rule, OutboundRule):
        raise InvalidRule(f"{', '.join(_METADATA)}: only a forward has them")
    untrusted_confirmed = untrusted_metadata.get("confirmed", "no")
    if untrusted_confirmed != "no":
        raise InvalidRule(
            f"confirmed={untrusted_confirmed[:40]!a}: it is no, or is left out"
        )
    return replace(
        rule,
        created=parse_number(
            untrusted_metadata.get("created", "0"),
            "created",
            _LAST_CREATED,
            "give microseconds since 1970",
        ),
        boot_id=untrusted_metadata.get("boot-id", ""),
        is_waiting="confirmed" in untrusted_metadata,
    )


def _read_properties(rule: _Element) -> Iterator[tuple[str, str]]:
    for properties in _children(rule, "properties"):
        for one in _children(properties, "property"):
            if one.keys() != ["name"] or len(one):
                raise InvalidRule("property: takes a name, and text between its tags")
            yield one.get("name", ""), one.text or ""


def _children(parent: _Element, tag: str) -> Iterator[_Element]:
    if parent.attrib:
        raise InvalidRule(f"{parent.tag}: takes no attributes")
    untrusted_texts = [parent.text]
    for child in parent:
        untrusted_texts.append(child.tail)
        if _is_element(child):
            if child.tag != tag:
                raise InvalidRule(f"{parent.tag}: holds more than {tag}")
            yield child
    if any(text and text.strip() for text in untrusted_texts):
        raise InvalidRule(f"{parent.tag}: takes no text outside of {tag}")


def _decode_owner(untrusted_owner: str) -> str:
    try:
        return check_line(untrusted_owner, "owner", _LONGEST_OWNER)
    except InvalidRule:
        return _UNKNOWN_OWNER


def _decode_v1(root: _Element) -> RuleList:
    policy = PolicyV1({str(name): str(text) for name, text in root.attrib.items()})

    def decode(element: _Element) -> Rule:
        if element.tag != "rule" or len(element):
            raise InvalidRule("not a rule of version 1")
        return policy.parse_rule(
            {str(name): str(text) for name, text in element.attrib.items()}
        )

    found = _read_rules((child for child in root if _is_element(child)), decode)
    outbound = (*policy.first_rules(), *found.outbound, *policy.last_rules())
    return RuleList(outbound, unreadable=tuple(found.unreadable))


def _write_rule(rule: Rule) -> str:
    properties = (
        _outbound_properties(rule)
        if isinstance(rule, OutboundRule)
        else _forward_properties(rule)
    )
    # Values are of characters that mean nothing in XML: what is not a number, an
    # address or a word of ours has passed `check_line`.
    written = "".join(
        f'        <property name="{name}">{value}</property>\n'
        for name, value in properties
        if value
    )
    return (
        f"    <rule>\n      <properties>\n{written}      </properties>\n    </rule>\n"
    )


def _outbound_properties(rule: OutboundRule) -> Iterator[tuple[str, str]]:
    # The order in which Qubes writes them.
    yield "action", rule.action
    yield "comment", rule.comment
    yield "expire", "" if rule.expire is None else str(rule.expire)
    yield "dsthost", "" if rule.dsthost is None else rule.dsthost.text
    yield "proto", rule.proto or ""
    yield "specialtarget", rule.specialtarget or ""
    if rule.dstports is not None:
        first, last = rule.dstports
        yield "dstports", str(first) if first == last else f"{first}-{last}"
    yield "icmptype", "" if rule.icmptype is None else str(rule.icmptype)


def _forward_properties(rule: ForwardRule) -> Iterator[tuple[str, str]]:
    yield "action", "forward"
    yield "comment", rule.comment
    yield "expire", "" if rule.expire is None else str(rule.expire)
    yield "forwardtype", rule.forwardtype
    yield "proto", rule.proto or ""
    yield "srchost", "" if rule.srchost is None else str(rule.srchost)
    yield "srcports", rule.srcports.short
    yield "dstports", _short(rule.dstports)
    yield "reach", "" if rule.reach is Reach.LAN else rule.reach
    yield "bypass", "yes" if rule.bypass else ""
    yield "disposables", "yes" if rule.disposables else ""
    yield "boot-id", rule.boot_id
    yield "created", str(rule.created) if rule.created else ""
    yield "confirmed", "no" if rule.is_waiting else ""


def _short(ports: PortRange | None) -> str:
    return "" if ports is None else ports.short
