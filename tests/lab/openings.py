# SPDX-License-Identifier: GPL-2.0-or-later
"""What a kernel or a QubesDB of a lab holds open, in one form that can be compared.

An opening is one text, an entry without its end: ``uplink tcp 443-443 0.0.0.0/0 to
10.137.0.20 8443-8443``, or for a door ``self tcp 8443-8443 0.0.0.0/0``.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from qubesforward.lab.enter import list_processes
from qubesforward.lab.state import LabState
from qubesforward.model.entry import Entry, parse_entry
from qubesforward.nft.layout import TABLE
from qubesforward.nft.shapes import USUAL
from tests.lab.running_lab import BACKEND, RunningLab
from tests.lab.standing import Reader

_ENTRANCES = ("external", "uplink", "local", "self")


def describe(entry: Entry) -> str:
    """Return an entry's opening."""
    text = f"{entry.entrance} {entry.proto} {_ports(entry.ports)} {entry.src}"
    if entry.to is None:
        return text
    return f"{text} to {entry.to} {_ports(entry.toports)}"


def _ports(ports: Any) -> str:
    return f"{ports.first}-{ports.last}"


def published(reader: Reader, qube: str) -> set[str]:
    """Return the openings that the QubesDB of a qube has."""
    values = reader.read(qube, "/qubes-forward/").values()
    return {describe(parse_entry(value)) for value in values}


def namespace_pids(lab: RunningLab) -> dict[str, int]:
    """Return the host pids of pid 1 of every domain that runs."""
    return {
        where: pid
        for pid, where, program in list_processes(LabState(lab.name))
        if program == "lab-init"
    }


def nft(pid: int, *words: str) -> str:
    """Run nft in the network namespace of a process; empty if it fails."""
    return _run(pid, "nft", *words)


def _run(pid: int, program: str, *words: str) -> str:
    spaces = ["-n"]
    if not Path(f"/proc/{pid}/ns/user").samefile("/proc/self/ns/user"):
        spaces = ["-U", "--preserve-credentials", "-n"]
    command = ["nsenter", "-t", str(pid), *spaces, program]
    done = subprocess.run(
        [*command, *words], capture_output=True, text=True, timeout=30, check=False
    )
    return done.stdout if done.returncode == 0 else ""


def read_kernel(pid: int) -> set[str]:
    """Return the openings of the kernel that a process is in."""
    if BACKEND == "iptables":
        return set(_read_chains(pid, 4)) | set(_read_chains(pid, 6))
    listing = nft(pid, "-j", "list", "table", "inet", TABLE)
    sets: dict[str, list[Any]] = {}
    try:
        items = json.loads(listing)["nftables"] if listing else []
    except json.JSONDecodeError:
        # Of a dormant table, nft 1.0.6 writes JSON that ends at its flags, by chance;
        # such a table has nothing open.
        items = []
    for item in items:
        for found in (item.get("set"), item.get("map")):
            if found is not None:
                sets[found["name"]] = found.get("elem", [])
    return set(_openings(sets))


_ENTRANCE = re.compile(
    r"-A QBS-FWD-(?P<entrance>EXTERNAL|UPLINK|LOCAL) (?:-s (?P<src>\S+) )?"
    r"-p (?P<proto>\w+) -m \w+ --dport (?P<ports>\S+) "
    r".*--set-xmark (?P<mark>0x[0-9a-f]+)/"
)
_DNAT = re.compile(
    r"-A QBS-FWD-\w+ -p \w+ -m connmark --mark (?P<mark>0x[0-9a-f]+)"
    r" -j DNAT --to-destination (?P<to>[0-9.]+|\[.*\]|[0-9a-f:]+)"
    r"(?::(?P<ports>[0-9-]+)(?:/\d+)?)?$"
)
_DOOR = re.compile(
    r"-A QBS-FWD-DOORS (?:-s (?P<src>\S+) )?-p (?P<proto>\w+)"
    r" -m \w+ --dport (?P<ports>\S+) "
)
_LIVE = re.compile(r"-A QBS-FWD-PASSING -m connmark --mark (0x[0-9a-f]+) ")


