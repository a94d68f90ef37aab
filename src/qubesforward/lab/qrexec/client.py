# SPDX-License-Identifier: GPL-2.0-or-later
"""`qrexec-client-vm`, with the command line and the exit statuses of Qubes' own.

Source: agent/qrexec-client-vm.rst of qubes-core-qrexec.
"""

from __future__ import annotations

import getopt
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress

from qubesforward.lab.qrexec.descriptors import receive_descriptors
from qubesforward.lab.qrexec.messages import (
    CALLER_SOCKET,
    EXIT_PROBLEM,
    EXIT_REFUSED,
    LONGEST_ANSWER,
    decode_ended,
    encode_request,
)

_USAGE = (
    "usage: qrexec-client-vm [options] target_vmname service"
    " [local_program [local program arguments]]"
)
_EXIT_USAGE = 2
_SHORT = "tT"
# What is filtered out of the output for a terminal's sake is of no use in a lab.
_LONG = (
    "buffer-size=",
    "filter-escape-chars-stdout",
    "filter-escape-chars-stderr",
    "no-filter-escape-chars-stdout",
    "no-filter-escape-chars-stderr",
    "agent-socket=",
)
_PIECE = 65536


def main() -> int:
    """Make the call that the command line names."""
    try:
        options, words = getopt.getopt(sys.argv[1:], _SHORT, _LONG)
    except getopt.GetoptError as error:
        print(f"qrexec-client-vm: {error}\n{_USAGE}", file=sys.stderr)
        return _EXIT_USAGE
    if len(words) < 2:
        print(_USAGE, file=sys.stderr)
        return _EXIT_USAGE
    path = dict(options).get("--agent-socket", CALLER_SOCKET)
    target, service, *program = words
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as channel:
            channel.connect(path)
            channel.send(encode_request(service, target.replace("$", "@")))
            status = _follow(channel, program)
    except OSError as error:
        print(f"qrexec-client-vm: {error.strerror}", file=sys.stderr)
        status = EXIT_PROBLEM
    # A thread may still wait for input that nobody wants any more.
    os._exit(status)


def _follow(channel: socket.socket, program: Sequence[str]) -> int:
    word, descriptors = receive_descriptors(channel, LONGEST_ANSWER, 2)
    if word == b"pipes" and len(descriptors) == 2:
        return _join_pipes(channel, descriptors[0], descriptors[1], program)
    if word == b"socket" and len(descriptors) == 1:
        return _join_socket(socket.socket(fileno=descriptors[0]), program)
    if word == b"refused":
        print("Request refused", file=sys.stderr)
        return EXIT_REFUSED
    ended = decode_ended(word)
    return EXIT_PROBLEM if ended is None else ended


def _join_pipes(
    channel: socket.socket, to_service: int, from_service: int, program: Sequence[str]
) -> int:
    if program:
        # From here on the two programs have these pipes to themselves.
        pid = _spawn(program, from_service, to_service)
        os.close(from_service)
        os.close(to_service)
        channel.recv(LONGEST_ANSWER)
        return _await_end(pid)
    threading.Thread(target=_copy, args=(0, to_service), daemon=True).start()
    _copy(from_service, 1)
    ended = decode_ended(channel.recv(LONGEST_ANSWER))
    return EXIT_PROBLEM if ended is None else ended


def _join_socket(service: socket.socket, program: Sequence[str]) -> int:
    if program:
        # A program ends its output by closing it, which a socket that is its input
        # as well would not notice: there is a pipe between, in this direction only.
        output, program_output = os.pipe()
        pid = _spawn(program, service.fileno(), program_output)
        os.close(program_output)
        _send(output, service)
        return _await_end(pid)
    is_sent, sender = os.pipe()

    def send() -> None:
        _send(0, service)
        os.close(sender)

    threading.Thread(target=send, daemon=True).start()
    _copy(os.dup(service.fileno()), 1)
    _shut(service, socket.SHUT_RD)
    # It is over when the service has closed its socket, or both directions have ended.
    over = select.poll()
    over.register(service, 0)
    over.register(is_sent, 0)
    over.poll()
    return 0


def _send(source: int, service: socket.socket) -> None:
    _copy(source, os.dup(service.fileno()))
    _shut(service, socket.SHUT_WR)


def _shut(service: socket.socket, how: int) -> None:
    with suppress(OSError):
        service.shutdown(how)


def _copy(source: int, target: int) -> None:
    """Copy to the end, or until nobody wants it any more; then close both.

    Each direction has a thread: one must not wait because the other is full.
    """
    with suppress(OSError):
        while piece := os.read(source, _PIECE):
            while piece:
                piece = piece[os.write(target, piece) :]
    os.close(source)
    os.close(target)


def _spawn(program: Sequence[str], stdin: int, stdout: int) -> int:
    """Start the local program; as Qubes does, without looking for it in PATH."""
    environment = dict(os.environ)
    for number in (0, 1):
        saved = os.dup(number)
        os.set_inheritable(saved, True)
        environment[f"SAVED_FD_{number}"] = str(saved)
    return os.posix_spawn(
        program[0],
        [program[0].rpartition("/")[2], *program[1:]],
        environment,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, stdin, 0),
            (os.POSIX_SPAWN_DUP2, stdout, 1),
        ],
        # Python ignores it, and programs would inherit that.
        setsigdef=[signal.SIGPIPE],
    )


def _await_end(pid: int) -> int:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code
