# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import contextlib
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.portmap.xml_reader import (
    MAX_DEPTH,
    Element,
    MalformedXml,
    escape,
    parse_xml,
)
from tests.qubes.running import UNHURRIED

MANY = 100


def read(text: str) -> Element:
    return parse_xml(text.encode(), MANY)


def test_names_namespaces_texts_and_children_are_read() -> None:
    root = read(
        '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\r\n<!-- x -->'
        "<s:a xmlns:s='urn:s' s:b='1' xml:lang=\"de\">"
        '<c xmlns="urn:c"> x <d/> y<!-- no -->&lt;&#65;&#x42; </c><e/></s:a> \n'
    )
    assert (root.namespace, root.name, root.text) == ("urn:s", "a", "")
    inner, last = root.children
    assert (inner.namespace, inner.name) == ("urn:c", "c")
    assert inner.text == " x  y<AB "
    assert (inner.children[0].namespace, last.namespace) == ("urn:c", "")
    assert root.find("c", "d") is inner.children[0]
    assert root.find("c", "e") is None


def test_prefix_holds_only_inside_of_its_element() -> None:
    with pytest.raises(MalformedXml):
        read("<a><b xmlns:p='urn:p'/><p:c/></a>")


REFUSED = {
    "nothing": "",
    "text only": "a",
    "no end": "<a>",
    "no end of a tag": "<a",
    "another end": "<a></b>",
    "end first": "</a>",
    "crossed": "<a><b></a></b>",
    "two roots": "<a/><b/>",
    "text behind": "<a/>x",
    "doctype": "<!DOCTYPE a><a/>",
    "internal entity": '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "external entity": '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
    "entity": "<a>&b;</a>",
    "entity without end": "<a>&lt</a>",
    "ampersand": "<a>a & b</a>",
    "cdata": "<a><![CDATA[x]]></a>",
    "end of cdata": "<a>]]></a>",
    "instruction": "<a><?php x?></a>",
    "late declaration": " <?xml version='1.0'?><a/>",
    "encoding": "<?xml version='1.0' encoding='utf-16'?><a/>",
    "comment with dashes": "<a><!-- -- --></a>",
    "comment without end": "<a><!-- </a>",
    "attribute without value": "<a b/>",
    "attribute without quotes": "<a b=c/>",
    "attribute twice": "<a b='1' b='2'/>",
    "tag in an attribute": "<a b='<c/>'/>",
    "no space between": "<a b='1'c='2'/>",
    "unknown prefix": "<p:a/>",
    "unknown prefix of an attribute": "<a p:b='1'/>",
    "reserved prefix": "<a xmlns:xml='urn:x'/>",
    "two colons": "<a:b:c xmlns:a='urn:a'/>",
    "NUL": "<a>\0</a>",
    "number of NUL": "<a>&#0;</a>",
    "number of a surrogate": "<a>&#xD800;</a>",
    "number too large": "<a>&#x110000;</a>",
    "too deep": "<a>" * (MAX_DEPTH + 1) + "</a>" * (MAX_DEPTH + 1),
    "too many": "<a>" + "<b/>" * MANY + "</a>",
    "too many attributes": "<a" + "".join(f" b{n}=''" for n in range(17)) + "/>",
    "name of other letters": "<ä/>",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED)
def test_what_is_not_needed_is_refused(text: str) -> None:
    with pytest.raises(MalformedXml):
        read(text)


def test_other_encodings_are_refused() -> None:
    for untrusted in (b"<a>\xff</a>", "<a/>".encode("utf-16"), b"<a>\xed\xa0\x80</a>"):
        with pytest.raises(MalformedXml):
            parse_xml(untrusted, MANY)


@UNHURRIED
@given(st.text())
def test_any_text_survives_escaping(text: str) -> None:
    written = escape(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        text = text.encode(errors="ignore").decode()
    for one in range(32):
        if chr(one) not in "\t\n\r":
            text = text.replace(chr(one), "")
    text = text.replace("\ufffe", "").replace("\uffff", "")
    again = read(f'<a b="{written}">{written}</a>').text
    assert again == text.replace("\r\n", "\n").replace("\r", "\n")


def shape(element: Element) -> object:
    name = element.name
    if element.namespace:
        name = f"{{{element.namespace}}}{name}"
    return name, element.text, [shape(child) for child in element.children]


def reference_shape(element: ElementTree.Element) -> object:
    texts = [element.text or "", *(child.tail or "" for child in element)]
    return element.tag, "".join(texts), [reference_shape(child) for child in element]


PIECES = st.sampled_from(
    [
        *("<a>", "</a>", "<b/>", "<p:c xmlns:p='u'>", "</p:c>", "<d xmlns='v'>"),
        *("</d>", "<a b='1' c=\"2\">", "text", " ", "&amp;", "&#65;", "<!-- c -->"),
        *("<", ">", "&", "]]>", "'", '"', "<?xml version='1.0'?>", "\r\n", "é"),
    ]
)


@UNHURRIED
@given(st.lists(PIECES, max_size=12).map("".join))
def test_what_is_read_is_what_others_read_too(text: str) -> None:
    try:
        ours = read(text)
    except MalformedXml:
        return
    theirs = ElementTree.fromstring(text)
    assert shape(ours) == reference_shape(theirs)


@UNHURRIED
@given(st.binary(max_size=300))
def test_any_bytes_are_a_document_or_the_documented_error(untrusted: bytes) -> None:
    with contextlib.suppress(MalformedXml):
        parse_xml(untrusted, MANY)
