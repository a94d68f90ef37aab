# SPDX-License-Identifier: GPL-2.0-or-later
"""qrexec services and policy that a test has in a lab, and takes away again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.lab.running_lab import RunningLab

# Serves every connection of a unix socket: says what came first, up to a NUL if it
# shall wait for one, echoes the rest, and when that has ended says so.
_SOCKET_SERVICE = """
import os, socket, sys, threading
path, descriptor = sys.argv[1], sys.argv[2] == "yes"
os.makedirs(os.path.dirname(path), exist_ok=True)
if os.path.lexists(path):
    os.unlink(path)
listener = socket.socket(socket.AF_UNIX)
listener.bind(path)
listener.listen(100)
print("ready", flush=True)
def serve(one):
    first = b""
    while descriptor and not first.endswith(b"\\0"):
        first += one.recv(1)
    one.sendall(first[:-1] + b"\\n")
    while data := one.recv(65536):
        one.sendall(data)
    one.sendall(b"bye\\n")
    one.close()
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""


def write_file(lab: RunningLab, where: str, path: str, text: str) -> None:
    """Make a file that can be run, with a directory for it."""
    script = 'mkdir -p "${1%/*}" && cat > "$1" && chmod 755 "$1"'
    lab.check(where, "sh", "-c", script, "sh", path, input=text)


@contextmanager
def program_service(
    lab: RunningLab, where: str, name: str, script: str
) -> Iterator[None]:
    """Have a service that is a shell script."""
    path = f"/etc/qubes-rpc/{name}"
    write_file(lab, where, path, f"#!/bin/sh\n{script}\n")
    try:
        yield
    finally:
        lab.exec(where, ["rm", path])


@contextmanager
def socket_service(
    lab: RunningLab, where: str, name: str, *, descriptor: bool = True
) -> Iterator[subprocess.Popen[str]]:
    """Have a service that is a link to a socket; what serves it may be killed."""
    path, link = f"/run/tests/{name}.sock", f"/etc/qubes-rpc/{name}"
    words = ["python3", "-c", _SOCKET_SERVICE, path, "yes" if descriptor else "no"]
    with lab.spawn(where, words) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "ready\n"
        lab.check(where, "ln", "-s", path, link)
        try:
            yield server
        finally:
            server.kill()
            server.communicate()
            lab.exec(where, ["rm", link, path])


@contextmanager
def policy_file(lab: RunningLab, name: str, *lines: str) -> Iterator[None]:
    """Have a file of policy in dom0."""
    path = f"/etc/qubes/policy.d/{name}"
    write_file(lab, "dom0", path, "".join(f"{line}\n" for line in lines))
    try:
        yield
    finally:
        lab.exec("dom0", ["rm", path])
