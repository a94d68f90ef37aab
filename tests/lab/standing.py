# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that stand in a domain and act on request, a line of JSON at a time.

Starting one for each look would take longer than what is looked at.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from tests.lab.traffic import Answer, Lab

PATIENCE = 5.0
"""Seconds that a test waits for what takes a few hundredths."""

Wanted = tuple[str, str, int]
"""Protocol, address, port."""

# Takes [wanted, patience] and answers [[who, client, port] or null, …]. A refusal is
# no answer, like silence. UDP asks again while it waits: the first may meet a link
# that is just being made.
_PROBER = """
import json, selectors, socket, sys, time
def probe(wanted, patience):
    answers = [None] * len(wanted)
    pick = selectors.DefaultSelector()
    for number, (proto, address, port) in enumerate(wanted):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
        one = socket.socket(family, kind)
        one.setblocking(False)
        try:
            if one.connect_ex((address, port)) in (0, 115):
                if proto == "udp":
                    one.send(b"?")
                pick.register(one, selectors.EVENT_READ, number)
                continue
        except OSError:
            pass
        one.close()
    end = time.monotonic() + patience
    while pick.get_map() and time.monotonic() < end:
        for key, _ in pick.select(max(0, end - time.monotonic())):
            try:
                data = key.fileobj.recv(4096)
                answers[key.data] = json.loads(data) if data else None
            except (OSError, ValueError):
                pass
            pick.unregister(key.fileobj)
            key.fileobj.close()
    for key in list((pick.get_map() or {}).values()):
        key.fileobj.close()
    pick.close()
    return answers
print("ready", flush=True)
for line in sys.stdin:
    print(json.dumps(probe(*json.loads(line))), flush=True)
"""

# Takes [method, dest, arg, payload] and answers [true, text] or [false, kind, text].
# A service that is being restarted is waited for as a user would: by trying again.
_CALLER = """
import json, sys
from qubesforward.errors import AdminError, ForwardError
from qubesforward.qubes.admin import AdminClient
client = AdminClient(timeout=15)
print("ready", flush=True)
for line in sys.stdin:
    method, dest, arg, payload = json.loads(line)
    try:
        done = client.call(method, dest, arg, payload.encode())
        answer = [True, done.decode()]
    except AdminError as error:
        answer = [False, error.kind, str(error)]
    except ForwardError as error:
        answer = [False, "Unavailable", str(error)]
    print(json.dumps(answer), flush=True)
"""

# Takes [qube, prefix] and answers all that its QubesDB has below, {} if it has none.
_READER = """
import asyncio, json, sys
from qubesforward.errors import QubesDBError
from qubesforward.qubes.paths import qubesdb_socket
from qubesforward.qubes.qubesdb import QubesDB
async def read(qube, prefix):
    try:
        db = await QubesDB.connect(qubesdb_socket(qube))
        try:
            return await db.multiread(prefix)
        finally:
            await db.aclose()
    except QubesDBError:
        return {}
with asyncio.Runner() as runner:
    print("ready", flush=True)
    for line in sys.stdin:
        found = runner.run(read(*json.loads(line)))
        text = {path: value.decode("latin-1") for path, value in found.items()}
        print(json.dumps(text), flush=True)
"""

# Holds one TCP connection; for a number of seconds, says whether what it sends comes
# back in that time.
_HOLDER = """
import json, socket, sys
one = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
one.recv(100)
print("ready", flush=True)
for number, line in enumerate(sys.stdin):
    one.settimeout(json.loads(line))
    sent, got = b"<%d>" % number, b""
    try:
        one.send(sent)
        while not got.endswith(sent) and (piece := one.recv(100)):
            got += piece
    except OSError:
        pass
    print(json.dumps(got.endswith(sent)), flush=True)
"""

