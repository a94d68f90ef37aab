# SPDX-License-Identifier: GPL-2.0-or-later
"""The tour: one port through a real chain of qubes, opened and closed again.

Every step is a command that anybody could type, run in the lab with real packets,
and checked. The exit status says whether all of it held.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

_PAGE = "Hello from work, behind two network qubes."
_SERVER = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{page}\\n")
server = http.server.ThreadingHTTPServer(("", 8443), Page)
server.serve_forever()
"""
_CHAIN = """
   lan               sys-net           sys-firewall    work
   192.168.1.20 ───▶ 192.168.1.10 ───▶ {firewall:<10} ───▶ {work}
   curl              owns the card     routes for work web server on 8443
"""


@dataclass
class Tour:
    """One run of the tour in the lab `name`; `failed` are the steps that did not."""

    name: str
    colour: bool
    failed: list[str] = field(default_factory=list)

    def _paint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def say(self, text: str) -> None:
        """Print a heading."""
        print(f"\n{self._paint('1;36', text)}", flush=True)

    def check(self, what: str, held: bool) -> None:
        """Print and keep whether something held."""
        mark = self._paint("32", "✔") if held else self._paint("1;31", "✘")
        print(f"  {mark} {what}", flush=True)
        if not held:
            self.failed.append(what)

    def run(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab, and show it with what it printed."""
        shown = " ".join(f"'{word}'" if " " in word else word for word in command)
        prompt = self._paint("33", f"[{where}] $")
        print(f"  {prompt} {shown}", flush=True)
        done = self.quietly(where, *command)
        for line in (done.stdout + done.stderr).splitlines():
            print(f"      {line}", flush=True)
        return done

    def quietly(self, where: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the lab."""
        return subprocess.run(
            self._lab("exec", where, "--", *command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def start(self, where: str, *command: str) -> subprocess.Popen[str]:
        """Start a command in the lab, show it, and go on."""
        prompt = self._paint("33", f"[{where}] $")
        print(f"  {prompt} {' '.join(command)} &", flush=True)
        return subprocess.Popen(
            self._lab("exec", where, "--", *command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )

    def _lab(self, command: str, *words: str) -> Sequence[str]:
        program = [sys.executable, "-m", "qubesforward.lab.main"]
        return [*program, command, "--name", self.name, *words]

    def up(self) -> bool:
        """Start the lab."""
        return subprocess.run(self._lab("up"), check=False).returncode == 0

    def down(self) -> None:
        """End the lab, whatever happened in it."""
        done = subprocess.run(self._lab("down"), check=False)
        self.check("nothing is left of the lab", done.returncode == 0)

    def fetch(self, where: str, url: str) -> str:
        """Fetch a page with curl and return what it printed; empty when it failed."""
        done = self.run(where, "curl", "-sS", "--max-time", "2", url)
        return done.stdout if done.returncode == 0 else ""

    def serve(self) -> subprocess.Popen[str]:
        """Start a web server in work; its log is the process's standard error."""
        script = _SERVER.format(page=_PAGE)
        server = subprocess.Popen(
            self._lab("exec", "work", "--", "python3", "-u", "-c", script),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        deadline = time.monotonic() + 5
        probe = ("curl", "-sS", "--max-time", "1", "http://127.0.0.1:8443/")
        while self.quietly("work", *probe).returncode and time.monotonic() < deadline:
            time.sleep(0.05)
        return server


def _show_chain(tour: Tour) -> None:
    addresses = {
        name: tour.quietly("dom0", "qvm-prefs", name, "ip").stdout.strip()
        for name in ("sys-firewall", "work")
    }
    firewall, work = addresses["sys-firewall"], addresses["work"]
    print(_CHAIN.format(firewall=firewall, work=work))


def _open_and_close(tour: Tour) -> None:
    url = "http://192.168.1.10:443/"
    tour.say("1. Off by default: the LAN cannot reach work")
    tour.check("nothing answers", not tour.fetch("lan", url))

    tour.say("2. One command opens the port through the whole chain")
    done = tour.run("dom0", "qvm-forward", "work", "443:8443", "--from", "192.168.1.20")
    tour.check("opened", done.returncode == 0)

    tour.say("3. The client fetches the page; its neighbour gets nothing")
    tour.check("the page came", _PAGE in tour.fetch("lan", url))
    tour.check("lan2 is not let in", not tour.fetch("lan2", url))

    tour.say("4. What is exposed, and by which hops")
    tour.run("dom0", "qvm-forward")
    status = tour.run("dom0", "qvm-firewall", "work", "status")
    tour.check("every hop has acknowledged", "active" in status.stdout)
    tour.run("dom0", "qubesdb-multiread", "-d", "sys-firewall", "/qubes-forward/")

    tour.say("5. Another netvm: the path follows by itself")
    tour.run("dom0", "qvm-prefs", "work", "netvm", "sys-net")
    time.sleep(1)
    tour.check("the page comes by the shorter chain", _PAGE in tour.fetch("lan", url))
    tour.run("dom0", "qvm-prefs", "work", "netvm", "sys-firewall")

    tour.say("6. Close it")
    done = tour.run("dom0", "qvm-forward", "work", "--close", "443")
    tour.check("closed", done.returncode == 0)
    tour.check("nothing answers any more", not tour.fetch("lan", url))

    tour.say("7. A timed forward ends by itself, even in mid-transfer")
    tour.run("dom0", "qvm-forward", "work", "443:8443", "--for", "4s")
    tour.check("open now", _PAGE in tour.fetch("lan", url))
    time.sleep(4.2)
    tour.check("closed four seconds later", not tour.fetch("lan", url))


def _let_program_ask(tour: Tour) -> None:
    tour.say("8. A program in work asks its router for a port: the user decides")
    policy = ("--portmap", "ask", "--portmap-reach", "lan")
    tour.run("dom0", "qvm-forward", "work", *policy)
    deadline = time.monotonic() + 5
    while tour.quietly("work", "natpmpc").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    asking = tour.start("work", "natpmpc", "-a", "8443", "8443", "tcp", "60")
    request = _wait_for_request(tour)
    tour.run("dom0", "qvm-forward", "--requests")
    tour.check("one request is open", bool(request))
    url = "http://192.168.1.10:8443/"
    tour.check("nothing is open yet", not tour.fetch("lan", url))
    tour.run("dom0", "qvm-forward", "--grant", request)
    answer = asking.communicate(timeout=30)[0]
    print("      " + "\n      ".join(answer.splitlines()[-4:]), flush=True)
    tour.check("the program got its port", "Mapped public port 8443" in answer)
    tour.check("the page comes by it", _PAGE in tour.fetch("lan", url))
    tour.run("dom0", "qvm-forward")
    tour.run("dom0", "qvm-forward", "work", "--portmap", "off")
    time.sleep(0.5)
    tour.check("switched off, all of it is closed", not tour.fetch("lan", url))


def _wait_for_request(tour: Tour) -> str:
    """Return the ID of the first request, empty if none comes."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        told = tour.quietly("dom0", "qvm-forward", "--requests", "--json").stdout
        found = json.loads(told)["requests"] if told else []
        if found:
            return str(found[0]["id"])
        time.sleep(0.2)
    return ""


def _show_log(tour: Tour, server: subprocess.Popen[str]) -> None:
    tour.say("9. What the server in work saw")
    tour.quietly("work", "pkill", "-f", "ThreadingHTTPServer")
    lines = [
        line
        for line in server.communicate(timeout=10)[1].splitlines()
        if "GET" in line and not line.startswith("127.0.0.1")
    ]
    for line in lines:
        print(f"      {line}")
    seen = {line.split(" ")[0] for line in lines}
    tour.check("the client's real address", seen == {"192.168.1.20"})


def run_demo(name: str) -> int:
    """Run the tour in a lab of its own; 0 when every step held."""
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    tour = Tour(name, colour)
    started = time.monotonic()
    tour.say("A Qubes network on this machine, out of kernel namespaces")
    if not tour.up():
        return 1
    try:
        _show_chain(tour)
        server = tour.serve()
        _open_and_close(tour)
        _let_program_ask(tour)
        _show_log(tour, server)
    finally:
        tour.say("Down")
        tour.down()
    seconds = time.monotonic() - started
    if tour.failed:
        print(f"\n{len(tour.failed)} steps did not hold: {'; '.join(tour.failed)}")
        return 1
    print(f"\nAll of it held, in {seconds:.0f} seconds.")
    return 0


def main() -> int:
    """Run the tour."""
    return run_demo(f"demo-{os.getpid()}")
