# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that stand in a namespace and answer a line of JSON with one.

Times that they tell are of the machine's monotonic clock, which all namespaces share,
so that those of several can be compared.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

Spawn = Callable[[list[str]], subprocess.Popen[str]]
"""Starts a program in a namespace, with pipes for its input and output."""


class Standing:
    """One such program; it ends with the stack."""

    def __init__(self, stack: ExitStack, process: subprocess.Popen[str]) -> None:
        self._process = process
        stack.callback(self._end)
        if self._read() != "ready":
            raise RuntimeError("a helper did not start")

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _read(self) -> str:
        if self._process.stdout is None:
            raise RuntimeError("no pipe")
        return self._process.stdout.readline().strip()

    def ask(self, *question: Any) -> Any:
        """Send one line, and return the answer to it."""
        self.tell(*question)
        return json.loads(self._read())

    def tell(self, *question: Any) -> None:
        """Send one line, and leave the answer to `listen`."""
        if self._process.stdin is None:
            raise RuntimeError("no pipe")
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()

    def listen(self) -> Any:
        """Return the next answer."""
        return json.loads(self._read())


# ["connect", host, port, patience]: connects until something answers with bytes, and
#   tells when that was; null if it never was. The connection is kept.
# ["flow", silence]: reads what the kept connection brings until nothing has come for
#   so many seconds (at most 0.3 s in all); tells when the last bytes came.
DIALLER = """
import json, socket, sys, time
kept = None
def connect(host, port, patience):
    global kept
    end = time.monotonic() + patience
    while time.monotonic() < end:
        if kept is not None:
            kept.close()
        kept = socket.socket()
        kept.settimeout(0.02)
        try:
            kept.connect((host, port))
            if kept.recv(1):
                return time.monotonic()
        except OSError:
            pass
    return None
def flow(silence):
    last, end = time.monotonic(), time.monotonic() + 0.3
    kept.settimeout(silence)
    try:
        while time.monotonic() < end and kept.recv(65536):
            last = time.monotonic()
    except OSError:
        pass
    return last
print("ready", flush=True)
for line in sys.stdin:
    name, *rest = json.loads(line)
    print(json.dumps({"connect": connect, "flow": flow}[name](*rest)), flush=True)
"""

# Sends to whoever connects, without a pause longer than a millisecond, and gives up
# half a second after the other side is heard no more.
SENDER = """
import socket, sys, threading, time
def send(one):
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 500)
    try:
        while True:
            one.send(b".")
            time.sleep(0.001)
    except OSError:
        one.close()
def accept(listener):
    while True:
        threading.Thread(target=send, args=listener.accept()[:1], daemon=True).start()
for port in map(int, sys.argv[1:]):
    listener = socket.create_server(("", port))
    threading.Thread(target=accept, args=(listener,), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""

# [count, host, ports]: connects to ports in turn, and tells the microseconds that
#   each connect() took. Ended by a reset, so that nothing is left waiting. On one
#   processor, and whoever accepts on another: or it is a matter of luck, by half.
CONNECTOR = """
import json, os, socket, struct, sys
from time import perf_counter_ns
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
linger = struct.pack("ii", 1, 0)
print("ready", flush=True)
for line in sys.stdin:
    host, ports = json.loads(line)
    took = []
    for port in ports:
        one = socket.socket()
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        one.settimeout(5)
        began = perf_counter_ns()
        one.connect((host, port))
        took.append((perf_counter_ns() - began) / 1000)
        one.close()
    print(json.dumps(took), flush=True)
"""

ACCEPTOR = """
import os, socket, sys
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
listener = socket.create_server(("", int(sys.argv[1])), backlog=4096)
print("ready", flush=True)
while True:
    listener.accept()[0].close()
"""

# Each line is a shell command; the answer is when it was begun and when it was done.
SHELL = """
import json, subprocess, sys, time
shell = subprocess.Popen(["sh"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         text=True)
print("ready", flush=True)
for line in sys.stdin:
    (command,) = json.loads(line)
    began = time.monotonic()
    shell.stdin.write(command + "\\necho done $?\\n")
    shell.stdin.flush()
    status = shell.stdout.readline().split()
    ended = time.monotonic()
    if status != ["done", "0"]:
        sys.exit(f"{command}: {status}")
    print(json.dumps([began, ended]), flush=True)
"""