def _read_chains(pid: int, family: int) -> Iterator[str]:
    """Give the openings of one family in the words of iptables-save."""
    name = f"ip{'' if family == 4 else '6'}tables"
    lines = _run(pid, f"{name}-legacy-save").splitlines()
    lines = lines or _run(pid, f"{name}-nft-save").splitlines()
    anyone = "0.0.0.0/0" if family == 4 else "::/0"
    live = {found[1] for line in lines if (found := _LIVE.match(line))}
    targets = {found["mark"]: found for line in lines if (found := _DNAT.match(line))}
    for line in lines:
        if door := _DOOR.match(line):
            ports = _both_ends(door["ports"])
            yield f"self {door['proto']} {ports} {door['src'] or anyone}"
        if found := _ENTRANCE.match(line):
            ports, mark = _both_ends(found["ports"]), found["mark"]
            src = found["src"] or anyone
            text = f"{found['entrance'].lower()} {found['proto']} {ports} {src}"
            to = targets[mark]
            inner = _both_ends(to["ports"]) if to["ports"] else ports
            where = f"{to['to'].strip('[]')} {inner}" if mark in live else "nowhere"
            yield f"{text} to {where}"


def _both_ends(ports: str) -> str:
    first, _, last = ports.replace("-", ":").partition(":")
    return f"{first}-{last or first}"


def _openings(sets: Mapping[str, list[Any]]) -> Iterator[str]:
    live = {_key(element) for element in sets.get("live", [])}
    for entrance in _ENTRANCES:
        for family in (4, 6):
            name = f"{entrance}{family}"
            for element in sets.get(name, []):
                yield from _opening(sets, live, name, element, 0)
            # A hash holds the address of a network, and its name the length.
            for length in USUAL[family]:
                for element in sets.get(f"{name}_{length}", []):
                    yield from _opening(sets, live, name, element, length)
            for element in sets.get(f"{name}_wide", []):
                yield from _opening(
                    sets, live, name, element, 32 if family == 4 else 128
                )


def _opening(
    sets: Mapping[str, list[Any]],
    live: set[str],
    name: str,
    element: Any,
    length: int,
) -> Iterator[str]:
    entrance, family = name[:-1], int(name[-1])
    is_self = entrance == "self"
    key, mark = (element, 0) if is_self else element
    key = _bare(key)["concat"]
    ports = _range(key[1])
    anyone = "0.0.0.0/0" if family == 4 else "::/0"
    src = _network(key[2], length) if len(key) > 2 else anyone
    text = f"{entrance} {key[0]} {ports} {src}"
    if is_self:
        yield text
    elif json.dumps(mark) in live:
        yield f"{text} to {_target(sets, mark, family, ports)}"
    else:
        yield f"{text} to nowhere"


def _target(sets: Mapping[str, list[Any]], mark: int, family: int, ports: str) -> str:
    for key, to in sets.get(f"keep{family}", []):
        if key == mark:
            return f"{to} {ports}"
    for key, data in sets.get(f"fixed{family}", []):
        if key == mark:
            to, port = data["concat"]
            return f"{to} {port}-{port}"
    each = [
        data["concat"]
        for key, data in sets.get(f"each{family}", [])
        if key["concat"][0] == mark
    ]
    inner = sorted(port for _to, port in each)
    return f"{each[0][0]} {inner[0]}-{inner[-1]}" if each else "nobody"


def _bare(element: Any) -> Any:
    if isinstance(element, dict) and "elem" in element:
        return element["elem"]["val"]
    return element


def _key(element: Any) -> str:
    return json.dumps(_bare(element))


def _range(value: Any) -> str:
    if isinstance(value, dict):
        return "{}-{}".format(*value["range"])
    return f"{value}-{value}"


def _network(value: Any, length: int) -> str:
    if isinstance(value, dict):
        return f"{value['prefix']['addr']}/{value['prefix']['len']}"
    return f"{value}/{length}"
