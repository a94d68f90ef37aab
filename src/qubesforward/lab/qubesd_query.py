# SPDX-License-Identifier: GPL-2.0-or-later
"""qubesd-query: one raw call of the Admin API, for people and scripts in dom0."""

from __future__ import annotations

import argparse
import sys

from qubesforward.errors import ForwardError
from qubesforward.qubes.admin import AdminClient
from qubesforward.qubes.paths import QUBESD_SOCKET


def main() -> int:
    """Make the call that the command line names; the payload is standard input."""
    parser = argparse.ArgumentParser(prog="qubesd-query")
    parser.add_argument("--connect", "-c", metavar="SOCKET", default=QUBESD_SOCKET)
    parser.add_argument("--empty", "-e", action="store_true", help="no payload")
    parser.add_argument("source", choices=["dom0"], help="who asks")
    parser.add_argument("method")
    parser.add_argument("dest")
    parser.add_argument("argument", nargs="?", default="")
    options = parser.parse_args()
    payload = b"" if options.empty else sys.stdin.buffer.read()
    client = AdminClient(qubesd=options.connect, forwardd=options.connect)
    try:
        answer = client.call(options.method, options.dest, options.argument, payload)
    except ForwardError as error:
        print(f"qubesd-query: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(answer)
    return 0