# Watches an interface; for an address, says how many packets from or to it passed
# since it was asked last. It looks for the address's bytes anywhere in the packet, so
# packets within packets count.
_WATCHER = """
import ipaddress, json, select, socket, sys
one = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
one.bind((sys.argv[1], 0))
one.setblocking(False)
print("ready", flush=True)
for line in sys.stdin:
    address, settle = json.loads(line)
    wanted, found = ipaddress.ip_address(address).packed, 0
    while select.select([one], [], [], settle)[0]:
        found += wanted in one.recv(65536)
    print(json.dumps(found), flush=True)
"""


class Standing:
    """A process in a domain, which answers each line that it is told."""

    def __init__(self, lab: Lab, where: str, script: str, *words: str) -> None:
        self._process = lab.spawn(where, [sys.executable, "-c", script, *words])
        self._pipes = self._process.stdin, self._process.stdout
        assert self._read() == "ready", f"nothing stands in {where}"

    def _read(self) -> str:
        assert self._pipes[1] is not None
        return self._pipes[1].readline().strip()

    def ask(self, question: Any) -> Any:
        """Send one line, and return the answer to it."""
        assert self._pipes[0] is not None
        self._pipes[0].write(json.dumps(question) + "\n")
        self._pipes[0].flush()
        return json.loads(self._read())

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()


class Prober(Standing):
    """Tries ports from one domain."""

    def __init__(self, lab: Lab, where: str) -> None:
        super().__init__(lab, where, _PROBER)

    def probe_all(
        self, wanted: Sequence[Wanted], patience: float = 0.3
    ) -> list[Answer | None]:
        """Try to reach each; None where nobody answers."""
        found = self.ask([list(wanted), patience])
        return [a and Answer(a[0], a[1], a[2]) for a in found]

    def reach(self, address: str, port: int, proto: str = "tcp") -> str | None:
        """Return which qube answers at an address."""
        answer = self.probe_all([(proto, address, port)])[0]
        return None if answer is None else answer.qube


class Refusal(Exception):
    """What an Admin API call was answered instead of its content."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind

    @property
    def is_silence(self) -> bool:
        """Whether nobody answered, or ended while it did: it may be done or not."""
        return self.kind in ("Unavailable", "QubesDaemonAccessError")


class Caller(Standing):
    """Makes Admin API calls in dom0."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, "dom0", _CALLER)

    def call(self, method: str, dest: str, arg: str = "", payload: str = "") -> str:
        """Make a call; raise `Refusal` for anything but success."""
        done = self.ask([method, dest, arg, payload])
        if not done[0]:
            raise Refusal(done[1], done[2])
        return str(done[1])


class Reader(Standing):
    """Reads QubesDBs in dom0."""

    def __init__(self, lab: Lab) -> None:
        super().__init__(lab, "dom0", _READER)

    def read(self, qube: str, prefix: str) -> dict[str, str]:
        """Return every path below a prefix in a qube's QubesDB, with its value."""
        found: dict[str, str] = self.ask([qube, prefix])
        return found


class Connection(Standing):
    """One TCP connection from a domain, to a server of `serving`."""

    def __init__(self, lab: Lab, where: str, address: str, port: int) -> None:
        super().__init__(lab, where, _HOLDER, address, str(port))

    def lives(self, patience: float = PATIENCE) -> bool:
        """Whether something sent now comes back within so many seconds."""
        return bool(self.ask(patience))


class Watcher(Standing):
    """Sees every packet of an interface."""

    def __init__(self, lab: Lab, where: str, interface: str) -> None:
        super().__init__(lab, where, _WATCHER, interface)

    def count(self, address: str) -> int:
        """Return how many packets since the last time had an address in them."""
        # Until nothing came for a moment; what was sent has arrived by then.
        return int(self.ask([address, 0.1]))


def eventually(
    look: Callable[[], Any], wanted: Any, patience: float = PATIENCE
) -> float:
    """Look until what is seen is what is wanted; return the seconds it took."""
    began = time.monotonic()
    while (seen := look()) != wanted:
        assert time.monotonic() < began + patience, f"{seen} is not {wanted}"
        time.sleep(0.02)
    return time.monotonic() - began
