# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader for the little of XML that UPnP is made of.

Ours and not expat's: the reader faces qubes that attack it, so it is in a language
without memory errors, and what makes XML dangerous is not switched off but not there.
It knows elements, namespaces, attributes, text, comments, the five predefined entities
and numbers of characters. A DOCTYPE, other entities, CDATA and processing instructions
are errors. The time that it takes is in proportion to the size of what it reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_DEPTH = 16
"""A description with all devices of a router is 11 elements deep, a call 4."""

MAX_ATTRIBUTES = 16

# A second + makes a quantifier take what it can and never give it back. Of groups, none
# has it: Python before 3.11.5 then matches what it should not (gh-106052). What a group
# gives back here fails at its first character, so that the time stays linear.
_NAME = r"[A-Za-z_][A-Za-z0-9_.-]*+"
_QNAME = rf"{_NAME}(?::{_NAME})?"
_EQUALS = r"[ \t\n]*+=[ \t\n]*+"
_QUOTED = r"""(?:"[^"<]*+"|'[^'<]*+')"""
_DECLARATION = re.compile(
    rf"""<\?xml[ \t\n]++version{_EQUALS}["']1\.[0-9]["']"""
    rf"""(?:[ \t\n]++encoding{_EQUALS}["']([A-Za-z0-9_-]{{1,20}})["'])?"""
    rf"""(?:[ \t\n]++standalone{_EQUALS}["'](?:yes|no)["'])?[ \t\n]*+\?>"""
)
_START = re.compile(
    rf"<({_QNAME})((?:[ \t\n]++{_QNAME}{_EQUALS}{_QUOTED})*)[ \t\n]*+(/?+)>"
)
_ATTRIBUTE = re.compile(rf"[ \t\n]++({_QNAME}){_EQUALS}({_QUOTED})")
_END = re.compile(rf"</({_QNAME})[ \t\n]*+>")
_TEXT = re.compile(r"[^<]++")
_SPACE = re.compile(r"[ \t\n]*+")
_REFERENCE = re.compile(r"&(?:#([0-9]{1,7})|#x([0-9a-fA-F]{1,6})|([a-z]{2,4}));|&")
_NO_CHARACTER = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_ENTITIES = {"lt": "<", "gt": ">", "amp": "&", "quot": '"', "apos": "'"}
_ENCODINGS = {"", "utf-8", "utf8", "us-ascii", "ascii"}
_XML = "http://www.w3.org/XML/1998/namespace"


class MalformedXml(Exception):
    """These bytes are no document that this reader knows; its only error."""


@dataclass(slots=True)
class Element:
    """One element: its namespace (empty for none), local name, text and children.

    The text is what stands directly in it. Attributes are not kept.
    """

    namespace: str
    name: str
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def find(self, *path: str) -> Element | None:
        """Return the first element that this path of local names leads to."""
        if not path:
            return self
        for child in self.children:
            if child.name == path[0] and (found := child.find(*path[1:])) is not None:
                return found
        return None


@dataclass(slots=True)
class _Open:
    """An element that has not ended: its name as written, and its namespaces."""

    qname: str
    element: Element
    namespaces: dict[str, str]
    texts: list[str] = field(default_factory=list)


def parse_xml(untrusted_data: bytes, max_elements: int) -> Element:
    """Read a document, whose size is bounded already, and return its root.

    Raises MalformedXml.
    """
    try:
        untrusted_text = untrusted_data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedXml("not UTF-8") from None
    if _NO_CHARACTER.search(untrusted_text):
        raise MalformedXml("a character that XML does not have")
    untrusted_text = untrusted_text.replace("\r\n", "\n").replace("\r", "\n")
    return _Reader(untrusted_text, max_elements).read()


