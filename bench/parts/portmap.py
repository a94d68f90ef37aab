# SPDX-License-Identifier: GPL-2.0-or-later
"""Mappings that one program asks for in a row, here and at the server that others use.

Both answer a client on the next link: our gateway in `sys-firewall`, for a qube that is
allowed, with dom0 behind it; and miniupnpd on the router, for a host of its LAN.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.figures import Sheet
from bench.labs import stand
from bench.scale import Scale
from tests.lab.routers import ROUTER, router_topology
from tests.lab.running_lab import RunningLab, running_lab

OURS = "qubes-forward"
MINIUPNPD = "miniupnpd"
RATE = "mappings a second"
SLOWEST = "slowest of 100 answers"

_FIRST = 2000
_QUBES = ("sys-net", "sys-firewall", "work")
_FEATURES = {
    "portmap-mappings": "4096",
    "portmap-ports": "1024-65535",
    "portmap-reach": "lan",
    "portmap": "allow",
}

# [server, protocol, first port, count]: asks for so many UDP ports in a row, each when
# the one before is answered; tells the seconds of each. A lost packet is sent again.
_ASKER = """
import json, os, socket, struct, sys
from time import perf_counter
nonce = os.urandom(12)
def natpmp(one, port):
    return struct.pack(">BBHHHI", 0, 1, 0, port, port, 7200)
def pcp(one, port):
    own = b"\\0" * 10 + b"\\xff\\xff" + socket.inet_aton(one.getsockname()[0])
    head = struct.pack(">BBHI", 2, 1, 0, 7200) + own
    any_outside = b"\\0" * 10 + b"\\xff\\xff" + b"\\0" * 4
    return head + nonce + struct.pack(">BxxxHH", 17, port, port) + any_outside
def is_answer(protocol, data, port):
    if protocol == "natpmp":
        return data[1] == 129 and data[8:10] == struct.pack(">H", port)
    return data[1] == 129 and data[40:42] == struct.pack(">H", port)
def result(protocol, data):
    return data[3]
print("ready", flush=True)
for line in sys.stdin:
    server, protocol, first, count = json.loads(line)
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.connect((server, 5351))
    one.settimeout(1)
    encode = {"natpmp": natpmp, "pcp": pcp}[protocol]
    took = []
    for port in range(first, first + count):
        request, began = encode(one, port), perf_counter()
        one.send(request)
        while True:
            try:
                data = one.recv(2000)
            except TimeoutError:
                one.send(request)
                continue
            if is_answer(protocol, data, port):
                break
        took.append(perf_counter() - began)
        if result(protocol, data):
            sys.exit(f"port {port}: refused: {data!r}")
    one.close()
    print(json.dumps(took), flush=True)
"""


def measure(scale: Scale, sheet: Sheet) -> None:
    """Ask both for a thousand mappings, and for a thousand more."""
    count = scale.pick(1000, 5)
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        file = Path(folder, "topology.toml")
        file.write_text(router_topology(running=_QUBES))
        for number in range(scale.pick(5, 1)):
            with running_lab(file) as lab, ExitStack() as inner:
                _measure_lab(inner, lab, count, sheet, with_other=number == 0)


def _measure_lab(
    stack: ExitStack, lab: RunningLab, count: int, sheet: Sheet, *, with_other: bool
) -> None:
    for name, value in _FEATURES.items():
        lab.check("dom0", "qvm-features", "work", name, value)
    work = stand(stack, lab, "work", _ASKER)
    host = stand(stack, lab, "lan", _ASKER)
    gateway = lab.check("work", "ip", "route").split("default via ")[1].split()[0]
    _wait_served(lab)
    for turn, held in enumerate((0, count)):
        protocol = ("natpmp", "pcp")[turn]
        first = _FIRST + held
        _note(sheet, OURS, held, work.ask(gateway, protocol, first, count))
        if with_other:
            # It slows down so much that a part of the second thousand must do.
            some = count if not held else max(1, count // 10)
            _note(sheet, MINIUPNPD, held, host.ask(ROUTER, protocol, first, some))


def _note(sheet: Sheet, side: str, held: int, took: list[float]) -> None:
    sheet.note(RATE, side, len(took) / sum(took), "/s", held)
    slowest = sorted(took)[min(len(took) - 1, int(len(took) * 0.99))]
    sheet.note(SLOWEST, side, 1000 * slowest, "ms", held)


def _wait_served(lab: RunningLab) -> None:
    end = time.monotonic() + 10
    while lab.exec("work", ["natpmpc"]).returncode and time.monotonic() < end:
        time.sleep(0.1)
