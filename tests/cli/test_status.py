# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading the daemon's answers."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qubesforward.cli.reading import show_text
from qubesforward.cli.status import (
    Extent,
    HopState,
    State,
    decode_plan,
    decode_status,
)
from qubesforward.errors import MalformedMessage

RULE = "action=forward forwardtype=external proto=tcp srcports=443-443"


def forward(**more: Any) -> dict[str, Any]:
    return {"rule": RULE, "state": "active", **more}


def encode(*forwards: Any, **more: Any) -> bytes:
    qube = {"name": "work", "forwards": list(forwards), **more}
    return json.dumps({"qubes": [qube], "hops": []}).encode()


STEP = {
    "qube": "sys-net",
    "in": "external",
    "proto": "tcp",
    "ports": "443-443",
    "src": "0.0.0.0/0",
    "to": "10.137.0.6",
    "toports": "443-443",
    "until": None,
    "state": "pending",
    "reason": "its agent has not answered yet",
    "packets": 3,
    "bytes": 180,
}
SILENT = {"name": "sys-net", "state": "silent", "reason": "", "outside": ["10.0.0.1"]}


def test_reads_what_is_said_of_a_qube() -> None:
    data = encode(unconfirmed=True, problem="broken", unreadable=["why"])
    qube = decode_status(data).find_qube("work")
    assert (qube.unconfirmed, qube.problem) == (True, "broken")
    assert qube.unreadable == ("why",)


def test_reads_what_is_said_of_a_forward() -> None:
    told = forward(dial=["10.0.0.1"], listening=False, packets=3, bytes=180)
    told |= {"from": "default-dvm", "path": [STEP]}
    read = decode_status(encode(told)).find_qube("work").forwards[0]
    assert (read.state, read.owner, read.dial) == (
        State.ACTIVE,
        "default-dvm",
        ("10.0.0.1",),
    )
    assert (read.listening, read.packets, read.bytes) == (False, 3, 180)
    assert read.rule.srcports.first == 443
    assert (read.path[0].state, read.path[0].packets) == (State.PENDING, 3)
    assert (read.path[0].entrance, read.path[0].to) == ("external", "10.137.0.6")


def test_reads_who_asked_for_it_and_how_far_it_reaches() -> None:
    told = {"origin": "portmap", "via": ["igd", "a\x1bb"]}
    told |= {"extent": "carrier", "edge": "100.64.0.9:443"}
    read, other = decode_status(encode(forward(**told), forward())).qubes[0].forwards
    assert (read.is_mapping, read.vias) == (True, ("igd", "a?b"))
    assert (read.extent, read.edge) == (Extent.CARRIER, "100.64.0.9:443")
    assert (other.is_mapping, other.extent) == (False, Extent.LAN)


def test_reads_what_is_said_of_a_hop() -> None:
    hop = decode_status(json.dumps({"hops": [SILENT]}).encode()).hops[0]
    assert (hop.state, hop.outside) == (HopState.SILENT, ("10.0.0.1",))


def test_what_is_absent_or_null_is_empty() -> None:
    read = decode_status(encode(forward(listening=None, reason=None)))
    assert read.qubes[0].forwards[0].listening is None
    assert read.qubes[0].forwards[0].reason == ""
    assert read.find_qube("nobody").forwards == ()


def test_reads_a_plan_as_of_one_qube() -> None:
    plan = json.dumps({"forwards": [forward(state="conflict")], "hops": []}).encode()
    assert decode_plan(plan, "work").find_qube("work").forwards[0].state == "conflict"


@pytest.mark.parametrize(
    ("answer", "where"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "answer is not an object"),
        (b'{"qubes": {}}', r"answer\.qubes"),
        (b'{"qubes": [1]}', r"answer\.qubes\[0\] is not an object"),
        (encode(forward(state="open")), r"forwards\[0\]\.state='open' is unknown"),
        (encode(forward(state=1)), r"forwards\[0\]\.state"),
        (encode(forward(extent="moon")), r"forwards\[0\]\.extent='moon' is unknown"),
        (encode(forward(packets=True)), r"forwards\[0\]\.packets"),
        (encode(forward(listening=1)), r"forwards\[0\]\.listening"),
        (encode(forward(dial=[1])), r"forwards\[0\]\.dial"),
        (encode(forward(rule="action=accept")), "no forward"),
        (encode(forward(rule="action=forward")), "missing"),
        (encode(unreadable=["ok", None]), r"qubes\[0\]\.unreadable"),
    ],
)
def test_refuses_another_shape_and_says_where(answer: bytes, where: str) -> None:
    with pytest.raises(MalformedMessage, match=where):
        decode_status(answer)


def test_no_text_moves_the_cursor() -> None:
    read = decode_status(encode(forward(reason="a\x1b[2Jb\u202ec\n")))
    assert read.qubes[0].forwards[0].reason == "a?[2Jb?c?"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = st.sampled_from(
    ["qubes", "forwards", "hops", "path", "name", "state", "rule", "dial", "src"]
)
NEAR = st.recursive(
    st.none() | st.text() | st.sampled_from([RULE, "active", 1]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner),
)


@given(st.binary() | JSON.map(json.dumps).map(str.encode))
def test_any_bytes_are_a_status_or_the_one_error(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        decode_status(data)


@given(NEAR.map(json.dumps).map(str.encode))
def test_almost_right_answers_are_read_or_give_the_one_error(data: bytes) -> None:
    for decode in (decode_status, lambda data: decode_plan(data, "work")):
        with contextlib.suppress(MalformedMessage):
            decode(data)


@given(st.text())
def test_shown_text_is_printable_and_as_long(text: str) -> None:
    assert show_text(text).isprintable()
    assert len(show_text(text)) == len(text)
