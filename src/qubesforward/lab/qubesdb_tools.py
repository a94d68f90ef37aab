# SPDX-License-Identifier: GPL-2.0-or-later
"""qubesdb-read, -write, -list, -multiread, -rm and -watch, as they are on Qubes.

One program; its name says what it does. Flags, output and exit statuses are those of
the originals (client/qubesdb-cmd.c).
"""

from __future__ import annotations

import getopt
import os
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qubesforward.errors import ForwardError, MalformedMessage, QubesDBError
from qubesforward.qubes.paths import QUBESDB_SOCKET, qubesdb_socket
from qubesforward.qubes.qubesdb_session import Answer, Fired, Session
from qubesforward.qubes.qubesdb_wire import (
    Message,
    MessageType,
    find_entry_fault,
    find_path_fault,
)

USAGE = """\
Usage: {program} [-frqw] [-c COMMAND] [-d QUBE] [ARGUMENTS]
  -f          print full paths
  -r          print values as they are
  -q          print no errors
  -c COMMAND  what to do, instead of by the name of the program
  -d QUBE     whose QubesDB; in dom0 only
  -w          read: wait until there is a value
  -n COUNT    watch: end after so many events (default 1, negative: never)

Commands:
  read PATH...              print values
  write PATH VALUE...       write values
  rm PATH...                remove entries; with / at the end, all below
  multiread PATH...         print all entries whose path starts so
  list PATH                 print all paths that start so
  watch [-n COUNT] PATH...  print what changes; with / at the end, below it too
"""

_PIECE = 65536


@dataclass
class Options:
    """What the command line asks for."""

    command: str = ""
    qube: str = ""
    full: bool = False
    raw: bool = False
    quiet: bool = False
    wait: bool = False
    count: int = 1


class Database:
    """A connection that waits for every answer. Methods raise QubesDBError."""

    def __init__(self, path: str) -> None:
        self._session = Session()
        self._events: deque[str] = deque()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise QubesDBError(f"{path}: {error.strerror or error}") from error

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def ask(self, kind: MessageType, path: str, value: bytes = b"") -> dict[str, bytes]:
        """Send a request; return the entries of its answer."""
        is_write = kind is MessageType.WRITE
        fault = find_entry_fault(path, value) if is_write else find_path_fault(path)
        if fault:
            raise QubesDBError(fault)
        self._send(self._session.request(Message(kind, path, value)))
        while (answer := self._receive()) is None:
            pass
        if answer.error:
            raise QubesDBError(answer.error)
        return answer.entries

    def next_event(self) -> str:
        """Wait for a watch to fire; return the path that changed."""
        while not self._events:
            self._receive()
        return self._events.popleft()

    def _send(self, encoded: bytes) -> None:
        try:
            self._socket.sendall(encoded)
        except OSError as error:
            raise QubesDBError(str(error)) from error

    def _receive(self) -> Answer | None:
        try:
            piece = self._socket.recv(_PIECE)
        except OSError as error:
            raise QubesDBError(str(error)) from error
        if not piece:
            raise QubesDBError("the daemon closed the connection")
        answer = None
        try:
            for received in self._session.receive(piece):
                if isinstance(received, Fired):
                    self._events.append(received.path)
                else:
                    answer = received
        except MalformedMessage as error:
            raise QubesDBError(str(error)) from error
        return answer


