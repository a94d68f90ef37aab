# SPDX-License-Identifier: GPL-2.0-or-later
"""How much passes two network qubes a second: forwarded, routed, and relayed."""

from __future__ import annotations

import json
import subprocess
import time
from contextlib import ExitStack

from bench.figures import Sheet
from bench.labs import CARD, CHAINS, addresses_of, bench_lab
from bench.scale import Scale
from bench.scripted import opening_commands
from tests.lab.forwards import forwarded
from tests.lab.running_lab import RunningLab

OURS = "qubes-forward"
PLAIN = "plain routing"
TYPED = "documented commands"
SOCAT = "socat in each hop"
PROXYD = "systemd-socket-proxyd in each hop"

_PORT, _SOCAT_PORT, _PROXYD_PORT = 5201, 5202, 5203
_SERVERS = {OURS: 5201, PLAIN: 5211, SOCAT: 5212, PROXYD: 5213, TYPED: 5214}
"""A server of its own for each, for one serves one client at a time."""

_TARGET, _MIDDLE, _EDGE = CHAINS[2]
_PROXYD = "/usr/lib/systemd/systemd-socket-proxyd"
_STREAMS = (1, 8)


class _Path:
    """One way from the LAN to a server in the target."""

    def __init__(self, name: str, lab: RunningLab, address: str, port: int) -> None:
        self.name, self._lab, self._address, self._port = name, lab, address, port

    def run(self, proto: str, streams: int) -> float:
        """Send for a second; return the Gbit/s that came."""
        words = ["iperf3", "-J", "-c", self._address, "-p", str(self._port)]
        words += ["-t", "1", "-P", str(streams)]
        if proto == "UDP":
            words += ["-u", "-b", "0"]
        for _ in range(_TRIES):
            done = self._lab.exec("lan", words, timeout=60)
            told = json.loads(done.stdout or "{}").get("end", {})
            found = told.get("sum_received") or told.get("sum")
            if done.returncode == 0 and found:
                lost = found.get("lost_percent", 0.0) if proto == "UDP" else 0.0
                return float(found["bits_per_second"]) / 1e9 * (1 - lost / 100)
            # The server is still busy with what came before, for a moment.
            time.sleep(0.3)
        raise RuntimeError(f"{self.name}: {proto}: {done.stdout[-500:]}{done.stderr}")


_TRIES = 10


def measure(scale: Scale, sheet: Sheet) -> None:
    """Send by all ways in turn, and again."""
    with ExitStack() as stack:
        ours = stack.enter_context(bench_lab())
        plain = stack.enter_context(bench_lab())
        paths = [*_open_ours(stack, ours), *_open_plain(stack, plain)]
        for number in range(scale.pick(10, 1)):
            # What comes first in one round comes last in the next.
            turn = paths if number % 2 == 0 else paths[::-1]
            for proto in ("TCP", "UDP"):
                for streams in scale.pick(_STREAMS, (1,)):
                    _send(turn, proto, streams, sheet)


def _send(paths: list[_Path], proto: str, streams: int, sheet: Sheet) -> None:
    what = f"{proto}, {streams} stream{'s' if streams > 1 else ''}"
    for path in paths:
        # Neither relays datagrams of one client to and fro without loss of which
        # is which when several streams share it; socat takes one stream.
        # The documented commands are those of a TCP port.
        if proto == "UDP" and path.name in (TYPED, SOCAT, PROXYD):
            continue
        sheet.note(what, path.name, path.run(proto, streams), "Gbit/s")


def _serve(stack: ExitStack, lab: RunningLab, where: str, *words: str) -> None:
    """Keep a program running in a domain."""
    process = lab.spawn(
        where, words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    stack.callback(process.communicate)
    stack.callback(process.kill)


def _serve_iperf(stack: ExitStack, lab: RunningLab, side: str) -> None:
    _serve(stack, lab, _TARGET, "iperf3", "-s", "-p", str(_SERVERS[side]))


def _open_ours(stack: ExitStack, lab: RunningLab) -> list[_Path]:
    _serve_iperf(stack, lab, OURS)
    rule = f"forwardtype=external srcports={_PORT} dstports={_SERVERS[OURS]}"
    stack.enter_context(forwarded(lab, _TARGET, rule))
    return [_Path(OURS, lab, CARD, _PORT)]


def _open_plain(stack: ExitStack, lab: RunningLab) -> list[_Path]:
    """Take our parts out of a lab, and let it route and relay."""
    for name in (PLAIN, TYPED, SOCAT, PROXYD):
        _serve_iperf(stack, lab, name)
    addresses = addresses_of(lab)
    target, middle = addresses[_TARGET], addresses[_MIDDLE]
    for name in (_TARGET, _MIDDLE, _EDGE):
        lab.run("service", name, "stop", "qubes-forward-agent")
        lab.check(name, "nft", "delete table inet qubes-forward")
        lab.check(name, "nft", "insert rule ip qubes custom-forward accept")
        lab.check(name, "nft", "insert rule ip qubes custom-input accept")
    vif = json.loads(lab.check(_EDGE, "ip", "-j", "route", "get", middle))[0]["dev"]
    lab.check(_EDGE, "nft", f"add element ip qubes vif_sources {{ {vif} . {target} }}")
    lab.check(_EDGE, "ip", "route", "add", target, "via", middle, "dev", vif, "onlink")
    lab.check("lan", "ip", "route", "add", target, "via", CARD)
    # Its answers are routed back as they came; nothing is translated on this way. On
    # another port the same hops translate, with the least rules that do.
    for name, commands in opening_commands(CHAINS[2], addresses, _SERVERS[TYPED]):
        for command in commands:
            lab.check(name, "nft", command)
    for hop, to in ((_EDGE, middle), (_MIDDLE, target)):
        _relay(stack, lab, hop, to, last=hop == _MIDDLE)
    time.sleep(0.5)
    return [
        _Path(PLAIN, lab, target, _SERVERS[PLAIN]),
        _Path(TYPED, lab, CARD, _SERVERS[TYPED]),
        _Path(SOCAT, lab, CARD, _SOCAT_PORT),
        _Path(PROXYD, lab, CARD, _PROXYD_PORT),
    ]


def _relay(stack: ExitStack, lab: RunningLab, hop: str, to: str, *, last: bool) -> None:
    port = _SERVERS[SOCAT] if last else _SOCAT_PORT
    listen = f"TCP-LISTEN:{_SOCAT_PORT},fork,reuseaddr"
    _serve(stack, lab, hop, "socat", listen, f"TCP:{to}:{port}")
    port = _SERVERS[PROXYD] if last else _PROXYD_PORT
    activate = ["systemd-socket-activate", "-l", str(_PROXYD_PORT), _PROXYD]
    # As systemd starts services; else it ends when a client does.
    ignoring = ["sh", "-c", "trap '' PIPE; exec \"$@\"", "-"]
    _serve(stack, lab, hop, *ignoring, *activate, f"{to}:{port}")