class _Reader:
    def __init__(self, untrusted_text: str, max_elements: int) -> None:
        self._text = untrusted_text
        self._left = max_elements
        self._open: list[_Open] = []
        self._root: Element | None = None

    def read(self) -> Element:
        at = self._read_declaration()
        while at < len(self._text):
            at = self._read_one(at)
        if self._root is None or self._open:
            raise MalformedXml("the document has no end")
        return self._root

    def _read_declaration(self) -> int:
        if not self._text.startswith("<?xml"):
            return 0
        match = _DECLARATION.match(self._text)
        if match is None or (match[1] or "").lower() not in _ENCODINGS:
            raise MalformedXml("a declaration or encoding that is not known here")
        return match.end()

    def _read_one(self, at: int) -> int:
        """Read what begins here: a tag, a comment or text. Return where it ends."""
        if self._text[at] != "<":
            return self._read_text(at)
        if self._text.startswith("</", at):
            return self._read_end(at)
        if self._text.startswith("<!--", at):
            return self._read_comment(at)
        match = _START.match(self._text, at)
        if match is None:
            raise MalformedXml("neither element nor comment")
        self._begin(match[1], match[2])
        if match[3]:
            self._finish()
        return match.end()

    def _read_text(self, at: int) -> int:
        match = _TEXT.match(self._text, at)
        untrusted_raw = match[0] if match else ""
        if self._open:
            if "]]>" in untrusted_raw:
                raise MalformedXml("]]> in a text")
            self._open[-1].texts.append(_resolve(untrusted_raw))
        elif not _SPACE.fullmatch(untrusted_raw):
            raise MalformedXml("text outside the root")
        return at + len(untrusted_raw)

    def _read_comment(self, at: int) -> int:
        end = self._text.find("--", at + 4)
        if not self._text.startswith("-->", end):
            raise MalformedXml("a comment that does not end as one")
        return end + 3

    def _read_end(self, at: int) -> int:
        match = _END.match(self._text, at)
        if match is None or not self._open or self._open[-1].qname != match[1]:
            raise MalformedXml("an end of what did not begin")
        self._finish()
        return match.end()

    def _begin(self, qname: str, untrusted_attributes: str) -> None:
        self._left -= 1
        if self._left < 0 or len(self._open) >= MAX_DEPTH:
            raise MalformedXml("too many elements")
        if not self._open and self._root is not None:
            raise MalformedXml("a second root")
        outer = self._open[-1].namespaces if self._open else {"xml": _XML}
        namespaces = _read_attributes(untrusted_attributes, outer)
        prefix, _, name = qname.rpartition(":")
        if prefix and prefix not in namespaces:
            raise MalformedXml("a prefix without a namespace")
        element = Element(namespaces.get(prefix, ""), name)
        if self._open:
            self._open[-1].element.children.append(element)
        else:
            self._root = element
        self._open.append(_Open(qname, element, namespaces))

    def _finish(self) -> None:
        done = self._open.pop()
        done.element.text = "".join(done.texts)


def _read_attributes(untrusted_text: str, outer: dict[str, str]) -> dict[str, str]:
    """Check attributes; return the namespaces that hold inside of their element."""
    if not untrusted_text:
        return outer
    seen: dict[str, str] = {}
    for match in _ATTRIBUTE.finditer(untrusted_text):
        if match[1] in seen or len(seen) >= MAX_ATTRIBUTES:
            raise MalformedXml("an attribute twice, or too many")
        seen[match[1]] = _resolve(match[2][1:-1])
    declared = {
        name[6:]: value
        for name, value in seen.items()
        if name == "xmlns" or name.startswith("xmlns:")
    }
    if any(prefix.startswith("xml") for prefix in declared):
        raise MalformedXml("a prefix that belongs to XML")
    namespaces = {**outer, **declared} if declared else outer
    for name in seen:
        prefix = name.rpartition(":")[0]
        if prefix not in ("", "xmlns") and prefix not in namespaces:
            raise MalformedXml("a prefix without a namespace")
    return namespaces


def _resolve(untrusted_raw: str) -> str:
    """Put characters in the place of references."""
    if "&" not in untrusted_raw:
        return untrusted_raw
    return _REFERENCE.sub(_replace, untrusted_raw)


def _replace(match: re.Match[str]) -> str:
    decimal, hexadecimal, name = match.groups()
    if name in _ENTITIES:
        return _ENTITIES[name]
    if not decimal and not hexadecimal:
        raise MalformedXml("an entity that is not predefined")
    code = int(decimal) if decimal else int(hexadecimal, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF or _NO_CHARACTER.match(chr(code)):
        raise MalformedXml("the number of no character")
    return chr(code)


def escape(untrusted_text: str) -> str:
    """Make any text safe as the text of an element or of a quoted attribute."""
    kept = _NO_CHARACTER.sub("", untrusted_text)
    kept = kept.encode("utf-8", "ignore").decode("utf-8")
    for character, entity in (("&", "amp"), ("<", "lt"), (">", "gt"), ('"', "quot")):
        kept = kept.replace(character, f"&{entity};")
    return kept