class Tool:
    """One run: the commands return whether all went well."""

    def __init__(self, database: Database, options: Options) -> None:
        self._database = database
        self._options = options
        self.commands: dict[str, Callable[[Sequence[str]], bool]] = {
            "read": self._read_all,
            "write": self._write_all,
            "rm": self._remove_all,
            "multiread": self._multiread_all,
            "list": self._list,
            "watch": self._watch,
        }

    def _read_all(self, paths: Sequence[str]) -> bool:
        return all([self._read(path) for path in paths])

    def _read(self, path: str) -> bool:
        failure = f"Failed to read {path}"
        try:
            value = self._database.ask(MessageType.READ, path).get(path)
            if self._options.wait:
                value = self._wait_for(path)
        except QubesDBError as error:
            return self._complain(failure, error)
        if value is None:
            return self._complain(failure)
        self._print_value(f"{path} = " if self._options.full else "", value)
        return True

    def _wait_for(self, path: str) -> bytes:
        self._database.ask(MessageType.WATCH, path)
        while (value := self._database.ask(MessageType.READ, path).get(path)) is None:
            self._database.next_event()
        return value

    def _write_all(self, words: Sequence[str]) -> bool:
        if len(words) % 2:
            print("Invalid number of parameters", file=sys.stderr)
            return False
        pairs = zip(words[::2], words[1::2], strict=True)
        return all([self._write(path, os.fsencode(value)) for path, value in pairs])

    def _write(self, path: str, value: bytes) -> bool:
        try:
            self._database.ask(MessageType.WRITE, path, value)
        except QubesDBError as error:
            return self._complain(f"Failed to write {path}", error)
        return True

    def _remove_all(self, paths: Sequence[str]) -> bool:
        return all([self._remove(path) for path in paths])

    def _remove(self, path: str) -> bool:
        try:
            self._database.ask(MessageType.RM, path)
        except QubesDBError as error:
            return self._complain(f"Failed to remove {path}", error)
        return True

    def _multiread_all(self, prefixes: Sequence[str]) -> bool:
        return all([self._multiread(prefix) for prefix in prefixes])

    def _multiread(self, prefix: str) -> bool:
        try:
            found = self._database.ask(MessageType.MULTIREAD, prefix)
        except QubesDBError as error:
            return self._complain(f"Failed to read {prefix}", error)
        for path, value in found.items():
            self._print_value(f"{self._shorten(path, prefix)} = ", value)
        return True

    def _list(self, prefixes: Sequence[str]) -> bool:
        if len(prefixes) != 1:
            print("LIST command accept only one path", file=sys.stderr)
            return False
        try:
            found = self._database.ask(MessageType.LIST, prefixes[0])
        except QubesDBError as error:
            return self._complain("Failed to get entries list", error)
        for path in found:
            print(self._shorten(path, prefixes[0]))
        return True

    def _watch(self, paths: Sequence[str]) -> bool:
        for path in paths:
            try:
                self._database.ask(MessageType.WATCH, path)
            except QubesDBError as error:
                return self._complain(f"Failed to setup watch on {path}", error)
        left = self._options.count if paths else 0
        while left:
            left -= 1
            try:
                print(self._database.next_event(), flush=True)
            except QubesDBError as error:
                return self._complain("Failed to read watch", error)
        return True

    def _shorten(self, path: str, prefix: str) -> str:
        return path if self._options.full else path[len(prefix) :]

    def _print_value(self, head: str, untrusted_value: bytes) -> None:
        if self._options.raw:
            text = untrusted_value
        else:
            # A qube wrote it: it must not steer the terminal.
            text = b"".join(
                bytes([byte]) if 0x20 <= byte < 0x7F else b"\\x%02x" % byte
                for byte in untrusted_value
            )
        sys.stdout.flush()
        sys.stdout.buffer.write(head.encode() + text + b"\n")
        sys.stdout.buffer.flush()

    def _complain(self, text: str, error: QubesDBError | None = None) -> bool:
        complain(self._options, f"{text}: {error}" if error else text)
        return False


def complain(options: Options, text: str) -> None:
    """Print an error, unless none are wanted."""
    if not options.quiet:
        print(text, file=sys.stderr)


def parse_options(program: str, argv: Sequence[str]) -> tuple[Options, list[str]]:
    """Return options and arguments. Raises getopt.GetoptError."""
    options = Options(command=program.rpartition("qubesdb-")[2])
    found, arguments = getopt.gnu_getopt(list(argv), "hc:d:n:frqw")
    for flag, value in found:
        match flag:
            case "-c":
                options.command = value
            case "-d":
                options.qube = value
            case "-f":
                options.full = True
            case "-r":
                options.raw = True
            case "-q":
                options.quiet = True
            case "-w":
                options.wait = True
            case "-n":
                if options.command != "watch":
                    raise getopt.GetoptError("-n valid only for watch command", "n")
                options.count = _parse_count(value)
            case _:
                options.command = ""
    return options, arguments


def _parse_count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise getopt.GetoptError("-n takes a number", "n") from None


def run(program: str, argv: Sequence[str]) -> int:
    """Do what a program of this name does with these arguments; the exit status."""
    try:
        options, arguments = parse_options(program, argv)
    except getopt.GetoptError as error:
        print(error, file=sys.stderr)
        print(USAGE.format(program=program), end="", file=sys.stderr)
        return 1
    if not argv or options.command not in COMMANDS:
        print(USAGE.format(program=program), end="", file=sys.stderr)
        return 0
    try:
        path = qubesdb_socket(options.qube) if options.qube else QUBESDB_SOCKET
        database = Database(path)
    except ForwardError as error:
        whose = options.qube or "local"
        complain(options, f"Failed connect to {whose} daemon: {error}")
        return 1
    try:
        return 0 if Tool(database, options).commands[options.command](arguments) else 1
    finally:
        database.close()


COMMANDS = frozenset({"read", "write", "rm", "multiread", "list", "watch"})


def main() -> int:
    """Run the tool that this program is called as."""
    try:
        return run(sys.argv[0].rpartition("/")[2], sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read the output has left; flushing the rest would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
